//! Compares the account engine with LiteSVM; see `tests`.
