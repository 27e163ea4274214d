//! `holdfast-hook`: the shim as a program of its own, for the inside of a session.
//!
//! It must link nothing that a tool call does not need.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast_hook::main(std::env::args_os().skip(1))
}
