//! The certified state tree.
