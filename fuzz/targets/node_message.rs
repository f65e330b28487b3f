//! Messages between nodes, as a node gets them from others it does not trust.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_node::net::Message;

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, Message::decode, Message::encode);
});
