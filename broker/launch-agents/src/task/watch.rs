//! Waiting for sessions to end.
//!
//! One task for each session: first how its program ended, then that nothing of it is left. It must
//! never report a session as ended while a process of it may still run.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use holdfast_launcher::control::{Ending, MAX_CONTROL};
use holdfast_protocol::id::SessionId;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Sessions;

/// How long sessions may take to be gone when the broker stops.
const GRACE: Duration = Duration::from_secs(2);

/// A session that is over, every process of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub id: SessionId,
    /// How its program ended.
    pub ending: Ending,
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
}

impl Watched {
    pub(super) fn new(id: SessionId, control: OwnedFd, pidfd: OwnedFd) -> Self {
        Self { id, control, pidfd }
    }

    async fn wait(self) -> Ended {
        let Self { id, control, pidfd } = self;
        let ending = match ending(control).await {
            Ok(ending) => ending,
            Err(error) => {
                tracing::warn!(%error, session = %id, "cannot learn how a session ended");
                Ending::Killed
            }
        };
        if let Err(error) = gone(pidfd).await {
            tracing::warn!(%error, session = %id, "cannot wait for a session");
        }
        Ended { id, ending }
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
                        self.sessions.ended(done.id, done.ending);
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
                    self.sessions.ended(done.id, done.ending);
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

async fn ending(control: OwnedFd) -> io::Result<Ending> {
    let control = readable(control)?;
    let mut message = [0; MAX_CONTROL];
    let receive = |fd: &OwnedFd| {
        let (read, _) = rustix::net::recv(fd, &mut message[..], RecvFlags::DONTWAIT)?;
        Ok(read)
    };
    match control.async_io(Interest::READABLE, receive).await {
        Ok(read) => Ok(Ending::decode(message.get(..read).unwrap_or_default())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Ending::Killed),
        Err(error) => Err(error),
    }
}

/// Returns once the session's first process, and with it everything in its pid namespace, is gone.
async fn gone(pidfd: OwnedFd) -> io::Result<()> {
    let pidfd = readable(pidfd)?;
    pidfd.readable().await?.retain_ready();
    Ok(())
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for types that change their descriptor; an OwnedFd does not"
)]
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}
