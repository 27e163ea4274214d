//! What happened: the events of the audit log, before they become OCSF.
//!
//! An event says what the broker knows, in types. It must never carry a secret's value, and its
//! meaning must never change once a log holds it: add a variant instead.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::approval::{PinRecovery, Surface};
use crate::beyond::Beyond;
use crate::bounds::{Because, Bound, Bounds};
use crate::call::{Effect, HumanUid, ToolCall};
use crate::decision::Verdict;
use crate::grade::{Grade, Level, SessionUid};
use crate::id::{AgentKind, CallId, HostId, SessionId, SpiffeId};
use crate::management::SessionAct;
use crate::measured::MeasuredPackage;
use crate::receipt::Receipt;
use crate::sub::{SubPath, SubRequest};
use crate::vault::{SecretName, SecretUse, Sharing};
use crate::{Sha256Digest, Timestamp};

/// An event with the time and the unique name that its record will bear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// UUIDv7, drawn by whoever saw it.
    pub uid: Uuid,
    /// When it happened, by the host's wall clock; order is the log's index, never this.
    pub at: Timestamp,
    /// What happened.
    pub what: What,
}

/// Why a host may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldBecause {
    /// Its attestor has banned it.
    Banned,
    /// Its attestor has revoked it.
    Revoked,
    /// Its certificate has ended.
    GraceOver,
    /// It is not attested with the attestor that it is enrolled with now.
    NotAttested,
}

/// What became of a session that was to be frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldOutcome {
    /// No process of it runs.
    Frozen,
    /// It would not freeze, and was killed.
    Killed,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// The log was opened by a broker that starts.
    LogStarted {
        /// The broker's version.
        version: String,
        /// What kind of installation this is.
        grade: Grade,
    },
    /// The log was closed by a broker that stops in order.
    LogStopped,
    /// The host was enrolled with an attestor.
    HostEnrolled {
        /// The attestor's address.
        attestor: String,
        /// The identity that it assigned.
        host: HostId,
    },
    /// The attestor accepted this host's evidence and signed a node SVID.
    HostAttested {
        /// The node's identity.
        spiffe_id: SpiffeId,
        /// The certificate's serial number, hex.
        serial: String,
        /// When it ends.
        not_after: Timestamp,
    },
    /// The attestor refused this host, or could not be asked.
    HostNotAttested {
        /// Why, as far as the host was told.
        why: String,
    },
    /// This host may do nothing any more: its sessions freeze, its identities and leases are gone. Recorded while that
    /// happens, which waits for no record.
    HostHeld {
        /// Why.
        because: HeldBecause,
        /// The same in words.
        why: String,
    },
    /// This host may act again.
    HostFreed,
    /// A session was frozen because its host may do nothing.
    SessionHeld {
        /// The session.
        session: SessionId,
        /// Whether it stands still.
        outcome: HeldOutcome,
    },
    /// A session that was frozen for the want of a certificate goes on.
    SessionFreed {
        /// The session.
        session: SessionId,
    },
    /// The TPM's epoch of revocation went on: it opens no lease that was made before.
    EpochAdvanced {
        /// Its value now.
        epoch: u64,
    },
    /// A session was launched.
    SessionStarted {
        /// The session.
        session: SessionId,
        /// Its identity.
        spiffe_id: SpiffeId,
        /// Who started it.
        human: HumanUid,
        /// SHA-256 of the program that runs.
        program: Sha256Digest,
        /// What it interprets, where it is an interpreter.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        package: Option<MeasuredPackage>,
        /// Under whose uid it runs on the host.
        #[serde(default, skip_serializing_if = "SessionUid::is_own")]
        runs_as: SessionUid,
        /// What it was given beyond its profile's usual world.
        #[serde(default, skip_serializing_if = "Beyond::is_nothing")]
        beyond: Box<Beyond>,
    },
    /// A program was not launched: this host's owner does not list it.
    LaunchRefused {
        /// Who wanted it.
        human: HumanUid,
        /// The kind that it would have been.
        kind: AgentKind,
        /// SHA-256 of what would have been executed.
        program: Sha256Digest,
        /// What it would have interpreted, where it is an interpreter.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        package: Option<MeasuredPackage>,
    },
    /// A human is about to freeze a session, let it go on, or end it.
    SessionControlled {
        /// The session.
        session: SessionId,
        /// Who.
        human: HumanUid,
        /// What they do to it.
        act: SessionAct,
    },
    /// A session was made without root, and begins with no more than this.
    SessionContained {
        /// The session.
        session: SessionId,
        /// How well its calls are known.
        level: Level,
        /// What stands for it, and what does not, in the words that its human is told.
        notice: String,
    },
    /// The bounds that a session was launched with.
    SessionBounded {
        /// The session.
        session: SessionId,
        /// What it may take, and how long it may live.
        bounds: Bounds,
        /// Those that this host could not put on it.
        unkept: Vec<Bound>,
    },
    /// A session is about to be stopped, or to go on, without its human's word.
    SessionStopped {
        /// The session.
        session: SessionId,
        /// What is done to it.
        act: SessionAct,
        /// Why.
        because: Because,
    },
    /// A session's human is about to open a shell in it.
    ShellOpened {
        /// The session.
        session: SessionId,
        /// Who.
        human: HumanUid,
    },
    /// A session ended, with all that it held.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// How.
        how: String,
    },
    /// A process of a session is about to become a sub-agent of it.
    SubAgentStarted {
        /// The session.
        session: SessionId,
        /// The sub-agent's identity.
        spiffe_id: SpiffeId,
        /// Whose sub-agent it is.
        parent: SpiffeId,
        /// What it gave up.
        wish: SubRequest,
    },
    /// A human is about to end a sub-agent.
    SubAgentControlled {
        /// The session.
        session: SessionId,
        /// Which of its sub-agents.
        sub: SubPath,
        /// Who.
        human: HumanUid,
    },
    /// No process of a sub-agent is left.
    SubAgentEnded {
        /// The session.
        session: SessionId,
        /// The sub-agent's identity.
        spiffe_id: SpiffeId,
    },
    /// A process asked for an identity that it does not have: no registered workload, or not one that could be shown.
    WorkloadRefused {
        /// Its uid.
        uid: u32,
        /// How well it is known: L1 if it could be, L0 if nothing is.
        level: Level,
        /// Why it gets none.
        why: String,
    },
    /// An SVID was handed to a session.
    SvidIssued {
        /// The session.
        session: SessionId,
        /// Its identity.
        spiffe_id: SpiffeId,
        /// For whom: a JWT's audience, or `x509`.
        audience: String,
        /// When it ends.
        not_after: Timestamp,
    },
    /// A human's approval key was made in the TPM.
    FactorEnrolled {
        /// Whose.
        human: HumanUid,
        /// SHA-256 over its SubjectPublicKeyInfo, DER.
        key: Sha256Digest,
    },
    /// A human's approval key is about to be unlocked or given up, by its recovery code.
    FactorRecovered {
        /// Whose.
        human: HumanUid,
        /// Which of the two.
        act: PinRecovery,
    },
    /// A human's vault was made.
    VaultMade {
        /// Whose.
        human: HumanUid,
        /// What else than the TPM opens it.
        sharing: Sharing,
    },
    /// A human's vault is about to be opened, with the share of their keyring where it has one.
    VaultOpened {
        /// Whose.
        human: HumanUid,
    },
    /// A human's vault is about to open under this machine's present software too, by its recovery code.
    VaultRecovered {
        /// Whose.
        human: HumanUid,
    },
    /// A secret is about to be put into a vault.
    SecretKept {
        /// Whose vault.
        human: HumanUid,
        /// Its name.
        name: SecretName,
        /// What it is for.
        purpose: SecretUse,
    },
    /// A secret is about to be taken out of a vault.
    SecretRemoved {
        /// Whose vault.
        human: HumanUid,
        /// Its name.
        name: SecretName,
    },
    /// A session is about to be given the use of a secret, under a lease of the TPM.
    SecretLeased {
        /// The session.
        session: SessionId,
        /// The secret's name.
        name: SecretName,
        /// When the lease ends, unless it is renewed.
        until: Timestamp,
    },
    /// A PIN for a call was typed somewhere; recorded before the TPM is asked whether it is right.
    PinTyped {
        /// The call that it is to approve.
        call: CallId,
        /// Whose PIN.
        human: HumanUid,
        /// Where, as the program says.
        surface: Surface,
    },
    /// A call is about to be answered: the intent, before anything leaves.
    CallDecided {
        /// The call.
        call: ToolCall,
        /// SHA-256 over its canonical JSON.
        digest: Sha256Digest,
        /// What was decided.
        verdict: Verdict,
    },
    /// A human answered.
    CallApproved {
        /// Their receipt.
        receipt: Receipt,
    },
    /// What became of a call that was let through.
    CallEnded {
        /// The call.
        call: CallId,
        /// What is known of it.
        outcome: String,
        /// The effects that were seen, where they can be.
        seen: Vec<Effect>,
    },
    /// The log below this point was checked against the counter after an unclean stop.
    LogRecovered {
        /// Records that were found whole.
        records: u64,
    },
    /// The broker sends a measurement list from a file that its configuration names, and not its own kernel's.
    ImaListDeclared {
        /// The file.
        path: String,
    },
    /// The broker sends a log of systemd's measurements from a file that its configuration names, and not its own system's.
    SystemdLogDeclared {
        /// The file.
        path: String,
    },
    /// This host's clock says what cannot be: the broker goes by the attestor's from now on, and so do its records.
    TimeTaken {
        /// What this host's clock says.
        system: Timestamp,
        /// What the attestor's says.
        attestor: Timestamp,
    },
}
