//! The launcher's one loop: connections of the broker, and sessions that end.
//!
//! It serves one message at a time and never waits for a peer. A session lives no longer than the
//! connection that asked for it: when the broker goes, its sessions go.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, Uid, chown};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, socket_with,
};
use rustix::process::{WaitId, WaitIdOptions, umask, waitid};

use crate::cgroup::Sessions;
use crate::child::Children;
use crate::claims::Claims;
use crate::describe::describe;
use crate::message::{Answer, Greeting, Launch, MAX_MESSAGE, Request, SessionUid};
use crate::options::{Listen, Options};
use crate::spawn::{self, Remains, Session};
use crate::uids::Uids;
use crate::{Refusal, accounts, plan, socket, sys, wire};

/// The most connections at once; the broker needs one.
const MAX_CONNECTIONS: usize = 8;
/// How long an ended session's cgroup is left before the next attempt to remove it.
const RETRY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// Serves the broker until the process is ended.
///
/// # Errors
/// The host cannot be served on: no cgroup v2, no socket, not root, or more than one thread.
pub fn run(options: Options) -> io::Result<()> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("the launcher must have one thread"));
    }
    accounts::refuse_taken(&options.uids)?;
    let listener = open_listener(&options)?;
    let mut launcher = Launcher {
        uids: Uids::new(options.uids.clone()),
        claims: Claims::open()?,
        sessions: Sessions::open()?,
        options,
        connections: Vec::new(),
        running: Vec::new(),
        ended: Vec::new(),
        buffer: vec![0; MAX_MESSAGE],
        next: 0,
    };
    loop {
        launcher.turn(&listener)?;
    }
}

struct Launcher {
    options: Options,
    uids: Uids,
    claims: Claims,
    sessions: Sessions,
    connections: Vec<Connection>,
    running: Vec<Running>,
    ended: Vec<Remains>,
    buffer: Vec<u8>,
    next: u64,
}

/// A session, who asked for it, and its sub-agents' cgroups.
struct Running {
    owner: ConnectionId,
    session: Session,
    children: Children,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct ConnectionId(u64);

struct Connection {
    id: ConnectionId,
    socket: OwnedFd,
}

impl Launcher {
    /// Waits for one round of events and handles each.
    fn turn(&mut self, listener: &OwnedFd) -> io::Result<()> {
        let ready = self.wait(listener)?;
        let (accepting, rest) = ready.split_first().ok_or(Errno::INVAL)?;
        let (connections, sessions) = rest
            .split_at_checked(self.connections.len())
            .ok_or(Errno::INVAL)?;
        // Sessions first: a connection's end may add to those that are to be reaped next time.
        let ended: Vec<usize> = positions(sessions);
        let speaking: Vec<usize> = positions(connections);
        for &index in ended.iter().rev() {
            self.reap(index);
        }
        for &index in speaking.iter().rev() {
            self.hear(index);
        }
        if *accepting {
            self.accept(listener);
        }
        self.clean();
        Ok(())
    }

    fn wait(&self, listener: &OwnedFd) -> io::Result<Vec<bool>> {
        let mut waiting = vec![PollFd::new(listener, PollFlags::IN)];
        waiting.extend(
            self.connections
                .iter()
                .map(|c| PollFd::new(&c.socket, PollFlags::IN)),
        );
        waiting.extend(
            self.running
                .iter()
                .map(|running| PollFd::new(&running.session.pidfd, PollFlags::IN)),
        );
        let lingers = self.running.iter().any(|running| running.children.linger());
        let timeout = (lingers || !self.ended.is_empty()).then_some(&RETRY);
        rustix::io::retry_on_intr(|| poll(&mut waiting, timeout))?;
        Ok(waiting.iter().map(|fd| !fd.revents().is_empty()).collect())
    }

    fn accept(&mut self, listener: &OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = accept_with(listener, flags) else {
            return;
        };
        let broker =
            sys::peer_credentials(&socket).is_ok_and(|(uid, _)| uid == self.options.broker);
        let greeting = boot_records();
        let (bytes, fds) = wire::encode_greeting(&greeting);
        if broker
            && self.connections.len() < MAX_CONNECTIONS
            && socket::send(&socket, &bytes, &fds).is_ok()
        {
            self.next = self.next.wrapping_add(1);
            let id = ConnectionId(self.next);
            self.connections.push(Connection { id, socket });
        }
    }

    fn hear(&mut self, index: usize) {
        let Some(connection) = self.connections.get(index) else {
            return;
        };
        let received = socket::receive(&connection.socket, &mut self.buffer, RecvFlags::empty());
        let (bytes, fds) = match received {
            Ok(Some(message)) => message,
            Err(Errno::AGAIN) => return,
            Ok(None) | Err(_) => return self.lose(index),
        };
        let asks = connection.id;
        let request = wire::decode_request(bytes, fds);
        let answer = match request.and_then(|request| self.answer(asks, request)) {
            Ok(answer) => answer,
            Err(refusal) => Answer::Refused(refusal),
        };
        let Some(connection) = self.connections.get(index) else {
            return;
        };
        let (bytes, fds) = wire::encode_answer(&answer);
        if socket::send(&connection.socket, &bytes, &fds).is_err() {
            self.lose(index);
        }
    }

    fn answer(&mut self, asks: ConnectionId, request: Request) -> Result<Answer, Refusal> {
        match request {
            Request::Launch(launch) => self.launch(asks, *launch),
            Request::Child { parent } => {
                let running = self.of(asks, parent)?;
                let child = running.children.make(&running.session, parent)?;
                Ok(Answer::Child(child))
            }
            Request::Remove { cgroup } => {
                let running = self.of(asks, cgroup)?;
                running.children.let_go(cgroup);
                Ok(Answer::Removed)
            }
            Request::Describe { process } => describe(process.as_fd()).map(Answer::Described),
            Request::Map { trees } => {
                plan::map(&trees, *self.options.uids.start()).map(Answer::Mapped)
            }
        }
    }

    fn launch(&mut self, owner: ConnectionId, launch: Launch) -> Result<Answer, Refusal> {
        let own = match launch.uid {
            SessionUid::Own => {
                let free = self.uids.take(|uid| self.claims.claim(uid));
                Some(free.ok_or(Refusal::Exhausted)?)
            }
            SessionUid::Humans => None,
        };
        let (session, launched) = spawn::start(launch, own, &self.options, &mut self.sessions)
            .inspect_err(|_| {
                if let Some(uid) = own {
                    self.uids.give_back(uid);
                    self.claims.give_up(uid);
                }
            })?;
        self.running.push(Running {
            owner,
            session,
            children: Children::default(),
        });
        Ok(Answer::Launched(Box::new(launched)))
    }

    /// The session of `asks` whose cgroup this is, or one of whose sub-agents'.
    fn of(&mut self, asks: ConnectionId, cgroup: u64) -> Result<&mut Running, Refusal> {
        let mut running = self.running.iter_mut();
        let found = running.find(|running| {
            running.owner == asks
                && (running.session.leaf.id == cgroup || running.children.has(cgroup))
        });
        found.ok_or(Refusal::Message)
    }

    /// Drops a connection and ends its sessions.
    fn lose(&mut self, index: usize) {
        let lost = self.connections.swap_remove(index).id;
        for Running { owner, session, .. } in &self.running {
            if *owner == lost
                && let Err(error) = session.leaf.kill()
            {
                eprintln!("cannot kill the session of uid {}: {error}", session.uid);
            }
        }
    }

    fn reap(&mut self, index: usize) {
        let Running {
            session,
            mut children,
            ..
        } = self.running.swap_remove(index);
        children.end();
        if let Err(error) = waitid(WaitId::PidFd(session.pidfd.as_fd()), WaitIdOptions::EXITED) {
            eprintln!("cannot reap the session of uid {}: {error}", session.uid);
        }
        session.say_last_word();
        self.ended.push(Remains {
            own: session.own,
            leaf: session.leaf,
            children,
        });
    }

    /// Removes the cgroups of ended sessions; only then may their uids be used again.
    fn clean(&mut self) {
        for running in &mut self.running {
            running.children.clean(&running.session.leaf);
        }
        let (sessions, uids, claims) = (&self.sessions, &mut self.uids, &self.claims);
        self.ended.retain_mut(|remains| {
            remains.children.clean(&remains.leaf);
            match sessions.remove(&remains.leaf) {
                Ok(()) | Err(Errno::NOENT) => {
                    if let Some(uid) = remains.own {
                        uids.give_back(uid);
                        claims.give_up(uid);
                    }
                    false
                }
                Err(_) => {
                    remains.leaf.kill().ok();
                    true
                }
            }
        });
    }
}

/// Opened anew for each connection, since a reader's position goes with the descriptor.
fn boot_records() -> Greeting {
    let open = |path| fs::File::open(path).ok().map(OwnedFd::from);
    Greeting {
        event_log: open("/sys/kernel/security/tpm0/binary_bios_measurements"),
        ima_list: open("/sys/kernel/security/ima/binary_runtime_measurements"),
        systemd_log: open("/run/log/systemd/tpm2-measure.log"),
    }
}

fn positions(ready: &[bool]) -> Vec<usize> {
    let indexed = ready.iter().enumerate();
    indexed
        .filter_map(|(index, ready)| ready.then_some(index))
        .collect()
}

fn open_listener(options: &Options) -> io::Result<OwnedFd> {
    match &options.listen {
        Listen::Passed => {
            let own = std::process::id().to_string();
            let passed = |name| std::env::var(name).unwrap_or_default();
            if passed("LISTEN_PID") != own || passed("LISTEN_FDS") != "1" {
                return Err(io::Error::other("no socket was passed"));
            }
            sys::adopt(3)
        }
        Listen::At(path) => {
            match fs::symlink_metadata(path) {
                // Only a socket of ours is replaced, and only if nobody listens there.
                Ok(old) if old.file_type().is_socket() && old.uid() == options.broker => {
                    refuse_a_second(path)?;
                    fs::remove_file(path)?;
                }
                Ok(_) | Err(_) => {}
            }
            let flags = SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            umask(Mode::from(0o177));
            bind(&socket, &SocketAddrUnix::new(path.as_path())?)?;
            umask(Mode::from(0o022));
            chown(path.as_path(), Some(Uid::from_raw(options.broker)), None)?;
            listen(&socket, 4)?;
            Ok(socket)
        }
    }
}

/// Fails where another launcher listens: to take its socket would cut its broker off.
fn refuse_a_second(path: &Path) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        // Its queue may be full, which takes a listener as well.
        Ok(()) | Err(Errno::AGAIN) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!(
                "another launcher listens at `{}`: stop it first",
                path.display()
            ),
        )),
        Err(_) => Ok(()),
    }
}
