//! `holdfast-launcher`: parse the flags, then serve until ended.

use std::process::ExitCode;

use holdfast_launcher::options::{Options, USAGE};
use holdfast_launcher::serve;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("holdfast-launcher: {error}\nusage: {USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast-launcher: {error}");
            ExitCode::FAILURE
        }
    }
}
