//! The loop of a launcher without root: one broker, which started it, and its sessions.
//!
//! It ends when the broker does; its sessions end before it does, or with it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::stdio::stdin;

use super::spawn::{self, Session};
use crate::failure::Refusal;
use crate::message::{Answer, Greeting, Human, MAX_MESSAGE, Request};
use crate::{program, socket, spawn as shared, sys, wire};

/// Serves the broker until it is gone.
pub(super) fn run(human: Human) -> io::Result<()> {
    let broker = stdin().try_clone_to_owned()?;
    let (uid, _) = sys::peer_credentials(&broker)?;
    if uid != human.uid {
        return Err(io::Error::other(
            "standard input is not a broker's of the same human",
        ));
    }
    // What it starts must not hold its broker.
    program::redirect_input_to_null()?;
    let greeting = Greeting::default();
    let (bytes, fds) = wire::encode_greeting(&greeting);
    socket::send(&broker, &bytes, &fds)?;
    let mut launcher = Launcher {
        human,
        broker,
        running: Vec::new(),
        buffer: vec![0; MAX_MESSAGE],
    };
    while launcher.turn()? == Broker::There {}
    for session in &launcher.running {
        session.kill();
    }
    for session in &launcher.running {
        shared::reap(&session.pidfd).map_err(io::Error::other)?;
    }
    Ok(())
}

struct Launcher {
    human: Human,
    broker: OwnedFd,
    running: Vec<Session>,
    buffer: Vec<u8>,
}

#[derive(PartialEq, Eq)]
enum Broker {
    There,
    Gone,
}

impl Launcher {
    /// Waits for one round of events and handles each.
    fn turn(&mut self) -> io::Result<Broker> {
        let mut waiting = vec![PollFd::new(&self.broker, PollFlags::IN)];
        waiting.extend(
            self.running
                .iter()
                .map(|session| PollFd::new(&session.pidfd, PollFlags::IN)),
        );
        rustix::io::retry_on_intr(|| poll(&mut waiting, None))?;
        let ready: Vec<bool> = waiting.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(waiting);
        let (speaks, ended) = ready.split_first().ok_or(Errno::INVAL)?;
        let mut ended = ended.iter().copied();
        self.running.retain(|session| {
            let over = ended.next().unwrap_or_default();
            if over && let Err(error) = shared::reap(&session.pidfd) {
                eprintln!("cannot reap a session: {error}");
            }
            !over
        });
        if *speaks {
            self.hear()
        } else {
            Ok(Broker::There)
        }
    }

    fn hear(&mut self) -> io::Result<Broker> {
        let received = socket::receive(&self.broker, &mut self.buffer, RecvFlags::empty());
        let (bytes, fds) = match received {
            Ok(Some(message)) => message,
            Ok(None) | Err(Errno::CONNRESET) => return Ok(Broker::Gone),
            Err(error) => return Err(error.into()),
        };
        let request = wire::decode_request(bytes, fds);
        let answer = match request.and_then(|request| self.answer(request)) {
            Ok(answer) => answer,
            Err(refusal) => Answer::Refused(refusal),
        };
        let (bytes, fds) = wire::encode_answer(&answer);
        match socket::send(self.broker.as_fd(), &bytes, &fds) {
            Ok(()) => Ok(Broker::There),
            Err(Errno::PIPE | Errno::CONNRESET) => Ok(Broker::Gone),
            Err(error) => Err(error.into()),
        }
    }

    fn answer(&mut self, request: Request) -> Result<Answer, Refusal> {
        match request {
            Request::Launch(launch) => {
                let (session, launched) = spawn::start(*launch, self.human)?;
                self.running.push(session);
                Ok(Answer::Launched(Box::new(launched)))
            }
            // They take cgroups that root made, root's eyes, and root's own mounts.
            Request::Child { .. }
            | Request::Remove { .. }
            | Request::Describe { .. }
            | Request::Map { .. } => Err(Refusal::Unprivileged),
        }
    }
}
