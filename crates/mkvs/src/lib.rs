//! The Merklised key-value tree, byte-compatible with Oasis Core
