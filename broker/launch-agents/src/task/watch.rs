//! Waiting for sessions to end.
//!
//! One task for each session: first how its program ended, then that nothing of it is left. It must
//! never report a session as ended while a process of it may still run.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use holdfast_launcher::control::{Ending, MAX_CONTROL, News, Stopped};
use holdfast_launcher::message::Reached;
use holdfast_protocol::bounds::Because;
use holdfast_protocol::id::SessionId;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Sessions;

/// How long sessions may take to be gone when the broker stops.
const GRACE: Duration = Duration::from_secs(2);

/// How long the launcher may take for its last word on a session.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A session that is over, every process of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub id: SessionId,
    /// How its program ended.
    pub ending: Ending,
    /// What it ran into, where the launcher could still say so.
    pub reached: Reached,
    /// What ended it, beside its human.
    pub because: Option<Because>,
}

impl Ended {
    /// A session that its watcher said nothing more of.
    pub fn unwatched(id: SessionId) -> Self {
        Self {
            id,
            ending: Ending::Killed,
            reached: Reached::default(),
            because: None,
        }
    }
}

/// Waits for sessions to end; the broker runs it beside everything else.
#[derive(Debug)]
pub struct Watcher {
    sessions: Sessions,
    watched: mpsc::Receiver<Watched>,
}

/// A session that has just begun.
#[derive(Debug)]
pub(super) struct Watched {
    id: SessionId,
    control: OwnedFd,
    pidfd: OwnedFd,
    last_word: OwnedFd,
    stops: watch::Sender<Option<Stopped>>,
}

impl Watched {
    pub(super) fn new(id: SessionId, control: OwnedFd, pidfd: OwnedFd, last_word: OwnedFd) -> Self {
        Self {
            id,
            control,
            pidfd,
            last_word,
            stops: watch::Sender::new(None),
        }
    }

    /// Where it is heard that the program stopped: the last time.
    pub(super) fn stops(&self) -> watch::Receiver<Option<Stopped>> {
        self.stops.subscribe()
    }

    async fn wait(self) -> Ended {
        let Self {
            id,
            control,
            pidfd,
            last_word,
            stops,
        } = self;
        let ending = match ending(control, &stops).await {
            Ok(ending) => ending,
            Err(error) => {
                tracing::warn!(%error, session = %id, "cannot learn how a session ended");
                Ending::Killed
            }
        };
        if let Err(error) = gone(pidfd).await {
            tracing::warn!(%error, session = %id, "cannot wait for a session");
        }
        let reached = tokio::time::timeout(LAST_WORD, reached(last_word)).await;
        Ended {
            ending,
            reached: reached.ok().and_then(Result::ok).unwrap_or_default(),
            ..Ended::unwatched(id)
        }
    }
}

impl Watcher {
    pub(super) fn new(sessions: Sessions, watched: mpsc::Receiver<Watched>) -> Self {
        Self { sessions, watched }
    }

    /// Tells `ended` of each session that is over. When `stop` is cancelled, or nobody listens any
    /// more, it kills all sessions, waits until they are gone, and returns.
    pub async fn run(mut self, ended: mpsc::Sender<Ended>, stop: CancellationToken) {
        let mut waiting = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = ended.closed() => break,
                Some(watched) = self.watched.recv() => { waiting.spawn(watched.wait()); }
                Some(done) = waiting.join_next() => {
                    if let Ok(done) = done {
                        let done = self.sessions.ended(done);
                        if ended.send(done).await.is_err() {
                            break;
                        }
                    }
                }
            }
        }
        self.watched.close();
        while let Some(watched) = self.watched.recv().await {
            waiting.spawn(watched.wait());
        }
        self.sessions.kill_all();
        let all = async {
            while let Some(done) = waiting.join_next().await {
                if let Ok(done) = done {
                    let done = self.sessions.ended(done);
                    // Nobody may be listening any more; the registry has it.
                    ended.try_send(done).ok();
                }
            }
        };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::error!("sessions are left after {GRACE:?}");
        }
    }
}

/// Waits for the program's end, and tells `stops` when it stops before.
async fn ending(control: OwnedFd, stops: &watch::Sender<Option<Stopped>>) -> io::Result<Ending> {
    let control = readable(control)?;
    loop {
        match control.async_io(Interest::READABLE, news).await {
            Ok(News::Stopped(stopped)) => {
                stops.send_replace(Some(stopped));
            }
            Ok(News::Ended(ending)) => return Ok(ending),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Ok(Ending::Killed);
            }
            Err(error) => return Err(error),
        }
    }
}

fn news(control: &OwnedFd) -> io::Result<News> {
    let mut message = [0; MAX_CONTROL];
    let (read, _) = rustix::net::recv(control, &mut message[..], RecvFlags::DONTWAIT)?;
    Ok(News::decode(message.get(..read).unwrap_or_default()))
}

/// Returns once the session's first process, and with it everything in its pid namespace, is gone.
async fn gone(pidfd: OwnedFd) -> io::Result<()> {
    let pidfd = readable(pidfd)?;
    pidfd.readable().await?.retain_ready();
    Ok(())
}

/// The launcher's last word on a session; nothing if it went away.
async fn reached(last_word: OwnedFd) -> io::Result<Reached> {
    rustix::fs::fcntl_setfl(&last_word, rustix::fs::OFlags::NONBLOCK)?;
    let last_word = readable(last_word)?;
    let mut word = [0; Reached::LENGTH];
    let read = last_word
        .async_io(Interest::READABLE, |fd| {
            Ok(rustix::io::read(fd, &mut word)?)
        })
        .await?;
    Ok(Reached::decode(word.get(..read).unwrap_or_default()).unwrap_or_default())
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for types that change their descriptor; an OwnedFd does not"
)]
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}
