//! What the attestor knows of its hosts.
//!
//! Types only. Whatever stands here was judged before it was written down; nothing here judges.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use holdfast_proof::hash::sha256;
use holdfast_proof::ima::Replay;
use holdfast_proof::tpm::{ClockInfo, Digest, NvPublic, PcrIndex, PcrValues, Public, PublicKey};
use holdfast_protocol::evidence::Appraisal;
use holdfast_protocol::grade::Grade;
use holdfast_protocol::id::{HostId, SpiffeId};
use holdfast_protocol::{Sha256Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::group::GroupName;
use crate::rollout::{Offer, RolloutId};

/// An EK's fingerprint: SHA-256 over its SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7). It is the
/// same whichever template the key was made from, and `openssl x509 -pubkey` gives its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EkFingerprint(Sha256Digest);

impl EkFingerprint {
    /// The fingerprint of a key.
    pub fn of(key: &PublicKey) -> Self {
        Self(sha256(&key.to_spki_der()))
    }
}

impl fmt::Display for EkFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EkFingerprint {
    type Err = holdfast_protocol::digest::InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What a host calls itself, for the operator's eyes: 1 to 253 of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// The text is not a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host name is 1 to 253 letters, digits, `.`, `_` or `-`")]
pub struct InvalidHostName;

impl FromStr for HostName {
    type Err = InvalidHostName;

    fn from_str(text: &str) -> Result<Self, InvalidHostName> {
        let valid = (1..=253).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidHostName)
        }
    }
}

impl TryFrom<String> for HostName {
    type Error = InvalidHostName;

    fn try_from(text: String) -> Result<Self, InvalidHostName> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a host's EK is believed to be a TPM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EkTrust {
    /// A vendor that we trust certified it.
    Certificate,
    /// An operator listed its fingerprint.
    AllowList,
    /// An operator gave the host a one-time token. The grade that the host claims is then its word.
    Token,
}

/// A host that nothing vouches for and that waits for an operator. All but the times is its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingHost {
    /// Its EK, not yet proven to be its own.
    pub ek: EkFingerprint,
    /// What it calls itself.
    pub name: HostName,
    /// What it says it is.
    pub grade: Grade,
    /// Where it asked from.
    pub remote: IpAddr,
    /// Why it is not believed by itself.
    pub why: String,
    /// When it asked first.
    pub first_at: Timestamp,
    /// When it asked last.
    pub last_at: Timestamp,
}

/// Whether a host may still get identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Active,
    /// It may not until an operator lets it.
    Banned {
        /// Since when.
        at: Timestamp,
        /// Why, in the operator's words.
        why: String,
    },
    /// It may not, ever again.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// Why, in the operator's words.
        why: String,
    },
}

/// SHA-256 over a token's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(pub Sha256Digest);

/// A one-time token, as far as we keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// What it is known by.
    pub hash: TokenHash,
    /// The only host that may use it, if it was made for one.
    pub host_name: Option<HostName>,
    /// The only endorsement key that may use it, if it was made for one.
    pub ek: Option<EkFingerprint>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Whether a nonce was one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceStanding {
    /// It was given to this host, had not expired, and is used up now.
    Fresh,
    /// It was never given to this host, has expired, or was used.
    Unknown,
}

/// What a host's TPM last reported under its AK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// When we accepted it.
    pub at: Timestamp,
    /// The TPM's clock and reset counters.
    pub clock: ClockInfo,
    /// The TPM's firmware version, as its vendor numbers it.
    pub firmware: u64,
    /// The audit counter's value.
    pub audit_counter: u64,
}

/// The PCR values that a host is held to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferencePcrs(pub PcrValues);

impl ReferencePcrs {
    /// The reference values, each with its PCR's number.
    pub fn iter(&self) -> impl Iterator<Item = (PcrIndex, &Digest)> + '_ {
        self.0.iter()
    }
}

/// Whether the events of a host's reference boot are kept beside the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsKept {
    /// They are.
    Yes,
    /// They are not: it has shown no log since it has its reference.
    No,
}

/// How far a host's measurement list was verified in one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImaState {
    /// The boot: the TPM's resetCount.
    pub boot: u32,
    /// What a quote has proven.
    pub proven: Replay,
    /// What was sent since then, where one attestation could not hold all that its quote covers.
    pub ahead: Option<Replay>,
    /// How many of the entries were neither listed nor signed.
    pub unjustified: u64,
}

impl ImaState {
    /// Where the next part of the list goes on.
    pub fn next(&self) -> &Replay {
        self.ahead.as_ref().unwrap_or(&self.proven)
    }
}

/// Counts the writes to a host's row, so that two answers made from one reading cannot both be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision(pub i64);

/// What was established about a host at enrollment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolledHost {
    /// What it calls itself.
    pub name: HostName,
    /// What kind of installation it says it is.
    pub grade: Grade,
    /// Why its EK is believed.
    pub trust: EkTrust,
    /// Its endorsement key.
    pub ek: Public,
    /// Its attestation key, proven to live beside the EK.
    pub ak: Public,
    /// Its audit log's checkpoint key, certified by the AK.
    pub checkpoint_key: Public,
    /// Its audit counter, certified by the AK.
    pub audit_counter: NvPublic,
    /// What its TPM reported then: the anchor of everything later.
    pub anchor: Observed,
}

/// A host in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name in SPIFFE IDs.
    pub id: HostId,
    /// Of this reading.
    pub revision: Revision,
    /// What was established at enrollment.
    pub enrolled: EnrolledHost,
    /// Whether it may still get identities.
    pub standing: Standing,
    /// The group whose policy it is held to.
    pub group: Option<GroupName>,
    /// When an operator last asked it for a new attestation.
    pub reattest: Option<Timestamp>,
    /// What its TPM last reported.
    pub last: Observed,
    /// What its PCRs are held to; empty before its first attestation.
    pub reference: ReferencePcrs,
    /// What they may change to, all of it together; empty unless an operator has accepted an update.
    pub ahead: ReferencePcrs,
    /// What it may change to by a rollout that is under way, or will.
    pub rollout: Option<Offer>,
    /// Whether the events of its reference boot are kept.
    pub events: EventsKept,
    /// How far its measurement list was verified; absent before that.
    pub ima: Option<ImaState>,
}

/// How much longer than its SVID lives a host may be silent: its renewals come at half of that life, so that none of
/// several has come by then.
pub(crate) const SILENCE_MARGIN: Duration = Duration::from_secs(60);

impl Host {
    /// Since when nothing was heard of a host that should have been heard: its SVID has ended, and what was found last
    /// says nothing of now. `x509_ttl` is how long its SVIDs live.
    pub fn silent_since(&self, x509_ttl: Duration, now: Timestamp) -> Option<Timestamp> {
        let heard = self.last.at;
        (now >= heard + x509_ttl + SILENCE_MARGIN).then_some(heard)
    }
}

/// Which kind of SVID was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum SvidKind {
    /// An X.509-SVID.
    X509 {
        /// Its serial number, lowercase hex.
        serial: String,
    },
    /// A JWT-SVID.
    Jwt {
        /// Whom it is for.
        audience: Vec<String>,
    },
}

/// An SVID that was signed, recorded before it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedSvid {
    /// The host that asked.
    pub host: HostId,
    /// Whose it is.
    pub spiffe_id: SpiffeId,
    /// What it is.
    pub kind: SvidKind,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// How something that was judged came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Accepted.
    Accepted,
    /// Refused.
    Refused,
}

/// One line of the verdict log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// When it was reached.
    pub at: Timestamp,
    /// The host; absent for one that never was enrolled.
    pub host: Option<HostId>,
    /// How it came out.
    pub outcome: Outcome,
    /// What was judged, and how.
    pub judged: Judged,
}

/// What was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Judged {
    /// An attestation, check by check.
    Attestation {
        /// The checks.
        appraisal: Appraisal,
    },
    /// Two brokers that listened at once, as hosts with one TPM.
    Twins {
        /// Which, and for how long.
        detail: String,
    },
    /// A host's failure after an update, which stopped the update's rollout.
    Brake {
        /// The rollout.
        rollout: RolloutId,
        /// What the host did.
        detail: String,
    },
    /// An enrollment.
    Enrollment {
        /// The reason code of a refusal; `accepted`, or `renewed` where the EK was enrolled before.
        reason: String,
        /// What was expected and seen.
        detail: String,
    },
}
