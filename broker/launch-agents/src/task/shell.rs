//! A shell that a session's human opened beside its program.
//!
//! Dropping it hangs up: what runs in it hears that, and the shell ends.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use holdfast_launcher::control::{Ending, PassedSignal};
use holdfast_launcher::shell::{self, ShellNews};
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::watch::readable;

/// A shell that was ordered.
#[derive(Debug)]
pub struct Shell(AsyncFd<OwnedFd>);

/// What came of the order.
#[derive(Debug)]
pub enum Opened {
    /// It runs; the other end of its terminal, if it has one.
    Yes(Option<OwnedFd>),
    /// It does not.
    No(Ending),
}

impl Shell {
    pub(super) fn new(control: OwnedFd) -> io::Result<Self> {
        readable(control).map(Self)
    }

    /// Waits until it runs. To be asked once, first.
    ///
    /// # Errors
    /// The host's.
    pub async fn opened(&self) -> io::Result<Opened> {
        Ok(match self.news().await? {
            ShellNews::Opened(terminal) => Opened::Yes(terminal),
            ShellNews::Ended(ending) => Opened::No(ending),
        })
    }

    /// Waits until it has ended; with its session it is killed.
    ///
    /// # Errors
    /// The host's.
    pub async fn ended(&self) -> io::Result<Ending> {
        loop {
            if let ShellNews::Ended(ending) = self.news().await? {
                return Ok(ending);
            }
        }
    }

    /// Passes a signal on to it.
    ///
    /// # Errors
    /// The host's; it may have ended.
    pub fn signal(&self, signal: PassedSignal) -> io::Result<()> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::send(self.0.get_ref(), &signal.encode(), flags)?;
        Ok(())
    }

    async fn news(&self) -> io::Result<ShellNews> {
        let hear = |control: &OwnedFd| shell::hear(control.as_fd());
        self.0.async_io(Interest::READABLE, hear).await
    }
}
