//! The descriptors that hold a session's life.
//!
//! Whoever has them can freeze, thaw and kill it without any right of their own; so they must never
//! be passed on.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU16;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast_launcher::control::START;
use holdfast_launcher::inward;
use holdfast_launcher::message::CgroupFiles;
use holdfast_launcher::shell::ShellOrder;
use holdfast_launcher::socket;
use holdfast_protocol::id::SessionId;
use rustix::net::SendFlags;

use super::{SessionError, memory};
use crate::state::StateError;

/// How often a freezing cgroup is looked at; freezing takes less than this, mostly.
const LOOK: Duration = Duration::from_millis(1);

/// One session's.
#[derive(Debug)]
pub(super) struct Handles {
    cgroup: CgroupFiles,
    control: OwnedFd,
    /// Whether the first process was told to let the program run: before that it hears of nothing else.
    begun: AtomicBool,
}

impl Handles {
    pub(super) fn new(cgroup: CgroupFiles, control: &OwnedFd) -> io::Result<Self> {
        Ok(Self {
            cgroup,
            control: control.try_clone()?,
            begun: AtomicBool::new(false),
        })
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        write(&self.cgroup.kill, b"1")
    }

    /// Returns once no process of the session runs.
    pub(super) async fn freeze(&self) -> io::Result<()> {
        write(&self.cgroup.freeze, b"1")?;
        while !self.is_frozen()? {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    pub(super) fn thaw(&self) -> io::Result<()> {
        write(&self.cgroup.freeze, b"0")
    }

    /// The processor time that it has taken until now.
    pub(super) fn usage(&self) -> io::Result<Duration> {
        let mut stat = [0; 512];
        let read = rustix::io::pread(&self.cgroup.usage, &mut stat, 0)?;
        let stat = String::from_utf8_lossy(stat.get(..read).unwrap_or_default());
        let usage = stat
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        let usage = usage.and_then(|microseconds| microseconds.trim().parse().ok());
        usage
            .map(Duration::from_micros)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// How many processes it has; more than fit one page of the kernel's are not counted.
    pub(super) fn processes(&self) -> io::Result<u32> {
        let mut pids = vec![0; 64 * 1024];
        let read = rustix::io::pread(&self.cgroup.processes, &mut pids, 0)?;
        let lines = pids.get(..read).unwrap_or_default();
        let count = lines.iter().filter(|byte| **byte == b'\n').count();
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Its processes' ids.
    pub(super) fn pids(&self) -> io::Result<Vec<u32>> {
        memory::pids(&self.cgroup.processes)
    }

    pub(super) fn tell(&self, message: &[u8]) -> io::Result<()> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::send(&self.control, message, flags)?;
        Ok(())
    }

    /// Asks for a connection to a port of the session's loopback; what comes back is answered on.
    pub(super) fn ask_for(&self, port: NonZeroU16) -> io::Result<OwnedFd> {
        inward::ask(&self.control, port)
    }

    /// A message with descriptors.
    pub(super) fn tell_with(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        socket::tell(&self.control, message, fds)
    }

    pub(super) fn begin(&self) -> io::Result<()> {
        rustix::net::send(&self.control, &START, SendFlags::NOSIGNAL)?;
        self.begun.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn order(&self, order: &ShellOrder, streams: &[OwnedFd]) -> io::Result<OwnedFd> {
        if !self.begun.load(Ordering::Acquire) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        holdfast_launcher::shell::order(self.control.as_fd(), order, streams)
    }

    fn is_frozen(&self) -> io::Result<bool> {
        let mut events = [0; 256];
        let read = rustix::io::pread(&self.cgroup.events, &mut events, 0)?;
        let events = events.get(..read).unwrap_or_default();
        Ok(events
            .split(|byte| *byte == b'\n')
            .any(|line| line == b"frozen 1"))
    }
}

/// All live sessions'.
#[derive(Debug, Default)]
pub(super) struct All(BTreeMap<SessionId, Arc<Handles>>);

impl All {
    pub(super) fn of(&self, id: SessionId) -> Result<Arc<Handles>, SessionError> {
        let unknown = SessionError::State(StateError::Unknown(id));
        self.0.get(&id).cloned().ok_or(unknown)
    }

    pub(super) fn insert(&mut self, id: SessionId, handles: Arc<Handles>) {
        self.0.insert(id, handles);
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        self.0.remove(&id);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Handles> {
        self.0.values().map(Arc::as_ref)
    }
}

fn write(file: &OwnedFd, value: &[u8]) -> io::Result<()> {
    rustix::io::write(file, value)?;
    Ok(())
}
