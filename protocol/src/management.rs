//! What the command line and the window say to the broker, and what it answers.
//!
//! One [`Request`] frame, one [`Response`] frame (see [`crate::frame`]), over the management
//! socket. A message must never carry a path that the broker would open for its sender.

use serde::{Deserialize, Serialize};

use crate::approval::{HumanAnswer, PinRecovery, Question};
use crate::beyond::Beyond;
use crate::bounds::{Because, Bound, Bounds};
use crate::clock::ClockStatus;
use crate::grade::{Grade, Level, SessionUid};
use crate::id::{AgentKind, CallId, HostId, SessionId, SpiffeId, TrustDomain};
use crate::measured::MeasuredPackage;
use crate::secret::Secret;
use crate::sub::{SubName, SubPath};
use crate::vault::{NewVault, SecretName, SecretUse, VaultListing};
use crate::{Sha256Digest, Timestamp};

/// A question to the broker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How are you?
    Status,
    /// Enroll this host with an attestor.
    Enroll(EnrollRequest),
    /// Prove this host again, now.
    Attest,
    /// The newest audit records.
    AuditTail {
        /// At most this many; the broker sends no more than fit a frame.
        count: u32,
    },
    /// Check the whole log.
    AuditVerify,
    /// Audit records from an index on, for export.
    AuditRecords {
        /// The first index.
        from: u64,
        /// At most this many.
        count: u32,
    },
    /// Sign a checkpoint over the log as it stands and advance the counter.
    AuditCheckpoint,
    /// The sessions of this host.
    Sessions,
    /// End a sub-agent, with those that are of it.
    EndSubAgent {
        /// The session.
        session: SessionId,
        /// Which of its sub-agents.
        sub: SubPath,
    },
    /// Freeze a session, let it go on, or end it.
    ControlSession {
        /// Which.
        session: SessionId,
        /// What to do to it.
        act: SessionAct,
    },
    /// The same to every session that lives.
    ControlSessions {
        /// What to do to them.
        act: SessionAct,
    },
    /// The questions that wait for the caller.
    Approvals,
    /// The same, as soon as they are not `known` ones, or after a while.
    AwaitApprovals {
        /// The questions that the caller has seen.
        known: Vec<CallId>,
    },
    /// Answer one of them.
    AnswerCall {
        /// The call that is asked about.
        call: CallId,
        /// Yes or no, and the proof.
        answer: HumanAnswer,
    },
    /// Make an approval key for the caller, behind a PIN.
    EnrollPin {
        /// The PIN.
        pin: Secret,
    },
    /// Unlock or give up the caller's approval key.
    RecoverPin {
        /// The code that [`Response::PinEnrolled`] gave.
        code: Secret,
        /// Which of the two.
        act: PinRecovery,
    },
    /// The caller's vault and what is in it.
    Secrets,
    /// Make the caller's vault.
    MakeVault(NewVault),
    /// Open the caller's vault with the share of their keyring.
    OpenVault {
        /// 32 bytes, base64.
        share: Secret,
    },
    /// Let the caller's vault open under this machine's present software too.
    RecoverVault {
        /// The code that [`Response::VaultMade`] gave.
        code: Secret,
    },
    /// Put a secret into the caller's vault; one of the same name is replaced.
    KeepSecret {
        /// Its name.
        name: SecretName,
        /// What it is for.
        purpose: SecretUse,
        /// The secret itself.
        value: Secret,
    },
    /// Take a secret out of the caller's vault, and from every session that was given it.
    RemoveSecret {
        /// Its name.
        name: SecretName,
    },
}

/// What a human may do to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionAct {
    /// No process of it runs on.
    Pause,
    /// It goes on.
    Resume,
    /// It is killed, and all that it held is gone.
    End,
}

/// Whom to enroll with, and what to show.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollRequest {
    /// `https://host:port`.
    pub url: String,
    /// A one-time token; it also pins the attestor's authority.
    pub token: Option<String>,
    /// The attestor's authorities, PEM, where no token pins them.
    pub authorities_pem: Option<String>,
}

/// The broker's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is", content = "answer", rename_all = "kebab-case")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Enroll`] and [`Request::Attest`].
    Attested(NodeStatus),
    /// To [`Request::AuditTail`] and [`Request::AuditRecords`].
    Records(Vec<AuditRecord>),
    /// To [`Request::AuditVerify`].
    Verified(AuditReport),
    /// To [`Request::AuditCheckpoint`].
    Checkpointed(AuditHead),
    /// To [`Request::Sessions`]; to [`Request::ControlSession`] with the one, and to
    /// [`Request::ControlSessions`] with those that it was done to.
    Sessions(Vec<SessionStatus>),
    /// To [`Request::Approvals`] and [`Request::AwaitApprovals`].
    Approvals(Vec<Question>),
    /// To [`Request::AnswerCall`]: the answer was taken.
    Answered,
    /// To [`Request::RecoverPin`]: it is done.
    PinRecovered,
    /// To [`Request::EnrollPin`]: the code that unlocks the PIN, shown this once.
    PinEnrolled {
        /// 32 letters and digits, to be kept on paper.
        recovery: Secret,
    },
    /// To [`Request::Secrets`], [`Request::OpenVault`], [`Request::KeepSecret`] and [`Request::RemoveSecret`].
    Vault(VaultListing),
    /// To [`Request::MakeVault`].
    VaultMade {
        /// The code that opens the vault's root after the software of this machine has changed, shown this once.
        recovery: Secret,
    },
    /// It could not be done.
    Failed(Failure),
}

/// Why a request failed, fit to be shown as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The class, which the command line turns into an exit code.
    pub kind: FailureKind,
    /// What happened and why.
    pub message: String,
    /// What to do next.
    pub advice: String,
}

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// It was tried and failed.
    Failed,
    /// It was asked wrongly.
    Usage,
    /// Policy says no.
    DeniedByPolicy,
    /// The human says no, or nobody answered.
    DeniedByHuman,
    /// This host is not attested.
    NotAttested,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its id.
    pub session: SessionId,
    /// The agent's kind.
    pub kind: AgentKind,
    /// The uid of the human who started it.
    pub human: u32,
    /// What the human says it is for.
    pub purpose: Option<String>,
    /// SHA-256 of the program that runs.
    pub program: Sha256Digest,
    /// What it interprets, where it is an interpreter.
    #[serde(default)]
    pub package: Option<MeasuredPackage>,
    /// When it was asked for.
    pub started: Timestamp,
    /// Where it is in its life.
    pub phase: SessionPhase,
    /// How well Holdfast knows who it is.
    #[serde(default = "launched")]
    pub level: Level,
    /// Under whose uid it runs on the host.
    #[serde(default)]
    pub runs_as: SessionUid,
    /// Its sub-agents that live.
    #[serde(default)]
    pub subs: Vec<SubStatus>,
    /// What is known of it besides; absent from a broker that does not say.
    #[serde(default)]
    pub details: Option<Box<SessionDetails>>,
}

/// What a broker of before listed.
fn launched() -> Level {
    Level::L3
}

/// A sub-agent that lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubStatus {
    /// Its place below its session.
    pub sub: SubPath,
    /// What people call it.
    pub name: Option<SubName>,
    /// When it was asked for.
    pub started: Timestamp,
}

/// What is known of a session besides what a listing shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDetails {
    /// What it was given beyond its profile's usual world.
    #[serde(default, skip_serializing_if = "Beyond::is_nothing")]
    pub beyond: Beyond,
    /// The host uid of its own, while it lives.
    pub uid: Option<u32>,
    /// The id of its cgroup, while it lives, if it has one of its own.
    pub cgroup: Option<u64>,
    /// How many processes it has.
    pub processes: Option<u32>,
    /// The processor time that it has taken, in milliseconds.
    pub processor_ms: Option<u64>,
    /// Its bounds.
    pub bounds: Bounds,
    /// Those that this host could not put on it.
    pub unkept: Vec<Bound>,
    /// When it ends at the latest.
    pub ends: Option<Timestamp>,
    /// What stopped it, beside its human.
    pub because: Option<Because>,
    /// How it ended, in words.
    pub how: Option<String>,
}

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionPhase {
    /// Asked of the launcher.
    Starting,
    /// It runs.
    Running,
    /// It is frozen.
    Frozen,
    /// It is over.
    Ended,
}

/// The broker's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// What kind of installation this is.
    pub grade: Grade,
    /// The TPM, in words (`swtpm, private, in …`).
    pub tpm: String,
    /// The node identity, or why there is none.
    pub node: NodeState,
    /// The audit log's head.
    pub audit: AuditHead,
    /// How much of the log the attestor has.
    pub mirror: Mirror,
    /// What time the broker goes by; absent from one that knows the system's alone.
    #[serde(default)]
    pub clock: Option<ClockStatus>,
    /// How many sessions can start while the attestor is away; empty where none are kept ready.
    #[serde(default)]
    pub spares: Vec<SparesOf>,
    /// Whether a human's locked screen and logout are seen; absent where no sessions are made.
    #[serde(default)]
    pub presence: Option<Presence>,
}

/// Whether the broker sees that a human has locked their screen or logged out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "presence", rename_all = "kebab-case")]
pub enum Presence {
    /// Nobody wants to know: the configuration does nothing on either.
    Unwanted,
    /// systemd-logind tells it.
    Followed,
    /// Nobody tells it; a locked screen and a logout go unnoticed.
    Unseen {
        /// Why.
        why: String,
    },
}

/// The names that were signed ahead for sessions of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SparesOf {
    /// The kind.
    pub kind: AgentKind,
    /// How many are ready.
    pub ready: usize,
}

/// How much of the audit log the attestor has taken and cosigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mirror", rename_all = "kebab-case")]
pub enum Mirror {
    /// No attestor knows this host.
    None,
    /// All of it.
    Current {
        /// How many records.
        size: u64,
    },
    /// Not all of it yet.
    Behind {
        /// How many records it has.
        size: u64,
        /// Why there are no more, where something is in the way.
        why: Option<String>,
    },
}

/// Whether this host has a node SVID.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum NodeState {
    /// No attestor knows this host.
    NotEnrolled,
    /// Enrolled, and without a current SVID.
    NotAttested {
        /// The host's identity.
        host: HostId,
        /// Why, as far as is known.
        why: String,
    },
    /// It has a current SVID.
    Attested(NodeStatus),
    /// A human's own broker, without root: no attestor vouches for it, and none is asked.
    Contained {
        /// What its sessions are named below. It is nobody's identity.
        host: HostId,
    },
}

/// Who runs an attestor, by its own word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunBy {
    /// Somebody else than the host's owner: what it attests says something to others.
    #[default]
    Team,
    /// The host's own owner, on this machine or another of theirs: the host is *self-attested*.
    Owner,
}

/// The node SVID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The attestor that signed it.
    pub attestor: String,
    /// Who runs that attestor.
    #[serde(default)]
    pub run_by: RunBy,
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// The node's identity.
    pub spiffe_id: SpiffeId,
    /// When the SVID ends.
    pub not_after: Timestamp,
    /// When it will be renewed.
    pub renew_at: Timestamp,
    /// The certificate chain, PEM, leaf first.
    pub chain_pem: String,
    /// The trust domain's authorities, PEM.
    pub authorities_pem: String,
}

/// The head of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// The log's origin line.
    pub origin: String,
    /// How many records it has.
    pub size: u64,
    /// Its Merkle root.
    pub root: Sha256Digest,
    /// How many of them a TPM checkpoint covers.
    pub checkpointed: u64,
    /// The TPM counter's value that froze the last counter checkpoint.
    pub counter: Option<u64>,
}

/// One audit record, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its index.
    pub index: u64,
    /// Its bytes: canonical JSON of one OCSF event.
    pub json: String,
}

/// What a verification of the log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// The head that was verified.
    pub head: AuditHead,
    /// What is wrong, in words; empty means that all is well.
    pub findings: Vec<String>,
}
