//! `holdfast-launcher`: parse the flags, then serve until ended.

use std::process::ExitCode;

use holdfast_launcher::options::{Start, USAGE};
use holdfast_launcher::{contained, serve};

fn main() -> ExitCode {
    let start = match Start::parse(std::env::args().skip(1)) {
        Ok(start) => start,
        Err(error) => {
            eprintln!("holdfast-launcher: {error}\nusage: {USAGE}");
            return ExitCode::from(2);
        }
    };
    let served = match start {
        Start::System(options) => serve::run(options),
        Start::Contained => contained::run(),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast-launcher: {error}");
            ExitCode::FAILURE
        }
    }
}
