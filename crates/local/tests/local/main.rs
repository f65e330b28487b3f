//! What an application's tests see of an instance.

mod hostile;
mod rpc;
mod sending;
mod speed;
mod state;
mod time;
mod units;
mod wire;
