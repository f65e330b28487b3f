//! The only verifier of Merkle paths, hash trees and certificates
