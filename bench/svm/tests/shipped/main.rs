//! The integration tests that ship with `solana-svm`, as they are, over our bank's state and
//! callbacks. `fetch.sh` puts them where this file looks for them.

mod mock_bank;

#[allow(dead_code)]
#[path = "../../target/svm/integration_test.rs"]
mod integration_test;
