//! The launcher of a broker without root: a child of this process, with no rights and one peer.
//!
//! It has this process at its standard input, and ends with it; every session ends with it. The broker ends if it does:
//! without it there are no sessions, and whoever asks for one starts another broker.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use anyhow::Context;
use holdfast_launch_agents::task::{Sessions, Watcher};
use holdfast_protocol::clock::Clock;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// A launcher that runs.
pub struct Started {
    /// It.
    pub process: Child,
    /// How it is asked.
    pub sessions: Sessions,
    /// Tells when sessions end.
    pub watcher: Watcher,
}

/// Starts the launcher beside this program.
pub async fn start(clock: &Clock) -> anyhow::Result<Started> {
    let program = std::env::current_exe()?.with_file_name("holdfast-launcher");
    let (own, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .context("no socket for the launcher can be had")?;
    let process = Command::new(&program)
        .arg("--contained")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("`{}` does not start", program.display()))?;
    let clock = clock.clone();
    let heard = tokio::task::spawn_blocking(move || greeted(own, clock)).await?;
    let (sessions, watcher) =
        heard.context("the launcher makes no sessions without root; it says why above")?;
    Ok(Started {
        process,
        sessions,
        watcher,
    })
}

fn greeted(socket: OwnedFd, clock: Clock) -> anyhow::Result<(Sessions, Watcher)> {
    Ok(Sessions::contained(socket, clock)?)
}

/// Returns when the launcher has ended, or with `stop`; then it ends by itself, once nobody is at its other end.
pub async fn keep(mut process: Child, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        ended = process.wait() => tracing::error!(?ended, "the launcher has ended"),
    }
}
