//! Starting a session's process and waiting until its world stands.
//!
//! Either the broker gets a whole session or nothing of it is left.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::cgroup::{Leaf, Sessions};
use crate::child::Children;
use crate::failure::{At, Refusal, Stage};
use crate::message::{Access, Launch, Launched, Limits, Stdio, Unkept};
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
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
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
        Ok((pidfd, control, network, terminal)) => {
            let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
            let (last_word, tell) = pipe_with(flags).at(Stage::Spawn)?;
            let launched = Launched {
                uid,
                human,
                cgroup_id: leaf.id,
                pidfd: pidfd.try_clone().at(Stage::Spawn)?,
                cgroup: leaf.files()?,
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
fn spare_memory(limits: &mut Limits) {
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

type Parts = (OwnedFd, OwnedFd, Network, Option<OwnedFd>);

fn start_in(plan: &plan::Plan, leaf: &Leaf) -> Result<Parts, Refusal> {
    let pair = || {
        socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .at(Stage::Spawn)
    };
    let (ready, tell) = pair()?;
    let (control, inner_control) = pair()?;
    let pidfd = match sys::clone_into(NAMESPACES, Some(leaf.folder.as_fd())).at(Stage::Spawn)? {
        Side::Child => {
            // Its own copies of the other ends: with them it would wait for a launcher that is gone.
            drop((ready, control));
            init::run(plan, tell.as_fd(), inner_control.as_fd())
        }
        Side::Parent(_, pidfd) => pidfd,
    };
    drop((tell, inner_control));
    match await_world(&ready) {
        Ok(mut fds) => {
            let terminal = match plan.launch.stdio {
                Stdio::Terminal(_) => fds.pop(),
                Stdio::Pipes { .. } => None,
            };
            let network = Network::received(&plan.launch, fds).ok_or(Refusal::Descriptors)?;
            Ok((pidfd, control, network, terminal))
        }
        Err(refusal) => {
            leaf.kill().at(Stage::Cgroup)?;
            waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).at(Stage::Spawn)?;
            Err(refusal)
        }
    }
}

/// The descriptors that the session's first process made, once its world stands.
fn await_world(ready: &OwnedFd) -> Result<Vec<OwnedFd>, Refusal> {
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
        Some(([0], fds)) => Ok(fds),
        Some((bytes, fds)) => match wire::decode_answer(bytes, fds) {
            Some(crate::message::Answer::Refused(refusal)) => Err(refusal),
            Some(_) | None => Err(died),
        },
        None => Err(died),
    }
}
