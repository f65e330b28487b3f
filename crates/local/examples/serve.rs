//! An instance with programs at the addresses that clients have compiled in, behind a real RPC
//! address, until the standard input ends.
//!
//! Deploying to such an address needs its key, which only the network that it is of has; an
//! instance in a process puts programs anywhere.
//!
//! `cargo run -p trilith-local --example serve -- ADDRESS=FILE ADDRESS=FILE …`

use std::error::Error;
use std::io::Read as _;

use solana_pubkey::Pubkey;
use trilith_local::Local;

fn main() -> Result<(), Box<dyn Error>> {
    let mut svm = Local::new();
    for argument in std::env::args().skip(1) {
        let Some((id, path)) = argument.split_once('=') else {
            return Err(format!("{argument:?} is not ADDRESS=FILE").into());
        };
        let id: Pubkey = id
            .parse()
            .map_err(|error| format!("{id:?} is no address: {error}"))?;
        svm.add_program_file(id, path)?;
        println!("{id} is {path}");
    }
    let address = svm.rpc()?;
    println!("account endpoint {}", address.url);
    println!("account PubSub   {}", address.websocket_url);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
