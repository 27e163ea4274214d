//! Sub-agents, as job 2 makes them: a cgroup below their session's, and the process that asked put in.
//!
//! A sub-agent is [`PreparedSub`] until its record is durable; then [`PreparedSub::place`] moves the
//! process, by the hand of the session's first process, and makes sure that it is there. Dropping
//! what keeps a sub-agent kills it. It must never say that a process was placed that was not.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_launcher::message::{CgroupFiles, Child};
use holdfast_launcher::{control, peer, socket};
use holdfast_protocol::id::SessionId;
use holdfast_protocol::sub::{SubName, SubPath};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{SessionError, Sessions};
use crate::peer::cgroup_of;
use crate::state::StateError;

/// How long a process may take to be in its new cgroup.
const PLACED: Duration = Duration::from_secs(2);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// How long what was killed may take to be gone.
const GONE: Duration = Duration::from_secs(2);

/// Ends a sub-agent when dropped.
#[derive(Debug)]
struct Life {
    sessions: Sessions,
    id: SessionId,
    path: SubPath,
    files: Option<Arc<CgroupFiles>>,
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(files) = &self.files {
            kill(files).ok();
        }
        self.sessions.sub_gone(self.id, self.path);
    }
}

/// A sub-agent that has no process yet.
#[derive(Debug)]
pub struct PreparedSub {
    life: Life,
    cgroup: u64,
    /// The cgroup of the one that it is of, where the process has to come from.
    above: u64,
    processes: OwnedFd,
    bridge: OwnedFd,
}

/// A sub-agent with its process.
#[derive(Debug)]
pub struct LiveSub {
    life: Life,
    cgroup: u64,
    /// Listens on the session's loopback, for this sub-agent.
    pub bridge: Option<OwnedFd>,
}

impl Sessions {
    /// Has the launcher make a cgroup for a sub-agent of `parent`, or of the session itself.
    ///
    /// # Errors
    /// [`SessionError`]; there is no sub-agent then.
    pub async fn prepare_sub(
        &self,
        id: SessionId,
        parent: Option<SubPath>,
        name: Option<SubName>,
    ) -> Result<PreparedSub, SessionError> {
        let now = self.0.clock.now();
        let (path, above) = {
            let mut table = self.table();
            let started = table.registry.start_sub(now, id, parent, name);
            started.map_err(SessionError::State)?
        };
        let mut life = Life {
            sessions: self.clone(),
            id,
            path,
            files: None,
        };
        let child: Child = self
            .ask_launcher(move |launcher| socket::child(launcher, above))
            .await?;
        let Child {
            cgroup_id,
            cgroup,
            processes,
            bridge,
        } = child;
        let files = Arc::new(cgroup);
        life.files = Some(Arc::clone(&files));
        let mut table = self.table();
        (table.registry.sub_made(id, path, cgroup_id)).map_err(SessionError::State)?;
        table.subs.insert((id, path), files);
        drop(table);
        Ok(PreparedSub {
            life,
            cgroup: cgroup_id,
            above,
            processes,
            bridge,
        })
    }

    /// Kills a sub-agent and all that are of it. What they say is not heard from now on.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn end_sub(&self, id: SessionId, path: SubPath) -> Result<(), SessionError> {
        let mut table = self.table();
        let files = table.subs.get(&(id, path)).cloned();
        (table.registry.sub_ending(id, path)).map_err(SessionError::State)?;
        let unknown = SessionError::State(StateError::Unknown(id));
        kill(&*files.ok_or(unknown)?).map_err(SessionError::Host)
    }

    fn sub_gone(&self, id: SessionId, path: SubPath) {
        let mut table = self.table();
        table.subs.remove(&(id, path));
        table.registry.sub_ended(id, path);
    }
}

impl PreparedSub {
    /// Which it is.
    pub fn path(&self) -> SubPath {
        self.life.path
    }

    /// The port of its own way out, on the session's loopback.
    ///
    /// # Errors
    /// What the system says.
    pub fn bridge_port(&self) -> io::Result<u16> {
        let address = rustix::net::getsockname(&self.bridge)?;
        let address = rustix::net::SocketAddrV4::try_from(address)?;
        Ok(address.port())
    }

    /// Moves `process` into it. To be called once the sub-agent is on record.
    ///
    /// # Errors
    /// [`SessionError`]; the sub-agent is gone then, and its process too if it was moved.
    pub async fn place(self, process: OwnedFd) -> Result<LiveSub, SessionError> {
        let Self {
            life,
            cgroup,
            above,
            processes,
            bridge,
        } = self;
        // One that is a sub-agent by now must not become another, with what it gave up.
        if cgroup_of(&process).map_err(SessionError::Host)? != above {
            return Err(SessionError::NotPlaced);
        }
        let handles = life.sessions.table().handles.of(life.id)?;
        let fds = [processes.as_fd(), process.as_fd()];
        (handles.tell_with(&control::PLACE, &fds)).map_err(SessionError::Host)?;
        let asked = Instant::now();
        loop {
            match cgroup_of(&process) {
                Ok(now) if now == cgroup => break,
                Ok(_) if asked.elapsed() < PLACED => tokio::time::sleep(LOOK).await,
                Ok(_) => return Err(SessionError::NotPlaced),
                Err(error) => return Err(SessionError::Host(error)),
            }
        }
        // The process is known by its descriptor alone, so that it cannot be another by now.
        if peer::pid(&process).map_err(SessionError::Host)?.is_none() {
            return Err(SessionError::NotPlaced);
        }
        Ok(LiveSub {
            life,
            cgroup,
            bridge: Some(bridge),
        })
    }
}

impl LiveSub {
    /// Which it is.
    pub fn path(&self) -> SubPath {
        self.life.path
    }

    /// Waits until no process of it is left.
    ///
    /// # Errors
    /// What the system says.
    pub async fn ended(&self) -> io::Result<()> {
        match &self.life.files {
            Some(files) => unpopulated(files).await,
            None => Ok(()),
        }
    }

    /// Kills what is left of it, and has its cgroup taken away.
    pub async fn end(self) {
        let Self { life, cgroup, .. } = self;
        let sessions = life.sessions.clone();
        if let Some(files) = life.files.clone() {
            kill(&files).ok();
            // A process that will not go is the session's end to wait for.
            let _ = tokio::time::timeout(GONE, unpopulated(&files)).await;
        }
        drop(life);
        let removed = sessions
            .ask_launcher(move |launcher| socket::remove(launcher, cgroup))
            .await;
        if let Err(error) = removed {
            // Gone with its session, most likely.
            tracing::debug!(%error, "a sub-agent's cgroup was not there to be taken away");
        }
    }
}

fn kill(files: &CgroupFiles) -> io::Result<()> {
    rustix::io::write(&files.kill, b"1")?;
    Ok(())
}

async fn unpopulated(files: &CgroupFiles) -> io::Result<()> {
    let events = watched(files.events.try_clone()?)?;
    loop {
        let mut text = [0; 256];
        let read = match rustix::io::pread(&files.events, &mut text, 0) {
            // The cgroup is gone, and so is all that was in it.
            Err(rustix::io::Errno::NODEV) => return Ok(()),
            read @ (Ok(_) | Err(_)) => read?,
        };
        let text = text.get(..read).unwrap_or_default();
        let mut lines = text.split(|byte| *byte == b'\n');
        if lines.any(|line| line == b"populated 0") {
            return Ok(());
        }
        events.ready(Interest::PRIORITY).await?.clear_ready();
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for types that change their descriptor; an OwnedFd does not"
)]
fn watched(events: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(events, Interest::PRIORITY)
}
