//! Starting a session without root: its first process makes every namespace itself.
//!
//! Either the broker gets a whole session or nothing of it is left.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};

use super::{map_own, plan};
use crate::confine;
use crate::failure::{At, Refusal, Stage};
use crate::init;
use crate::message::{Access, Human, Launch, Launched, Limits, Told, Unkept};
use crate::spawn::{Expected, NAMESPACES, Parts, Ready, first_process, reap, spare_memory};
use crate::sys;

/// A session as this launcher keeps it.
#[derive(Debug)]
pub(super) struct Session {
    /// Its first process: what is killed with it is the whole session.
    pub(super) pidfd: OwnedFd,
    /// Held until it is over; there are no counters to tell of.
    _last_word: OwnedFd,
}

impl Session {
    /// Kills everything in it: with its first process goes its pid namespace.
    pub(super) fn kill(&self) {
        if let Err(error) = pidfd_send_signal(&self.pidfd, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            eprintln!("cannot kill a session: {error}");
        }
    }
}

/// Makes a session of `human`, who has to be who asks.
pub(super) fn start(mut launch: Launch, human: Human) -> Result<(Session, Launched), Refusal> {
    let (uid, _) = sys::peer_credentials(launch.human.as_fd()).at(Stage::Credentials)?;
    if uid != human.uid {
        return Err(Refusal::Human(uid));
    }
    spare_memory(&mut launch.limits);
    let (expected, unkept) = (Expected::of(&launch), unkept(&launch));
    let namespaces = NAMESPACES | libc::CLONE_NEWUSER;
    let made = first_process(expected, namespaces, None, |tell, control| {
        let planned = confine::die_with_launcher()
            .at(Stage::Privileges)
            .and_then(|()| map_own(human).at(Stage::Identity))
            .and_then(|()| plan::prepare(launch, human))
            .and_then(|plan| Ok((plan, ready().at(Stage::Identity)?)));
        match planned {
            Ok((plan, ready)) => init::run(&plan, &ready, tell, control),
            Err(refusal) => init::refuse(refusal, tell),
        }
    });
    let (parts, said) = match made {
        Ok(made) => made,
        Err((refusal, pidfd)) => {
            if let Some(pidfd) = pidfd {
                pidfd_send_signal(&pidfd, Signal::KILL).at(Stage::Spawn)?;
                reap(&pidfd)?;
            }
            return Err(refusal);
        }
    };
    let Parts {
        pidfd,
        control,
        network,
        terminal,
    } = parts;
    let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
    let (last_word, tell) = pipe_with(flags).at(Stage::Spawn)?;
    let [_, number @ ..] = said;
    let launched = Launched {
        uid,
        human,
        told: Told::PidNamespace(u64::from_le_bytes(number)),
        pidfd: pidfd.try_clone().at(Stage::Spawn)?,
        cgroup: None,
        control,
        bridge: network.bridge,
        doors: network.doors,
        names: network.names,
        terminal,
        unkept,
        last_word,
    };
    let session = Session {
        pidfd,
        _last_word: tell,
    };
    Ok((session, launched))
}

/// That the world stands, and by which number this process's pid namespace goes.
fn ready() -> io::Result<Ready> {
    let number = std::fs::metadata("/proc/self/ns/pid")?.ino();
    let mut ready = Ready::default();
    for (to, from) in ready.iter_mut().skip(1).zip(number.to_le_bytes()) {
        *to = from;
    }
    Ok(ready)
}

/// Of the bounds only those are kept that each process bears itself, and those of the session's own mounts.
fn unkept(launch: &Launch) -> Vec<Unkept> {
    let Limits {
        memory,
        cpu_weight,
        home,
        ..
    } = launch.limits;
    let kept = launch
        .trees
        .iter()
        .any(|tree| tree.access == Access::Keep && launch.home.is_within(&tree.place));
    [
        memory.map(|_| Unkept::Memory),
        cpu_weight.map(|_| Unkept::CpuWeight),
        home.filter(|_| kept).map(|_| Unkept::Home),
    ]
    .into_iter()
    .flatten()
    .collect()
}
