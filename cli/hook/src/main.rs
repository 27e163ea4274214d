//! `holdfast-hook`: what an agent's hook runs. It asks the broker, and says what the broker says.
//!
//! About a millisecond: no runtime, no threads, one frame out and one back. It must never answer by
//! itself but to deny: whatever goes wrong here, the agent is told no.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use holdfast_protocol::frame;
use holdfast_protocol::hook::{Dialect, HookExit, HookRequest, HookResponse};
use serde_json::{Value, json};

/// Where the broker is, inside a session.
const SOCKET: &str = "/run/holdfast/session.sock";

/// Longer than a human is waited for: the broker is the one to give up.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The exit status that stops an agent.
const BLOCK: u8 = 2;

fn main() -> ExitCode {
    let answer = dialect().and_then(|dialect| {
        let payload = payload()?;
        ask(&HookRequest { dialect, payload })
    });
    match answer {
        Ok(HookResponse { stdout, exit }) => {
            if say(&stdout).is_err() {
                return ExitCode::from(BLOCK);
            }
            match exit {
                HookExit::Answered => ExitCode::SUCCESS,
                HookExit::Block => ExitCode::from(BLOCK),
            }
        }
        Err(why) => {
            let reason = format!("Holdfast could not be asked, so the answer is no: {why}");
            // Both ways of saying no: the agent may listen to only one of them.
            eprintln!("{reason}");
            let _ = say(&denial(&reason));
            ExitCode::from(BLOCK)
        }
    }
}

fn dialect() -> Result<Dialect, String> {
    match std::env::args().nth(1).as_deref() {
        Some("claude") => Ok(Dialect::Claude),
        Some(other) => Err(format!(
            "no agent `{other}` is known; usage: holdfast-hook claude"
        )),
        None => Err("usage: holdfast-hook claude".to_owned()),
    }
}

/// What the agent says, read to its end and not beyond a frame.
fn payload() -> Result<Value, String> {
    let mut text = Vec::new();
    std::io::stdin()
        .lock()
        .take(frame::MAX_FRAME as u64)
        .read_to_end(&mut text)
        .map_err(|error| format!("standard input cannot be read: {error}"))?;
    serde_json::from_slice(&text)
        .map_err(|error| format!("the agent's words are not JSON: {error}"))
}

fn ask(request: &HookRequest) -> Result<HookResponse, String> {
    let path =
        std::env::var_os("HOLDFAST_SOCKET").map_or_else(|| PathBuf::from(SOCKET), PathBuf::from);
    let unreachable =
        |error: std::io::Error| format!("no broker answers at `{}`: {error}", path.display());
    let mut stream = UnixStream::connect(&path).map_err(unreachable)?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(unreachable)?;
    let bytes = frame::encode(request).map_err(|error| error.to_string())?;
    stream.write_all(&bytes).map_err(unreachable)?;
    let mut prefix = [0; frame::PREFIX];
    stream.read_exact(&mut prefix).map_err(unreachable)?;
    let length = frame::body_length(prefix).map_err(|error| error.to_string())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(unreachable)?;
    frame::decode(&body).map_err(|error| error.to_string())
}

fn denial(reason: &str) -> Value {
    json!({
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": reason,
        }
    })
}

fn say(answer: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")?;
    out.flush()
}
