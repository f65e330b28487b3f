//! Submit, and verify answers
