//! The protobuf edge: generated messages and their conversion into our own types.
//!
//! Protobuf types stop here. Every conversion from a peer's message is fallible, names the field
//! that is wrong, and bounds what it takes.

use crate::evidence;

/// The generated messages, clients and servers of `holdfast.attestor.v1`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_enum_match_arm,
    reason = "generated from proto/attestor.proto, which documents them"
)]
pub mod attestor {
    tonic::include_proto!("holdfast.attestor.v1");
}

/// The most PCR values that evidence may carry: 24 PCRs in each of four banks.
pub const MAX_PCRS: usize = 96;

/// The largest single structure of a TPM, or request, that we take.
pub const MAX_STRUCTURE: usize = 16 * 1024;

/// The largest event log that we take.
pub const MAX_EVENT_LOG: usize = 1 << 20;

/// The most bytes of systemd's log: some 3,000 records.
pub const MAX_SYSTEMD_LOG: usize = 1 << 20;

/// The most bytes of a measurement list in one attestation: some 20,000 entries.
pub const MAX_IMA_LIST: usize = 2 << 20;

/// The most X.509-SVIDs that are signed by one request.
pub const MAX_SVIDS: usize = 16;

/// A peer's message is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A message that has to be there is not.
    #[error("the message lacks `{0}`")]
    Missing(&'static str),
    /// A field is larger than it may be.
    #[error("`{field}` has {size} bytes or entries, more than {limit}")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// What it has.
        size: usize,
        /// What it may have.
        limit: usize,
    },
    /// A field is out of its range.
    #[error("`{0}` is out of range")]
    Range(&'static str),
}

/// Checks that a peer's bytes stay within `limit`.
///
/// # Errors
/// [`WireError::TooLarge`] otherwise.
pub fn bounded(field: &'static str, bytes: Vec<u8>, limit: usize) -> Result<Vec<u8>, WireError> {
    let size = bytes.len();
    if size > limit {
        return Err(WireError::TooLarge { field, size, limit });
    }
    Ok(bytes)
}

/// Takes a signed structure out of a message.
///
/// # Errors
/// [`WireError`] if it is missing or too large.
pub fn signed(
    field: &'static str,
    message: Option<attestor::Signed>,
) -> Result<evidence::Signed, WireError> {
    let attestor::Signed { attest, signature } = message.ok_or(WireError::Missing(field))?;
    Ok(evidence::Signed {
        attest: bounded(field, attest, MAX_STRUCTURE)?,
        signature: bounded(field, signature, MAX_STRUCTURE)?,
    })
}

impl From<evidence::Signed> for attestor::Signed {
    fn from(signed: evidence::Signed) -> Self {
        let evidence::Signed { attest, signature } = signed;
        Self { attest, signature }
    }
}

impl TryFrom<attestor::Evidence> for evidence::Evidence {
    type Error = WireError;

    /// The host id travels beside the evidence; the caller reads it first.
    fn try_from(message: attestor::Evidence) -> Result<Self, WireError> {
        let attestor::Evidence {
            host_id: _,
            nonce,
            quote,
            pcrs,
            node_key,
            node_key_certified,
            csr,
            audit_counter_certified,
            event_log,
            ima,
            systemd_log,
            banks,
        } = message;
        if pcrs.len() > MAX_PCRS {
            return Err(WireError::TooLarge {
                field: "pcrs",
                size: pcrs.len(),
                limit: MAX_PCRS,
            });
        }
        Ok(Self {
            nonce: bounded("nonce", nonce, 64)?,
            quote: signed("quote", quote)?,
            pcrs: pcrs
                .into_iter()
                .map(evidence::PcrValue::try_from)
                .collect::<Result<_, _>>()?,
            node_key: bounded("node_key", node_key, MAX_STRUCTURE)?,
            node_key_certified: signed("node_key_certified", node_key_certified)?,
            csr: bounded("csr", csr, MAX_STRUCTURE)?,
            audit_counter_certified: signed("audit_counter_certified", audit_counter_certified)?,
            event_log: bounded("event_log", event_log, MAX_EVENT_LOG)?,
            ima: ima.map(evidence::ImaList::try_from).transpose()?,
            systemd_log: bounded("systemd_log", systemd_log, MAX_SYSTEMD_LOG)?,
            banks: banks.map(evidence::ProvenBanks::try_from).transpose()?,
        })
    }
}

impl TryFrom<attestor::ProvenBanks> for evidence::ProvenBanks {
    type Error = WireError;

    fn try_from(message: attestor::ProvenBanks) -> Result<Self, WireError> {
        let attestor::ProvenBanks { banks, audited } = message;
        Ok(Self {
            banks: bounded("banks.banks", banks, MAX_STRUCTURE)?,
            audited: signed("banks.audited", audited)?,
        })
    }
}

impl From<evidence::ProvenBanks> for attestor::ProvenBanks {
    fn from(proven: evidence::ProvenBanks) -> Self {
        let evidence::ProvenBanks { banks, audited } = proven;
        Self {
            banks,
            audited: Some(audited.into()),
        }
    }
}

impl TryFrom<attestor::ImaList> for evidence::ImaList {
    type Error = WireError;

    fn try_from(message: attestor::ImaList) -> Result<Self, WireError> {
        let attestor::ImaList {
            first,
            entries,
            cut,
        } = message;
        Ok(Self {
            first,
            entries: bounded("ima.entries", entries, MAX_IMA_LIST)?,
            end: if cut {
                evidence::ImaEnd::Cut
            } else {
                evidence::ImaEnd::Whole
            },
        })
    }
}

impl From<evidence::ImaList> for attestor::ImaList {
    fn from(list: evidence::ImaList) -> Self {
        let evidence::ImaList {
            first,
            entries,
            end,
        } = list;
        Self {
            first,
            entries,
            cut: end == evidence::ImaEnd::Cut,
        }
    }
}

impl TryFrom<attestor::PcrValue> for evidence::PcrValue {
    type Error = WireError;

    fn try_from(message: attestor::PcrValue) -> Result<Self, WireError> {
        let attestor::PcrValue { bank, index, value } = message;
        Ok(Self {
            bank: u16::try_from(bank).map_err(|_| WireError::Range("pcrs.bank"))?,
            index,
            value: bounded("pcrs.value", value, 64)?,
        })
    }
}

impl From<evidence::PcrValue> for attestor::PcrValue {
    fn from(value: evidence::PcrValue) -> Self {
        let evidence::PcrValue { bank, index, value } = value;
        Self {
            bank: u32::from(bank),
            index,
            value,
        }
    }
}
