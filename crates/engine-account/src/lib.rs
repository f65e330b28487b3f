//! The account engine: SBF programs over accounts, as a [`trilith_protocol::Runtime`].
//!
//! Knows types, params and the protocol; must not know consensus, networking or another engine.
//! (slots, ages and statuses, fees, sysvars, records, state) is here.

pub mod query;
pub mod record;
