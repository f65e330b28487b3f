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
  clients               run the suites of all foreign clients against nodes started for them
  clients [javascript|python] [--url URL]
                        run those of the Internet Computer, or of one language, against a node
                        started for them, or against the one at URL
  solana-clients [--url URL]
                        run the suites of Solana's JavaScript and Python clients, likewise
  solana-clients programs [--stake-pool FILE]
                        run the suites of programs that are loaded for them: token metadata, the
                        older token program, and stake pools if their program's file is given
  canisters [--write]   rebuild the sample canisters whose tools are installed, and compare them
                        with the committed files, or replace those
  fuzz-smoke            run every fuzz target for a few seconds; needs nightly and cargo-fuzz";

fn main() -> ExitCode {
    let root = tools::workspace_root();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["clients"] => {
            let own = clients::Selection::parse(&[]);
            own.and_then(|selection| clients::run(&root, selection))
                .and_then(|()| solana_clients::run(&root, solana_clients::Selection::default()))
        }
        ["clients", ref rest @ ..] => {
            clients::Selection::parse(rest).and_then(|selection| clients::run(&root, selection))
        }
        ["canisters"] => canisters::run(&root, canisters::Differing::Refuse),
        ["canisters", "--write"] => canisters::run(&root, canisters::Differing::Replace),
        ["solana-clients", ref rest @ ..] => solana_clients::Selection::parse(rest)
            .and_then(|selection| solana_clients::run(&root, selection)),
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
