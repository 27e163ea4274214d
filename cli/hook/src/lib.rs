//! The shim between what an agent runs and the session's socket: hooks, git's credential helper, sub-agents.
//!
//! It runs for every tool call, so it is small and synchronous: one bounded read, one frame out, one frame in. It passes
//! what it is given on untouched and must never decide.
#![forbid(unsafe_code)]

mod exchange;
mod git;
mod hook;
mod refusal;
mod sub;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use refusal::Refusal;

/// The exit code of whoever called a shim wrongly; a blocked call has the same, and that is meant: a hook that is
/// configured wrongly must not let calls through.
const USAGE: u8 = 2;

/// Does what the arguments of `holdfast-hook` say: `AGENT`, `credential git OPERATION`, or `sub … -- CMD`.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    match arguments.next() {
        Some(word) if word == "credential" => credential(arguments),
        Some(word) if word == "sub" => sub(arguments),
        first => hook(first.into_iter().chain(arguments)),
    }
}

/// Answers the hook of an agent: its name is the only argument, its call is on standard input.
///
/// Whatever fails is a denial: most agents let a tool run when a hook breaks in any other way.
pub fn hook(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    hook::run(arguments)
}

/// Answers a credential helper's question: the service (`git`), then what its protocol adds (`get`, `store`, `erase`).
pub fn credential(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let service = arguments.next();
    let (operation, more) = (arguments.next(), arguments.next());
    match (service, operation, more) {
        (Some(service), Some(operation), None) if service == "git" => git::run(&operation),
        (None | Some(_), None | Some(_), None | Some(_)) => {
            say_why(&Refusal::CredentialUsage);
            ExitCode::from(USAGE)
        }
    }
}

/// Becomes a sub-agent of the session that this runs in, and then the program that the arguments name after `--`.
///
/// Returns only if that failed.
pub fn sub(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    sub::run(arguments)
}

/// All of standard input; `None` if it is longer than `limit` bytes.
fn input(limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut input = Vec::new();
    io::stdin()
        .lock()
        .take(limit as u64 + 1)
        .read_to_end(&mut input)?;
    Ok((input.len() <= limit).then_some(input))
}

/// The reason, where a person sees it.
fn say_why(why: &dyn std::error::Error) {
    // Who has closed standard error wants no reasons.
    let _ = writeln!(
        io::stderr(),
        "holdfast: {}",
        holdfast_protocol::words::with_causes(why)
    );
}
