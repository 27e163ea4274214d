//! Sessions in words: for listings, for the command line that waits, for the record.

use holdfast_launch_agents::Ending;
use holdfast_launch_agents::package::PackageError;
use holdfast_launch_agents::state::{Phase, Session};
use holdfast_launch_agents::store::StoreError;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::management::{Failure, FailureKind, SessionPhase, SessionStatus};
use holdfast_protocol::run::RunEvent;
use holdfast_protocol::words::with_causes;

use super::launch::RunError;
use super::program::ProgramError;

/// A session, for a listing.
pub fn status(session: SessionId, state: Session) -> SessionStatus {
    SessionStatus {
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
    }
}

/// How a session ended, for the record.
pub fn how(ending: Ending) -> String {
    match ending {
        Ending::Exited(code) => format!("exited with {code}"),
        Ending::Signaled(signal) => format!("ended by signal {signal}"),
        Ending::NotStarted(refusal) => format!("never ran: {refusal}"),
        Ending::Killed => "killed".to_owned(),
    }
}

/// How a session ended, for the command line: as a shell would say it.
pub fn ended(ending: Ending) -> RunEvent {
    let (code, how) = match ending {
        Ending::Exited(code) => (code, None),
        Ending::Signaled(signal) => (128_u8.saturating_add(signal), None),
        Ending::NotStarted(_) => (126, Some(how(ending))),
        Ending::Killed => (137, Some(how(ending))),
    };
    RunEvent::Ended { code, how }
}

/// Why there is no session.
pub fn failed(error: &RunError) -> RunEvent {
    let (kind, advice) = match error {
        RunError::NotAttested(_) => (
            FailureKind::NotAttested,
            "`holdfast enroll URL --token-file FILE`, or `holdfast doctor`",
        ),
        RunError::Wish(_) | RunError::Place(_) | RunError::Assemble(_) => {
            (FailureKind::Usage, "see `holdfast run --help`")
        }
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
        | RunError::Home(_)
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
