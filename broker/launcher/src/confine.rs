//! Giving up rights: uid, capabilities, core dumps, and what Landlock takes.
//!
//! One way only. Nothing here may fail without ending the session.

use std::os::fd::AsFd;

use landlock::{
    ABI, Access as _, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    Scope,
};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getrlimit, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{
    CapabilitiesSecureBits as Bits, CapabilitySet, CapabilitySets, LinkNameSpaceType,
    clear_ambient_capability_set, move_into_link_name_space, remove_capability_from_bounding_set,
    set_capabilities, set_capabilities_secure_bits, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use crate::contained;
use crate::failure::{Refusal, Stage};
use crate::message::{Access, Human, Limits};
use crate::plan::{Identity, Plan};

/// The session does not outlive the launcher. A change of uid undoes this: say it again after.
pub(crate) fn die_with_launcher() -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))
}

/// Enters the session's user namespace, takes its only uid, and drops everything else.
pub(crate) fn become_session(identity: &Identity, human: Human) -> Result<(), Errno> {
    match identity {
        Identity::Made(namespace) => {
            set_thread_groups(&[])?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::User))?;
        }
        Identity::Unmade => contained::leave_for_one_that_owns_nothing(human)?,
    }
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // The kernel is older than the capability.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    // A human who is root is uid 0 inside: that number must not bring capabilities back.
    set_capabilities_secure_bits(
        Bits::NO_ROOT
            | Bits::NO_ROOT_LOCKED
            | Bits::NO_SETUID_FIXUP
            | Bits::NO_SETUID_FIXUP_LOCKED
            | Bits::KEEP_CAPS_LOCKED
            | Bits::NO_CAP_AMBIENT_RAISE
            | Bits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )?;
    let (uid, gid) = (Uid::from_raw(human.uid), Gid::from_raw(human.gid));
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // One byte is less than any core, so the kernel writes no file; and of a limit of just 1 it makes
    // no core for a program that takes them by a pipe either, which one of 0 would let have it.
    let no_core = Rlimit {
        current: Some(1),
        maximum: Some(1),
    };
    // Hard: a process of the same uid could otherwise raise it and read secrets out of a core.
    setrlimit(Resource::Core, no_core)?;
    die_with_launcher()
}

/// The bounds that each of the session's processes bears, and none can lift: without a right to raise
/// a hard limit there is no way back.
///
/// The kernel counts processes by uid and user namespace (setrlimit(2)), which are this session's
/// alone: the bound holds for all of it together. There is none on addresses: the engines that agents
/// are written in reserve far more of them than they use.
pub(crate) fn limit(limits: Limits) -> Result<(), Errno> {
    let bounds = [
        (Resource::Nproc, limits.processes.map(|n| n.get().into())),
        (Resource::Nofile, limits.files.map(|n| n.get().into())),
        (Resource::Fsize, limits.file_size.map(|n| n.get())),
    ];
    for (resource, most) in bounds {
        let Some(most) = most else { continue };
        // The host's own hard limit may be lower still.
        let own = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let most = Some(most.min(own));
        setrlimit(
            resource,
            Rlimit {
                current: most,
                maximum: most,
            },
        )?;
    }
    Ok(())
}

/// How far a program's signals go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signals {
    /// To what it has started itself.
    Within,
    /// To every process of the session.
    Session,
}

/// Landlock, as much of it as the kernel has: write only where the session may, signal and reach
/// abstract sockets only as far as it is let.
///
/// The second wall: the mounts already say the same.
pub(crate) fn landlock(plan: &Plan, signals: Signals) -> Result<(), Refusal> {
    let refused = |errno: i32| Refusal::Host {
        stage: Stage::Landlock,
        errno,
    };
    let abi = ABI::V6;
    let (all, read) = (AccessFs::from_all(abi), AccessFs::from_read(abi));
    let mut writable: Vec<String> = ["/tmp", "/dev", "/proc"].map(str::to_owned).into();
    writable.push(plan.launch.home.to_string());
    for lent in &plan.trees {
        match lent.access {
            Access::Write | Access::Keep => writable.push(lent.place.to_string()),
            Access::Public | Access::Read => {}
        }
    }
    let scope = match signals {
        Signals::Within => Scope::from_all(abi),
        Signals::Session => Scope::from_all(abi) & !Scope::Signal,
    };
    let build = || -> Result<(), landlock::RulesetError> {
        let mut rules = Ruleset::default()
            .handle_access(all)?
            .scope(scope)?
            .create()?;
        for (place, access) in
            std::iter::once(("/", read)).chain(writable.iter().map(|place| (place.as_str(), all)))
        {
            // A place that is a file takes only the rights that files have.
            if let Ok(fd) = PathFd::new(place) {
                rules = rules.add_rule(PathBeneath::new(fd, access))?;
            }
        }
        rules.restrict_self()?;
        Ok(())
    };
    build().map_err(|_| refused(libc::EINVAL))
}
