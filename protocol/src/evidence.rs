//! What a host shows to be attested, and how each part of it was judged.
//!
//! The parts are the TPM's own bytes, not yet believed; `holdfast-proof` parses them and the
//! attestor's verifier judges them. This module must never judge.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A structure that the TPM signed, and its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `TPMS_ATTEST` as the TPM marshaled it (TPM 2.0 Part 2 §10.12.12).
    pub attest: Vec<u8>,
    /// `TPMT_SIGNATURE` (Part 2 §11.3.4).
    pub signature: Vec<u8>,
}

/// Everything that one attestation carries (DESIGN §8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The attestor's nonce that this answers.
    pub nonce: Vec<u8>,
    /// The quote, by the AK.
    pub quote: Signed,
    /// The PCR values that the quote's digest covers.
    pub pcrs: Vec<PcrValue>,
    /// `TPMT_PUBLIC` of the fresh node key.
    pub node_key: Vec<u8>,
    /// The node key's certification by the AK.
    pub node_key_certified: Signed,
    /// The certificate signing request, PKCS#10 DER, by the node key.
    pub csr: Vec<u8>,
    /// The audit counter's certification by the AK.
    pub audit_counter_certified: Signed,
    /// The UEFI event log as the firmware left it; empty where there is none.
    pub event_log: Vec<u8>,
    /// The kernel's measurement list; absent where the host has none.
    pub ima: Option<ImaList>,
    /// systemd's log of what it measured, read after the quote; empty where there is none.
    pub systemd_log: Vec<u8>,
    /// Which PCR banks the TPM keeps; absent where that is not proven.
    pub banks: Option<ProvenBanks>,
}

/// The TPM's own word on which PCR banks it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenBanks {
    /// `TPML_PCR_SELECTION` as TPM2_GetCapability(TPM_CAP_PCRS) answered it in an audit session.
    pub banks: Vec<u8>,
    /// The session's digest, by the AK (TPM2_GetSessionAuditDigest).
    pub audited: Signed,
}

/// A part of the kernel's measurement list, read after the quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImaList {
    /// The number of its first entry, counted from the boot.
    pub first: u64,
    /// Entries as `binary_runtime_measurements` has them.
    pub entries: Vec<u8>,
    /// Where it ends.
    pub end: ImaEnd,
}

/// Where a part of a measurement list ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImaEnd {
    /// Where the list ended when it was read.
    Whole,
    /// Where one message was full: more follows.
    Cut,
}

/// One PCR's value in one bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrValue {
    /// The bank's `TPM_ALG_ID`.
    pub bank: u16,
    /// The PCR's number.
    pub index: u32,
    /// Its value.
    pub value: Vec<u8>,
}

/// One named check of the verifier. Its spelling in JSON is the reason code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The nonce is ours, for this host, fresh, and used once.
    Nonce,
    /// Each structure parses, entirely.
    Structure,
    /// The AK is the enrolled one, restricted, sign, fixedTPM, fixedParent, sensitiveDataOrigin.
    AttestationKey,
    /// Each attested structure is signed by the enrolled AK.
    Signature,
    /// Each structure has the type that its place wants.
    AttestType,
    /// The extraData binds nonce, TLS channel, CSR and event log.
    Binding,
    /// The TPM proves which PCR banks it keeps, and none is left out that has to be quoted.
    PcrBanks,
    /// The signed PCR selection equals the required set and the supplied values.
    PcrSelection,
    /// The PCR digest recomputes from the supplied values.
    PcrDigest,
    /// No quoted bank was left blank by a firmware that measured into another.
    BlankBank,
    /// The firmware's event log gives the quoted PCRs that are the firmware's, but for a separator that systemd adds.
    EventLog,
    /// Secure Boot was on, where policy wants that.
    SecureBoot,
    /// systemd's log goes on from the firmware's to the quoted PCRs that it names.
    SystemdLog,
    /// The measurement list is the one that went into the quoted PCR 10.
    ImaReplay,
    /// What was measured is listed or signed.
    ImaPolicy,
    /// The blocking PCRs have their reference values.
    PcrReference,
    /// An operator has approved the host's first values, where policy asks for that.
    ReferenceApproval,
    /// The certified key is the CSR's key, with the right attributes.
    NodeKey,
    /// The CSR is well formed and signed by its key.
    Csr,
    /// Reset and restart counts and the clock do not go back.
    Clock,
    /// The firmware version is one that policy accepts.
    Firmware,
    /// The audit counter is the enrolled one and not behind what was seen.
    AuditCounter,
    /// The host is enrolled, approved, and not revoked.
    Registration,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nonce => "nonce",
            Self::Structure => "structure",
            Self::AttestationKey => "attestation-key",
            Self::Signature => "signature",
            Self::AttestType => "attest-type",
            Self::Binding => "binding",
            Self::PcrBanks => "pcr-banks",
            Self::PcrSelection => "pcr-selection",
            Self::PcrDigest => "pcr-digest",
            Self::BlankBank => "blank-bank",
            Self::EventLog => "event-log",
            Self::SecureBoot => "secure-boot",
            Self::SystemdLog => "systemd-log",
            Self::ImaReplay => "ima-replay",
            Self::ImaPolicy => "ima-policy",
            Self::PcrReference => "pcr-reference",
            Self::ReferenceApproval => "reference-approval",
            Self::NodeKey => "node-key",
            Self::Csr => "csr",
            Self::Clock => "clock",
            Self::Firmware => "firmware",
            Self::AuditCounter => "audit-counter",
            Self::Registration => "registration",
        })
    }
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// As it should be.
    Passed,
    /// Not as it should be, but policy lets it pass; it is recorded.
    Noted,
    /// The evidence is refused.
    Refused,
}

/// One line of an appraisal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Which check.
    pub check: Check,
    /// What it found.
    pub finding: Finding,
    /// What was expected and what was seen, for the operator.
    pub detail: String,
}

/// Each check that was made, in order; the last is the refusal where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appraisal {
    /// The checks.
    pub checks: Vec<Checked>,
}

impl Appraisal {
    /// The check that refused the evidence, if one did.
    pub fn refusal(&self) -> Option<&Checked> {
        self.checks
            .iter()
            .find(|checked| checked.finding == Finding::Refused)
    }
}
