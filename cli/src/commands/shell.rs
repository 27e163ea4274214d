//! `holdfast shell`: a human's own shell in a session of theirs that runs.
//!
//! As with `holdfast run`, the session never holds this terminal: bytes are copied to one of its own.

use holdfast_protocol::id::SessionId;
use holdfast_protocol::run::{RunEvent, RunStdio, ShellRequest};
use signal_hook::iterator::Signals;

use super::run::keeper::{HEARD, Kept, Of};
use super::run::{conclude, host, no_sessions, stdio};
use crate::args::Args;
use crate::outcome::Problem;
use crate::run_client::RunConnection;
use crate::streams::Streams;

/// Opens the shell, and exits as it did.
pub(super) fn run(args: &Args, session: Option<SessionId>) -> Result<(), Problem> {
    let stdio = stdio()?;
    let request = ShellRequest {
        shell_in: session,
        term: std::env::var("TERM").ok(),
        stdio,
    };
    let streams = match stdio {
        RunStdio::Pipes => Some(Streams::lend().map_err(|error| host(&error))?),
        RunStdio::Terminal { .. } => None,
    };
    let descriptors: Vec<_> = streams.iter().flat_map(Streams::descriptors).collect();
    let socket = args.socket.with_file_name("run.sock");
    let connection = RunConnection::open(&socket).map_err(|error| no_sessions(&socket, &error))?;
    let signals = Signals::new(HEARD).map_err(|error| host(&error))?;
    connection
        .ask(&request, &descriptors)
        .map_err(|error| host(&error))?;
    drop(descriptors);
    let (event, other_end) = connection.next().map_err(|error| host(&error))?;
    let RunEvent::ShellOpened { .. } = event else {
        return conclude(args, event);
    };
    let shown = streams.map(Streams::given);
    let kept = Kept::take_over(Of::Shell, &connection, other_end, signals);
    let kept = kept.map_err(|error| host(&error))?;
    let ended = connection.next();
    kept.leave();
    let (event, _) = ended.map_err(|_| {
        Problem::failed(
            "the broker went away, and the shell with it",
            "see holdfastd's log",
        )
    })?;
    if let Some(shown) = shown {
        shown.wait_a_moment();
    }
    conclude(args, event)
}
