//! `holdfast config`: the broker's own checker, called by name.
//!
//! The broker knows its configuration; this only finds the program and passes the question on.

use std::path::PathBuf;
use std::process::Command;

use crate::args::Config;
use crate::outcome::Problem;

/// Runs `holdfastd` to check or show a configuration.
pub fn run(command: &Config) -> Result<(), Problem> {
    let mut broker = Command::new(broker_program());
    match command {
        Config::Check { file } => broker.arg("--check").arg("--config").arg(file),
        Config::Show => broker.arg("--show-config"),
    };
    let status = broker.status().map_err(|error| {
        Problem::failed(
            format!("holdfastd does not start: {error}"),
            "install holdfastd beside holdfast, or put it on PATH",
        )
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Problem::usage(
        "the configuration cannot be used",
        "mend what is named above",
    ))
}

/// The broker beside this program, else the one on PATH.
fn broker_program() -> PathBuf {
    std::env::current_exe()
        .ok()
        .map(|own| own.with_file_name("holdfastd"))
        .filter(|beside| beside.exists())
        .unwrap_or_else(|| PathBuf::from("holdfastd"))
}
