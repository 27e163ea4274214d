//! `holdfast-attestor`: reads what it is asked, does it, says how it went.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use holdfast_attestor::cli::Args;

#[tokio::main]
async fn main() -> ExitCode {
    match Args::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            problem.exit_code()
        }
    }
}
