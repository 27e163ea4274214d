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

use holdfast_launcher::control::{GO_ON, HALT, START};
use holdfast_launcher::inward;
use holdfast_launcher::message::CgroupFiles;
use holdfast_launcher::shell::ShellOrder;
use holdfast_launcher::socket;
use holdfast_protocol::id::SessionId;
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::Interest;

use super::{SessionError, memory, processes};
use crate::state::StateError;

/// How often a freezing cgroup is looked at; freezing takes less than this, mostly.
const LOOK: Duration = Duration::from_millis(1);

/// One session's.
#[derive(Debug)]
pub(super) struct Handles {
    life: Life,
    control: OwnedFd,
    /// Whether the first process was told to let the program run: before that it hears of nothing else.
    begun: AtomicBool,
}

/// What a session is stopped by.
#[derive(Debug)]
enum Life {
    /// Its cgroup.
    Cgroup(CgroupFiles),
    /// Its first process, where there is no cgroup: what is killed with it is everything in its pid namespace.
    FirstProcess(OwnedFd),
}

impl Handles {
    pub(super) fn new(
        cgroup: Option<CgroupFiles>,
        first: &OwnedFd,
        control: &OwnedFd,
    ) -> io::Result<Self> {
        Ok(Self {
            life: match cgroup {
                Some(cgroup) => Life::Cgroup(cgroup),
                None => Life::FirstProcess(first.try_clone()?),
            },
            control: control.try_clone()?,
            begun: AtomicBool::new(false),
        })
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        match &self.life {
            Life::Cgroup(cgroup) => write(&cgroup.kill, b"1"),
            Life::FirstProcess(first) => match pidfd_send_signal(first, Signal::KILL) {
                // It has ended, which serves as well.
                Ok(()) | Err(Errno::SRCH) => Ok(()),
                Err(errno) => Err(errno.into()),
            },
        }
    }

    /// Returns once no process of the session runs.
    pub(super) async fn freeze(&self) -> io::Result<()> {
        match &self.life {
            Life::Cgroup(cgroup) => {
                write(&cgroup.freeze, b"1")?;
                while !is_frozen(cgroup)? {
                    tokio::time::sleep(LOOK).await;
                }
                Ok(())
            }
            Life::FirstProcess(_) => self.halt().await,
        }
    }

    /// Has the first process stop all others.
    async fn halt(&self) -> io::Result<()> {
        if !self.begun.load(Ordering::Acquire) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let (stands, tell) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        socket::tell(&self.control, &HALT, &[tell.as_fd()])?;
        drop(tell);
        let stands = super::watch::readable(stands)?;
        let read = |fd: &OwnedFd| Ok(rustix::io::read(fd, &mut [0; 1][..])?);
        match stands.async_io(Interest::READABLE, read).await? {
            // Closed without a word: it could not, or is gone.
            0 => Err(io::ErrorKind::BrokenPipe.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn thaw(&self) -> io::Result<()> {
        match &self.life {
            Life::Cgroup(cgroup) => write(&cgroup.freeze, b"0"),
            Life::FirstProcess(_) => self.tell(&GO_ON),
        }
    }

    /// The processor time that it has taken until now.
    pub(super) fn usage(&self) -> io::Result<Duration> {
        let cgroup = match &self.life {
            Life::Cgroup(cgroup) => cgroup,
            Life::FirstProcess(first) => return processes::usage(first),
        };
        let mut stat = [0; 512];
        let read = rustix::io::pread(&cgroup.usage, &mut stat, 0)?;
        let stat = String::from_utf8_lossy(stat.get(..read).unwrap_or_default());
        let usage = stat
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        let usage = usage.and_then(|microseconds| microseconds.trim().parse().ok());
        usage
            .map(Duration::from_micros)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// How many processes it has.
    pub(super) fn processes(&self) -> io::Result<u32> {
        match &self.life {
            Life::Cgroup(_) => Ok(u32::try_from(self.pids()?.len()).unwrap_or(u32::MAX)),
            Life::FirstProcess(first) => processes::count(first),
        }
    }

    /// Its processes' ids.
    pub(super) fn pids(&self) -> io::Result<Vec<u32>> {
        match &self.life {
            Life::Cgroup(cgroup) => memory::pids(&cgroup.processes),
            Life::FirstProcess(first) => processes::below(first),
        }
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
}

fn is_frozen(cgroup: &CgroupFiles) -> io::Result<bool> {
    let mut events = [0; 256];
    let read = rustix::io::pread(&cgroup.events, &mut events, 0)?;
    let events = events.get(..read).unwrap_or_default();
    Ok(events
        .split(|byte| *byte == b'\n')
        .any(|line| line == b"frozen 1"))
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
