//! `holdfast`: everything that a person or a script does.
//!
//! It asks the broker and shows the answer; it must never open the TPM, the state folder, or the
//! network itself.
#![forbid(unsafe_code)]

mod args;
mod client;
mod commands;
mod connect;
mod contained;
mod discover;
mod git;
mod guards;
mod import;
mod job;
mod keyring;
mod lent;
#[cfg(test)]
mod man;
mod outcome;
mod own_profile;
mod program;
mod prompt;
mod receipt;
mod recovery;
mod render;
mod run_client;
mod screen;
mod snapshot;
mod streams;
mod tools;
mod triggers;
mod undo;
mod vault;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let mut args = args::Args::parse();
    args.find_broker();
    match commands::run(&args) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("{problem}");
            problem.exit_code()
        }
    }
}
