//! Chores of the workspace that are no part of the product; `cargo xtask` lists them.

mod canisters;
mod clients;
mod fuzz;
mod solana_clients;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

commands:
  clients [--url URL]   run the JavaScript client suites against a node started for them,
                        or against the one at URL
  solana-clients [--url URL]
                        run the suites of Solana's JavaScript and Python clients, likewise
  canisters             rebuild the sample canisters whose tools are installed
  fuzz-smoke            run every fuzz target for a few seconds; needs nightly and cargo-fuzz";

fn main() -> ExitCode {
    let root = tools::workspace_root();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["clients"] => clients::run(&root, None),
        ["clients", "--url", url] => clients::run(&root, Some(url)),
        ["solana-clients"] => solana_clients::run(&root, None),
        ["solana-clients", "--url", url] => solana_clients::run(&root, Some(url)),
        ["canisters"] => canisters::run(&root),
        ["fuzz-smoke"] => fuzz::run(&root),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
