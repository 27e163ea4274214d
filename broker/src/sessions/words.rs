//! Sessions in words: for listings, for the command line that waits, for the record.

use std::num::NonZeroU32;
use std::time::Duration;

use holdfast_launch_agents::Ending;
use holdfast_launch_agents::assemble::AssembleError;
use holdfast_launch_agents::measure::MeasureError;
use holdfast_launch_agents::package::PackageError;
use holdfast_launch_agents::profile::RefusedArgument;
use holdfast_launch_agents::state::{Phase, Session, StateError};
use holdfast_launch_agents::store::StoreError;
use holdfast_launch_agents::task::{Ended, SessionError};
use holdfast_protocol::bounds::{Because, Bounds, size, span};
use holdfast_protocol::id::SessionId;
use holdfast_protocol::management::{
    Failure, FailureKind, SessionDetails, SessionPhase, SessionStatus, SubStatus,
};
use holdfast_protocol::run::RunEvent;
use holdfast_protocol::words::with_causes;

use super::launch::RunError;
use super::lend::NotLent;
use super::program::ProgramError;
use super::uid::NoUid;

/// What is counted of a session that lives.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Its processes.
    pub processes: Option<u32>,
    /// Its processor time.
    pub usage: Option<Duration>,
}

/// A session, for a listing.
pub fn status(session: SessionId, state: Session, counts: Counts) -> SessionStatus {
    SessionStatus {
        details: Some(Box::new(details(&state, counts))),
        session,
        kind: state.facts.kind,
        human: state.facts.human,
        purpose: state.facts.purpose,
        program: state.facts.program,
        package: state.facts.package,
        started: state.started,
        phase: match state.phase {
            Phase::Starting => SessionPhase::Starting,
            Phase::Running(_) => SessionPhase::Running,
            Phase::Frozen(_) => SessionPhase::Frozen,
            Phase::Ended { .. } => SessionPhase::Ended,
        },
        level: state.facts.level,
        runs_as: state.facts.runs_as,
        subs: (state.subs.iter())
            .map(|(sub, each)| SubStatus {
                sub,
                name: each.name.clone(),
                started: each.started,
            })
            .collect(),
    }
}

fn details(state: &Session, counts: Counts) -> SessionDetails {
    let identity = match state.phase {
        Phase::Running(identity) | Phase::Frozen(identity) => Some(identity),
        Phase::Starting | Phase::Ended { .. } => None,
    };
    let bounds = state.facts.bounds;
    let lifetime = bounds
        .lifetime
        .map(|seconds| Duration::from_secs(seconds.get().into()));
    SessionDetails {
        beyond: state.facts.beyond.clone(),
        uid: identity.map(|identity| identity.uid),
        cgroup: identity.and_then(|identity| identity.cgroup()),
        processes: counts.processes,
        processor_ms: counts
            .usage
            .map(|usage| u64::try_from(usage.as_millis()).unwrap_or(u64::MAX)),
        bounds,
        unkept: state.unkept.clone(),
        ends: lifetime.map(|lifetime| state.started + lifetime),
        because: state.because,
        how: match state.phase {
            Phase::Ended { ending, .. } => Some(plainly(ending)),
            Phase::Starting | Phase::Running(_) | Phase::Frozen(_) => None,
        },
    }
}

/// How a program ended.
pub fn plainly(ending: Ending) -> String {
    match ending {
        Ending::Exited(code) => format!("exited with {code}"),
        Ending::Signaled(signal) => format!("ended by signal {signal}"),
        Ending::NotStarted(refusal) => format!("never ran: {refusal}"),
        Ending::Killed => "killed".to_owned(),
    }
}

/// How a session ended, with what it ran into, for the record.
pub fn how(ended: &Ended, bounds: &Bounds) -> String {
    let mut text = plainly(ended.ending);
    let parts = [
        because(ended, bounds),
        memory(ended, bounds),
        processes(ended, bounds),
    ];
    for part in parts.into_iter().flatten() {
        text.push_str(": ");
        text.push_str(&part);
    }
    text
}

fn because(ended: &Ended, bounds: &Bounds) -> Option<String> {
    let because = ended.because.filter(|because| match because {
        Because::LifetimeOver
        | Because::Idle
        | Because::LoggedOut
        | Because::ScreenLocked
        | Because::DiskFull
        | Because::MemoryOver => true,
        // That let it go on.
        Because::ScreenUnlocked | Because::DiskRoom => false,
    });
    // One that was frozen for a locked screen may have ended for another reason.
    let because = because.filter(|_| ended.ending == Ending::Killed)?;
    let seconds = |bound: Option<NonZeroU32>| bound.map(|bound| span(bound.get().into()));
    let bound = match because {
        Because::LifetimeOver => seconds(bounds.lifetime),
        Because::Idle => seconds(bounds.idle),
        Because::MemoryOver => bounds.memory.map(|bound| size(bound.get())),
        Because::LoggedOut
        | Because::ScreenLocked
        | Because::ScreenUnlocked
        | Because::DiskFull
        | Because::DiskRoom => None,
    };
    let bound = bound.map(|bound| format!(" ({bound})"));
    Some(format!("{because}{}", bound.unwrap_or_default()))
}

fn memory(ended: &Ended, bounds: &Bounds) -> Option<String> {
    let bound = bounds.memory.filter(|_| ended.reached.memory > 0)?;
    Some(format!("memory limit {} reached", size(bound.get())))
}

fn processes(ended: &Ended, bounds: &Bounds) -> Option<String> {
    let bound = bounds.processes.filter(|_| ended.reached.processes > 0)?;
    Some(format!(
        "refused another process {} times, for its limit of {bound}",
        ended.reached.processes
    ))
}

/// That a session will be ended.
pub fn warning(because: Because, left: Duration) -> String {
    // To the second: it is said some moments after it fell due.
    let left = span(
        left.as_millis()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(u64::MAX),
    );
    match because {
        Because::Idle => {
            format!("this session ends in {left}, unless it does something: {because}")
        }
        Because::LifetimeOver
        | Because::ScreenLocked
        | Because::ScreenUnlocked
        | Because::LoggedOut
        | Because::DiskFull
        | Because::DiskRoom
        | Because::MemoryOver => format!("this session ends in {left}: {because}"),
    }
}

/// That a session stands still, or goes on again.
pub fn standing(because: Because) -> String {
    if because == Because::DiskFull {
        format!(
            "this session stands still: {because}; free some, and it goes on, or end it with \
             `holdfast sessions end`"
        )
    } else {
        format!("this session goes on: {because}")
    }
}

/// How a session ended, for the command line: as a shell would say it.
pub fn ended(ended: &Ended, bounds: &Bounds) -> RunEvent {
    let noted = memory(ended, bounds).or_else(|| processes(ended, bounds));
    let (code, by_itself) = match ended.ending {
        Ending::Exited(code) => (code, true),
        Ending::Signaled(signal) => (128_u8.saturating_add(signal), true),
        Ending::NotStarted(_) => (126, false),
        Ending::Killed => (137, false),
    };
    let told = !by_itself || noted.is_some();
    RunEvent::Ended {
        code,
        how: told.then(|| how(ended, bounds)),
    }
}

/// Why there is no session.
pub fn failed(error: &RunError) -> RunEvent {
    let (kind, advice) = match error {
        RunError::NotAttested(_) => (
            FailureKind::NotAttested,
            "`holdfast enroll URL --token-file FILE`, or `holdfast doctor`",
        ),
        RunError::NotLent(NotLent::Policy(_)) => (
            FailureKind::DeniedByPolicy,
            "`[sessions.lend]` in holdfastd.toml says what this host lends",
        ),
        RunError::NotLent(_) => (
            FailureKind::Usage,
            "name another place with --ro, --rw or --project",
        ),
        RunError::OwnProfile { .. } => {
            (FailureKind::Usage, "mend it in ~/.config/holdfast/profiles")
        }
        RunError::Home(_) => (
            FailureKind::Failed,
            "`holdfast run --fresh` starts without what earlier sessions left",
        ),
        RunError::Assemble(AssembleError::Argument(RefusedArgument::Listed(_))) => {
            (FailureKind::Usage, "leave it out")
        }
        RunError::Wish(_) | RunError::Place(_) | RunError::Assemble(_) => {
            (FailureKind::Usage, "see `holdfast run --help`")
        }
        RunError::Uid(NoUid::Refused { .. }) => (
            FailureKind::DeniedByPolicy,
            "move the project to ext4, XFS, Btrfs or tmpfs, or ask whoever keeps this host's holdfastd.toml: \
             `[launch] refuse-shared-uid`",
        ),
        RunError::Uid(NoUid::Untold { .. }) => (
            FailureKind::Failed,
            "move the project to ext4, XFS, Btrfs or tmpfs, or use Linux 6.5 or newer",
        ),
        RunError::Uid(NoUid::Root { .. }) => (
            FailureKind::Usage,
            "start it as yourself and not as root, or move the project to ext4, XFS, Btrfs or tmpfs",
        ),
        RunError::Uid(NoUid::Homes) => (
            FailureKind::Failed,
            "name a folder on ext4, XFS, Btrfs or tmpfs as `state` in holdfastd.toml",
        ),
        RunError::Widening(refused) => (refused.kind(), refused.advice()),
        RunError::Unnamed(_) => (FailureKind::Usage, "name another place with --ro or --rw"),
        RunError::Publish(_) => (
            FailureKind::Failed,
            "name another with `--publish HOSTPORT:PORT`",
        ),
        RunError::Session(SessionError::State(StateError::PerHuman(..) | StateError::Full)) => (
            FailureKind::DeniedByPolicy,
            "end one of them: `holdfast sessions` lists them; `per-human` in holdfastd.toml says how many there may be",
        ),
        RunError::Program(ProgramError::NotListed(_)) => (
            FailureKind::DeniedByPolicy,
            "ask whoever keeps this host's holdfastd.toml",
        ),
        RunError::Program(ProgramError::NotOfKind(_)) => (
            FailureKind::Usage,
            "leave --agent out, or start the agent by its own command",
        ),
        RunError::Program(ProgramError::Store(StoreError::Package(PackageError::Private {
            ..
        }))) => (
            FailureKind::Usage,
            "let everybody read the package (`chmod -R go+rX`), or install it elsewhere",
        ),
        RunError::Program(ProgramError::Store(
            StoreError::Measure(MeasureError::Changed)
            | StoreError::Package(PackageError::Changed { .. }),
        )) => (
            FailureKind::Usage,
            "start it again once nothing writes to it: an update may be under way",
        ),
        RunError::Program(
            ProgramError::Part(_)
            | ProgramError::Parts
            | ProgramError::Script(_)
            | ProgramError::Place(_)
            | ProgramError::Store(StoreError::Package(_) | StoreError::Measure(_)),
        ) => (FailureKind::Usage, "see `holdfast run --help`"),
        RunError::Own { .. } => (
            FailureKind::Failed,
            "install Holdfast again: its programs belong in one folder",
        ),
        RunError::Program(_)
        | RunError::Uid(NoUid::Launcher(_) | NoUid::Host(_))
        | RunError::Variable(_)
        | RunError::Session(_)
        | RunError::NotRecorded(_)
        | RunError::Host(_)
        | RunError::Stopping => (FailureKind::Failed, "see holdfastd's log"),
    };
    RunEvent::Failed(Failure {
        kind,
        message: with_causes(error),
        advice: advice.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use holdfast_launch_agents::Reached;

    use super::*;

    fn over(ending: Ending, reached: Reached, because: Option<Because>) -> Ended {
        Ended {
            ending,
            reached,
            because,
            ..Ended::unwatched(SessionId::from_random([1; 16]))
        }
    }

    fn bounds() -> Bounds {
        Bounds {
            memory: NonZeroU64::new(4 << 30),
            processes: NonZeroU32::new(64),
            lifetime: NonZeroU32::new(7200),
            ..Bounds::default()
        }
    }

    fn told(ended: &Ended) -> (u8, Option<String>) {
        let RunEvent::Ended { code, how } = super::ended(ended, &bounds()) else {
            panic!("it has ended");
        };
        (code, how)
    }

    #[test]
    fn a_bound_that_was_reached_is_told_at_the_end() {
        let reached = Reached {
            memory: 1,
            processes: 0,
        };
        let killed = over(Ending::Killed, reached, None);
        let how = "killed: memory limit 4 GiB reached";
        assert_eq!(told(&killed), (137, Some(how.to_owned())));
        assert_eq!(super::how(&killed, &bounds()), how);
        let refused = Reached {
            memory: 0,
            processes: 3,
        };
        let (code, how) = told(&over(Ending::Exited(2), refused, None));
        let words = "exited with 2: refused another process 3 times, for its limit of 64";
        assert_eq!((code, how.as_deref()), (2, Some(words)));
    }

    #[test]
    fn what_ended_it_is_said_and_what_let_it_go_on_is_not() {
        let none = Reached::default();
        let of = |because| told(&over(Ending::Killed, none, because)).1;
        let lived = "killed: it has lived as long as it may (2 h)";
        assert_eq!(of(Some(Because::LifetimeOver)).as_deref(), Some(lived));
        assert_eq!(of(Some(Because::ScreenUnlocked)).as_deref(), Some("killed"));
        assert_eq!(of(None).as_deref(), Some("killed"));
        // One that ended by itself did so whatever had stopped it before.
        let own = over(Ending::Exited(0), none, Some(Because::ScreenLocked));
        assert_eq!(told(&own), (0, None));
    }

    #[test]
    fn a_warning_says_how_long_and_what_helps() {
        let idle = warning(Because::Idle, Duration::from_millis(59_400));
        assert!(
            idle.contains("in 1 min, unless it does something"),
            "{idle}"
        );
        let over = warning(Because::LifetimeOver, Duration::from_secs(300));
        assert!(over.starts_with("this session ends in 5 min:"), "{over}");
    }
}
