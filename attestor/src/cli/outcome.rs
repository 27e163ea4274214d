//! How a command fails: what happened, why, what to do next, and the exit code.
//!
//! It must never show a secret: no error of this crate holds one.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::certify::CertifyError;
use crate::config::ConfigError;
use crate::federation::KeepError;
use crate::serve::ServeError;
use crate::store::StoreError;
use holdfast_protocol::id::HostId;
use holdfast_protocol::words::with_causes;

/// A command that did not do what it was asked.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    message: String,
    advice: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    Usage,
}

impl Problem {
    /// It was tried and failed.
    pub(super) fn failed(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failed,
            message: message.into(),
            advice: advice.into(),
        }
    }

    /// It was asked wrongly, or the configuration cannot be used.
    pub(super) fn usage(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            message: message.into(),
            advice: advice.into(),
        }
    }

    /// An error of a file or folder.
    pub(super) fn io(what: &str, error: &dyn Error, advice: impl Into<String>) -> Self {
        Self::failed(format!("{what}: {}", with_causes(error)), advice)
    }

    /// The same, of one host among several.
    pub(super) fn of_host(self, id: HostId) -> Self {
        Self {
            message: format!("{id}: {}", self.message),
            ..self
        }
    }

    /// The exit codes of the command line's contract.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
        })
    }
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        Self::usage(
            with_causes(&error),
            "mend the file; `holdfast-attestor config` prints the commented reference",
        )
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::failed(
            with_causes(&error),
            "check that this user owns the state folder and that its disk has room",
        )
    }
}

impl From<CertifyError> for Problem {
    fn from(error: CertifyError) -> Self {
        let advice = match &error {
            CertifyError::OpenKey { .. } => {
                "others may have read the key: make a new authority if so, else `chmod 600` it"
            }
            CertifyError::Encrypted { .. } => {
                "name the file with its passphrase as `passphrase-file` under `[keys]` of the configuration"
            }
            CertifyError::WrongPassphrase { .. } => {
                "name the file with the passphrase that it was encrypted under, or restore the key from its backup"
            }
            CertifyError::Unusable { .. } => {
                "restore the state folder from its backup, or name the one of this trust domain"
            }
            CertifyError::Upstream { .. } | CertifyError::NoChain { .. } => {
                "mend what `[authority]` names in the configuration: a CA's chain whose first certificate may sign an authority below it, that one's key, and the roots"
            }
            CertifyError::TooManyRoots => "`authority retire` takes the old ones away",
            CertifyError::Expired => {
                "`authority prepare` makes the next and `authority activate --now` lets it sign; hosts that do not know its root yet enroll anew"
            }
            CertifyError::File { .. }
            | CertifyError::Certificate(_)
            | CertifyError::NotAnSvid(_)
            | CertifyError::Random(_)
            | CertifyError::Crypto(_) => {
                "check that this user owns the state folder and that its disk has room"
            }
        };
        Self::failed(with_causes(&error), advice)
    }
}

impl From<KeepError> for Problem {
    fn from(error: KeepError) -> Self {
        Self::failed(
            with_causes(&error),
            "check that this user owns the state folder; what is kept of other trust domains in its folder `federation` may be removed, and is fetched anew",
        )
    }
}

impl From<ServeError> for Problem {
    fn from(error: ServeError) -> Self {
        Self::failed(with_causes(&error), "the log above has what led to it")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "holdfast-attestor: {}", self.message)?;
        if !self.advice.is_empty() {
            write!(f, "\n  next: {}", self.advice)?;
        }
        Ok(())
    }
}
