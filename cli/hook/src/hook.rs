//! An agent's hook: its JSON goes out as it came, the broker's answer comes back.
//!
//! It must never leave an agent without an answer that it takes for a denial.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use holdfast_protocol::frame::MAX_FRAME;
use holdfast_protocol::hook::{Dialect, HookExit, HookRequest, HookResponse};
use holdfast_protocol::session::SessionRequest;

use crate::refusal::Refusal;
use crate::{exchange, input, say_why};

/// Room in the frame for what stands around the payload.
const MARGIN: usize = 1024;

/// Answers the hook.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match answer(arguments) {
        Ok(response) => say(&response),
        Err(refusal) => {
            // The agent's protocol wants the reason on standard output, people and exit 2 want it on standard error.
            say_why(&refusal);
            say(&refusal.response())
        }
    }
}

fn answer(arguments: impl IntoIterator<Item = OsString>) -> Result<HookResponse, Refusal> {
    let dialect = dialect(arguments)?;
    let input = input(MAX_FRAME - MARGIN)
        .map_err(Refusal::Input)?
        .ok_or(Refusal::InputTooLong)?;
    let payload = serde_json::from_slice(&input).map_err(Refusal::NotJson)?;
    exchange::ask(&SessionRequest::Hook(HookRequest { dialect, payload }))
}

/// The agent whose hook this is: the only argument.
fn dialect(arguments: impl IntoIterator<Item = OsString>) -> Result<Dialect, Refusal> {
    let mut arguments = arguments.into_iter();
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
