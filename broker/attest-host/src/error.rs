//! Why this host could not be proven, told apart by who is to blame.

use holdfast_protocol::id::InvalidId;
use holdfast_protocol::record::NotRecorded;
use holdfast_tpm::TpmError;

use crate::channel::ChannelError;
use crate::clock::FloorError;
use crate::registration::RegistrationError;
use crate::standing::Overtaken;
use crate::time::TimeError;

/// An enrollment or attestation that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AttestHostError {
    /// Environment: the attestor cannot be reached, or is not the pinned one.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Environment: the TPM does not do its part.
    #[error("the TPM could not make the evidence")]
    Tpm(#[from] TpmError),
    /// Environment: the firmware's event log cannot be read.
    #[error("the firmware's event log cannot be read")]
    EventLog(#[source] std::io::Error),
    /// Environment: the kernel's measurement list cannot be read.
    #[error("the kernel's measurement list cannot be read")]
    ImaList(#[source] std::io::Error),
    /// Environment: systemd's log cannot be read.
    #[error("systemd's log of what it measured cannot be read")]
    SystemdLog(#[source] std::io::Error),
    /// Environment: the enrollment cannot be kept.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// Environment: the time that was proved cannot be kept.
    #[error(transparent)]
    Floor(#[from] FloorError),
    /// The attestor's word on the time is not to be believed.
    #[error("the attestor's time is wrong")]
    Time(#[from] TimeError),
    /// Environment: what happened could not be recorded, so it counts for nothing.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
    /// The attestor says no; the text is all that it tells the host.
    #[error("the attestor refused: {0}")]
    Refused(String),
    /// The attestor has stopped this host in the meantime.
    #[error(transparent)]
    Overtaken(#[from] Overtaken),
    /// The attestor could not answer.
    #[error("the attestor could not answer: {0}")]
    Unavailable(String),
    /// The attestor's answer is not what it should be.
    #[error("the attestor's answer is wrong: {0}")]
    Answer(&'static str),
    /// The attestor's answer names something that is not a name.
    #[error("the attestor's answer has an invalid name")]
    Name(#[from] InvalidId),
    /// Caller: nothing can be attested before it is enrolled.
    #[error("this host is not enrolled with an attestor")]
    NotEnrolled,
    /// Caller: a broker without root has nothing that an attestor could vouch for.
    #[error("this broker is contained: it runs without root, and no attestor vouches for it")]
    Contained,
    /// Us: a request could not be made.
    #[error("the certificate request could not be made")]
    Request(#[source] rcgen::Error),
    /// Us: the job has ended.
    #[error("the broker is stopping")]
    Stopping,
}

impl From<tonic::Status> for AttestHostError {
    fn from(status: tonic::Status) -> Self {
        let message = status.message().to_owned();
        if matches!(
            status.code(),
            tonic::Code::PermissionDenied
                | tonic::Code::InvalidArgument
                | tonic::Code::Unauthenticated
        ) {
            Self::Refused(message)
        } else {
            Self::Unavailable(message)
        }
    }
}
