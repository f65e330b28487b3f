//! Runs messages: the system interface, memories and slices.

mod heap;
mod pagemap;
mod pages;
mod stable;
pub mod wire;
