//! `holdfast shell`: a human's own shell in a session of theirs that runs.
//!
//! Whose session it is says the kernel, by the credentials of the connection; what is opened is on record first. The
//! shell sees what the session sees and may what it may; it ends with the session, and with the human's connection.

use std::os::fd::OwnedFd;
use std::time::Duration;

use holdfast_launch_agents::state::Phase;
use holdfast_launch_agents::task::{Opened, SessionError, Shell};
use holdfast_launch_agents::{Ending, ShellOrder, TermName, WindowSize};
use holdfast_protocol::audit::What;
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::management::{Failure, FailureKind};
use holdfast_protocol::record::NotRecorded;
use holdfast_protocol::run::{RunEvent, RunStdio, ShellRequest};
use holdfast_protocol::words::with_causes;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::Ground;
use super::serve::{listen_to, signal_of, tell_started};
use super::words;

/// How long a session's first process may take to open a shell.
const PATIENCE: Duration = Duration::from_secs(10);

/// A kind of terminal that every system knows.
const PLAIN: &str = "dumb";

/// What was wished for, by whom.
pub(super) struct Wish {
    /// The wish.
    pub(super) request: ShellRequest,
    /// Its streams.
    pub(super) streams: Vec<OwnedFd>,
    /// The kernel's word on who asks.
    pub(super) human: u32,
}

/// No shell was opened, or it could not be kept.
#[derive(Debug, thiserror::Error)]
enum ShellError {
    /// The human has no session that runs.
    #[error("you have no session that runs")]
    None,
    /// Which one is meant has to be said.
    #[error("you have more than one session that runs: {}", listed(.0))]
    Many(Vec<SessionId>),
    /// It is not the human's, or there is none; others' are not told of.
    #[error("you have no session {0} that runs")]
    NotTheirs(SessionId),
    /// It cannot be ordered now.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The record could not be written, so nothing is opened.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
    /// The session did not open it.
    #[error("the session opened no shell: {0}")]
    Refused(String),
    /// It was not heard of in time.
    #[error("the session opened no shell in {PATIENCE:?}")]
    Late,
    /// The host fails us.
    #[error("the shell cannot be kept")]
    Host(#[source] std::io::Error),
}

/// Opens a shell and keeps it until it ends; what is to be told in the end.
pub(super) async fn keep(
    stream: &UnixStream,
    wish: Wish,
    ground: &Ground,
    stop: &CancellationToken,
) -> RunEvent {
    match serve(stream, wish, ground, stop).await {
        Ok(Ending::Killed) => RunEvent::Ended {
            code: Ending::Killed.code(),
            how: Some("the shell went with it".to_owned()),
        },
        Ok(ending) => RunEvent::Ended {
            code: ending.code(),
            how: match ending {
                Ending::Exited(_) | Ending::Signaled(_) => None,
                Ending::NotStarted(_) | Ending::Killed => Some(words::plainly(ending)),
            },
        },
        Err(error) => {
            tracing::info!(error = with_causes(&error), "no shell was opened");
            RunEvent::Failed(failure(&error))
        }
    }
}

async fn serve(
    stream: &UnixStream,
    wish: Wish,
    ground: &Ground,
    stop: &CancellationToken,
) -> Result<Ending, ShellError> {
    let Wish {
        request,
        streams,
        human,
    } = wish;
    let session = session(ground, human, request.shell_in)?;
    ground
        .record
        .record(What::ShellOpened {
            session,
            human: HumanUid(human),
        })
        .await?;
    let shell = ground.sessions.shell(session, &order(&request), &streams)?;
    drop(streams);
    let opened = tokio::time::timeout(PATIENCE, shell.opened()).await;
    let terminal = match opened
        .map_err(|_| ShellError::Late)?
        .map_err(ShellError::Host)?
    {
        Opened::Yes(terminal) => terminal,
        Opened::No(ending) => return Err(ShellError::Refused(words::plainly(ending))),
    };
    tracing::info!(%session, human, "a shell was opened");
    tell_started(
        stream,
        &RunEvent::ShellOpened { session },
        terminal.as_ref(),
    )
    .await
    .map_err(ShellError::Host)?;
    drop(terminal);
    tend(stream, &shell, stop).await.map_err(ShellError::Host)
}

/// The session that is meant, if it is the human's own.
fn session(ground: &Ground, human: u32, named: Option<SessionId>) -> Result<SessionId, ShellError> {
    let sessions = ground.sessions.list().into_iter();
    let mut theirs: Vec<SessionId> = sessions
        .filter(|(_, session)| {
            session.facts.human == human && matches!(session.phase, Phase::Running(_))
        })
        .map(|(id, _)| id)
        .collect();
    match named {
        Some(named) if theirs.contains(&named) => Ok(named),
        Some(named) => Err(ShellError::NotTheirs(named)),
        None => {
            let only = theirs.pop().ok_or(ShellError::None)?;
            if theirs.is_empty() {
                return Ok(only);
            }
            theirs.push(only);
            Err(ShellError::Many(theirs))
        }
    }
}

fn listed(sessions: &[SessionId]) -> String {
    let sessions: Vec<String> = sessions.iter().map(SessionId::to_string).collect();
    sessions.join(", ")
}

fn order(request: &ShellRequest) -> ShellOrder {
    match request.stdio {
        RunStdio::Pipes => ShellOrder::Streams,
        RunStdio::Terminal { rows, columns } => {
            let term = request.term.as_deref().and_then(TermName::parse);
            match term.or_else(|| TermName::parse(PLAIN)) {
                Some(term) => ShellOrder::Terminal {
                    size: WindowSize { rows, columns },
                    term,
                },
                None => ShellOrder::Streams,
            }
        }
    }
}

/// Waits for the shell's end, and passes the human's signals on. When the connection ends, the shell hears a hang-up.
async fn tend(
    stream: &UnixStream,
    shell: &Shell,
    stop: &CancellationToken,
) -> std::io::Result<Ending> {
    let (orders, mut received) = tokio::sync::mpsc::channel(8);
    let listening = listen_to(stream, orders);
    tokio::pin!(listening);
    loop {
        tokio::select! {
            ending = shell.ended() => return ending,
            () = stop.cancelled() => return Ok(Ending::Killed),
            () = &mut listening => return Ok(Ending::Killed),
            Some(order) = received.recv() => {
                if let Err(error) = shell.signal(signal_of(order)) {
                    tracing::debug!(%error, "a signal did not reach a shell");
                }
            }
        }
    }
}

fn failure(error: &ShellError) -> Failure {
    let (kind, advice) = match error {
        ShellError::None | ShellError::NotTheirs(_) => (
            FailureKind::Usage,
            "`holdfast run` starts one; a shell is opened by who started the session",
        ),
        ShellError::Many(_) => (
            FailureKind::Usage,
            "name one: `holdfast shell SESSION`; `holdfast run --verbose` says which it is",
        ),
        ShellError::Session(_)
        | ShellError::NotRecorded(_)
        | ShellError::Refused(_)
        | ShellError::Late
        | ShellError::Host(_) => (FailureKind::Failed, "see holdfastd's log"),
    };
    Failure {
        kind,
        message: with_causes(error),
        advice: advice.to_owned(),
    }
}
