//! The hook shim: an agent's hook on one side, the session socket on the other.
//!
//! It runs for every tool call, so it is small and synchronous: one bounded read, one frame out, one frame in. It passes
//! the agent's JSON on untouched and must never decide. Whatever fails in it is a denial: most agents let a tool run when
//! a hook breaks in any other way.
#![forbid(unsafe_code)]

mod exchange;
mod refusal;

use std::io::{self, Read, Write};
use std::process::ExitCode;

use holdfast_protocol::frame::MAX_FRAME;
use holdfast_protocol::hook::{Dialect, HookExit, HookRequest, HookResponse};
use holdfast_protocol::session::SessionRequest;
use refusal::Refusal;

/// Room in the frame for what stands around the payload.
const MARGIN: usize = 1024;

fn main() -> ExitCode {
    match answer() {
        Ok(response) => say(&response),
        Err(refusal) => {
            // The agent's protocol wants the reason on standard output, people and exit 2 want it on standard error.
            let _ = writeln!(io::stderr(), "holdfast: {}", refusal.with_causes());
            say(&refusal.response())
        }
    }
}

fn answer() -> Result<HookResponse, Refusal> {
    let dialect = dialect()?;
    let mut input = Vec::new();
    let limit = MAX_FRAME - MARGIN;
    io::stdin()
        .lock()
        .take(limit as u64 + 1)
        .read_to_end(&mut input)
        .map_err(Refusal::Input)?;
    if input.len() > limit {
        return Err(Refusal::InputTooLong);
    }
    let payload = serde_json::from_slice(&input).map_err(Refusal::NotJson)?;
    exchange::ask(&SessionRequest::Hook(HookRequest { dialect, payload }))
}

/// The agent whose hook this is: the only argument.
fn dialect() -> Result<Dialect, Refusal> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(agent), None) if agent == "claude" => Ok(Dialect::Claude),
        (None | Some(_), _) => Err(Refusal::Usage),
    }
}

fn say(response: &HookResponse) -> ExitCode {
    let mut output = response.stdout.to_string();
    output.push('\n');
    let mut stdout = io::stdout().lock();
    let said = stdout
        .write_all(output.as_bytes())
        .and_then(|()| stdout.flush());
    match (said, response.exit) {
        (Ok(()), HookExit::Answered) => ExitCode::SUCCESS,
        // An answer that was not heard is none.
        (Err(_), _) | (Ok(()), HookExit::Block) => ExitCode::from(2),
    }
}
