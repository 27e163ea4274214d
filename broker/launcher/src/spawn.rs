//! Starting a session's process and waiting until its world stands.
//!
//! Either the broker gets a whole session or nothing of it is left.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::cgroup::{Leaf, Sessions};
use crate::child::Children;
use crate::failure::{At, Refusal, Stage};
use crate::message::{Access, Launch, Launched, Limits, Stdio, Told, Unkept};
use crate::network::Network;
use crate::options::Options;
use crate::sys::{self, Side};
use crate::{init, plan, socket, wire};

/// A session as the launcher keeps it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) uid: u32,
    /// The uid that is nothing else's until this session is gone, if it has one.
    pub(crate) own: Option<u32>,
    pub(crate) pidfd: OwnedFd,
    pub(crate) leaf: Leaf,
    /// Where the broker reads what it ran into.
    pub(crate) last_word: OwnedFd,
}

impl Session {
    /// Tells what it ran into; to be said once nothing of it runs, before its cgroup goes.
    pub(crate) fn say_last_word(&self) {
        // A broker that is gone need not hear it; a pipe has room for the only thing ever written to it.
        rustix::io::write(&self.last_word, &self.leaf.reached().encode()).ok();
    }
}

/// What is left of one that has ended.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) own: Option<u32>,
    pub(crate) leaf: Leaf,
    pub(crate) children: Children,
}

/// How long a session may take to build its world.
const DEADLINE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// Every namespace but the user namespace, which the session enters last and which owns nothing;
/// and but the cgroup namespace, which is made from inside the new cgroup.
pub(crate) const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// Makes a session under `own`, or under its human's uid.
pub(crate) fn start(
    launch: Launch,
    own: Option<u32>,
    options: &Options,
    sessions: &mut Sessions,
) -> Result<(Session, Launched), Refusal> {
    let human = plan::human(launch.human.as_fd(), options)?;
    let limits = launch.limits;
    let host = plan::host(human, own)?;
    let uid = host.uid;
    let mut plan = plan::prepare(launch, human, host, options.broker)?;
    let leaf = sessions.make(uid, limits)?;
    if leaf.unkept.contains(&Unkept::Memory) {
        spare_memory(&mut plan.launch.limits);
    }
    match start_in(&plan, &leaf) {
        Ok(Parts {
            pidfd,
            control,
            network,
            terminal,
        }) => {
            let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
            let (last_word, tell) = pipe_with(flags).at(Stage::Spawn)?;
            let launched = Launched {
                uid,
                human,
                told: Told::Cgroup(leaf.id),
                pidfd: pidfd.try_clone().at(Stage::Spawn)?,
                cgroup: Some(leaf.files()?),
                control,
                bridge: network.bridge,
                doors: network.doors,
                names: network.names,
                terminal,
                unkept: unkept(&plan, &leaf),
                last_word,
            };
            let session = Session {
                uid,
                own,
                pidfd,
                leaf,
                last_word: tell,
            };
            Ok((session, launched))
        }
        Err(refusal) => {
            sessions.remove(&leaf).at(Stage::Cgroup)?;
            Err(refusal)
        }
    }
}

/// The folders in memory take no more than an eighth of it each, where nothing else bounds them.
pub(crate) fn spare_memory(limits: &mut Limits) {
    let host = rustix::system::sysinfo();
    let most = host.totalram.saturating_mul(host.mem_unit.into()) / 8;
    let Some(most) = NonZeroU64::new(most) else {
        return;
    };
    for bound in [&mut limits.scratch, &mut limits.home] {
        *bound = Some(bound.map_or(most, |bound| bound.min(most)));
    }
}

/// The bounds that neither the cgroup nor the session's own mounts keep.
fn unkept(plan: &plan::Plan, leaf: &Leaf) -> Vec<Unkept> {
    let mut unkept = leaf.unkept.clone();
    let launch = &plan.launch;
    let kept =
        |lent: &plan::Lent| lent.access == Access::Keep && launch.home.is_within(&lent.place);
    if launch.limits.home.is_some() && plan.trees.iter().any(kept) {
        unkept.push(Unkept::Home);
    }
    unkept
}

fn start_in(plan: &plan::Plan, leaf: &Leaf) -> Result<Parts, Refusal> {
    let made = first_process(
        Expected::of(&plan.launch),
        NAMESPACES,
        Some(leaf.folder.as_fd()),
        |tell, control| init::run(plan, &[0], tell, control),
    );
    match made {
        Ok((parts, _)) => Ok(parts),
        Err((refusal, pidfd)) => {
            leaf.kill().at(Stage::Cgroup)?;
            if let Some(pidfd) = pidfd {
                reap(&pidfd)?;
            }
            Err(refusal)
        }
    }
}

/// What a session's first process hands over.
pub(crate) struct Parts {
    pub(crate) pidfd: OwnedFd,
    pub(crate) control: OwnedFd,
    pub(crate) network: Network,
    pub(crate) terminal: Option<OwnedFd>,
}

/// What it is to hand over.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    terminals: usize,
    doors: usize,
}

impl Expected {
    pub(crate) fn of(launch: &Launch) -> Self {
        Self {
            terminals: match launch.stdio {
                Stdio::Terminal(_) => 1,
                Stdio::Pipes { .. } => 0,
            },
            doors: launch.doors.len(),
        }
    }
}

/// Waits until a process that was killed is gone.
pub(crate) fn reap(pidfd: &OwnedFd) -> Result<(), Refusal> {
    waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)
        .map(drop)
        .at(Stage::Spawn)
}

/// Starts a session's first process, which does what `inside` says, and waits until its world stands. Also gives what it said
/// then.
///
/// # Errors
/// Why there is none; where its process lives yet, it is the caller's to kill and reap.
pub(crate) fn first_process(
    expected: Expected,
    namespaces: libc::c_int,
    cgroup: Option<BorrowedFd<'_>>,
    inside: impl FnOnce(BorrowedFd<'_>, BorrowedFd<'_>),
) -> Result<(Parts, Ready), (Refusal, Option<OwnedFd>)> {
    let pair = || {
        socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .at(Stage::Spawn)
        .map_err(|refusal| (refusal, None))
    };
    let (ready, tell) = pair()?;
    let (control, inner_control) = pair()?;
    let side = sys::clone_into(namespaces, cgroup).at(Stage::Spawn);
    let pidfd = match side.map_err(|refusal| (refusal, None))? {
        Side::Child => {
            // Its own copies of the other ends: with them it would wait for a launcher that is gone.
            drop((ready, control));
            inside(tell.as_fd(), inner_control.as_fd());
            sys::exit_now(1)
        }
        Side::Parent(_, pidfd) => pidfd,
    };
    drop((tell, inner_control));
    let handed = await_world(&ready).and_then(|(mut fds, said)| {
        let terminal = (expected.terminals > 0).then(|| fds.pop()).flatten();
        let network = Network::received(expected.doors, fds).ok_or(Refusal::Descriptors)?;
        Ok((network, terminal, said))
    });
    match handed {
        Ok((network, terminal, said)) => Ok((
            Parts {
                pidfd,
                control,
                network,
                terminal,
            },
            said,
        )),
        Err(refusal) => Err((refusal, Some(pidfd))),
    }
}

/// What a first process says once its world stands: 0, and its pid namespace's number where that tells its
/// processes from others.
pub(crate) type Ready = [u8; 9];

/// The descriptors that the session's first process made, once its world stands.
fn await_world(ready: &OwnedFd) -> Result<(Vec<OwnedFd>, Ready), Refusal> {
    let mut poller = [PollFd::new(ready, PollFlags::IN)];
    let late = Refusal::Host {
        stage: Stage::Deadline,
        errno: libc::ETIMEDOUT,
    };
    if rustix::io::retry_on_intr(|| poll(&mut poller, Some(&DEADLINE))).at(Stage::Spawn)? == 0 {
        return Err(late);
    }
    let mut buffer = [0; 16];
    let died = Refusal::Host {
        stage: Stage::Spawn,
        errno: libc::ECHILD,
    };
    match socket::receive(ready, &mut buffer, RecvFlags::empty()).at(Stage::Spawn)? {
        Some(([0, number @ ..], fds)) => {
            let mut said = Ready::default();
            for (to, from) in said.iter_mut().skip(1).zip(number) {
                *to = *from;
            }
            Ok((fds, said))
        }
        Some((bytes, fds)) => match wire::decode_answer(bytes, fds) {
            Some(crate::message::Answer::Refused(refusal)) => Err(refusal),
            Some(_) | None => Err(died),
        },
        None => Err(died),
    }
}
