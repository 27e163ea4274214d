//! How a command fails: what happened, why, what to do next, and the exit code that scripts rely on.

use std::fmt;
use std::process::ExitCode;

use holdfast_protocol::management::{Failure, FailureKind};

/// A command that did not do what it was asked.
#[derive(Debug)]
pub struct Problem {
    kind: FailureKind,
    message: String,
    advice: String,
}

impl Problem {
    /// It was tried and failed.
    pub fn failed(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(FailureKind::Failed, message, advice)
    }

    /// It was asked wrongly.
    pub fn usage(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, message, advice)
    }

    /// A failure of the given kind.
    pub fn new(kind: FailureKind, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            advice: advice.into(),
        }
    }

    /// The exit codes of the command line's contract.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            FailureKind::Failed => 1,
            FailureKind::Usage => 2,
            FailureKind::DeniedByPolicy => 3,
            FailureKind::DeniedByHuman => 4,
            FailureKind::NotAttested => 5,
        })
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let Failure {
            kind,
            message,
            advice,
        } = failure;
        Self {
            kind,
            message,
            advice,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "holdfast: {}", self.message)?;
        if !self.advice.is_empty() {
            write!(f, "\n  next: {}", self.advice)?;
        }
        Ok(())
    }
}
