//! Where Holdfast keeps things in a TPM: the whole list, so that an uninstall gives all of it back.
//!
//! Owner range of persistent handles and NV indices (TCG Registry of Reserved TPM 2.0 Handles, §2.2 and §2.3). Nothing of
//! Holdfast lives anywhere else.

use holdfast_proof::tpm::NvIndex;
use serde::{Deserialize, Serialize};

use crate::config::EndorsementKey;
use crate::state::CounterRole;

/// The storage root key, where every other software expects it too; never given back, because it may be in use.
pub const STORAGE_ROOT: u32 = 0x8100_0001;

/// The attestation key.
pub const ATTESTATION_KEY: u32 = 0x8101_4801;

/// The endorsement key where a vendor or the system made it persistent (TCG EK Credential Profile 2.5 §5.5); Holdfast never
/// writes there.
pub(crate) fn endorsement_key(kind: EndorsementKey) -> u32 {
    match kind {
        EndorsementKey::Rsa2048 => 0x8101_0001,
        EndorsementKey::EccP256 => 0x8101_0002,
        EndorsementKey::Rsa3072 => 0x8101_001c,
        EndorsementKey::EccP384 => 0x8101_0016,
    }
}

/// The NV index of the endorsement key's certificate (EK Credential Profile 2.5, table 2).
pub(crate) fn endorsement_certificate(kind: EndorsementKey) -> u32 {
    match kind {
        EndorsementKey::Rsa2048 => 0x01c0_0002,
        EndorsementKey::EccP256 => 0x01c0_000a,
        EndorsementKey::Rsa3072 => 0x01c0_001c,
        EndorsementKey::EccP384 => 0x01c0_0016,
    }
}

/// The NV indices of an on-die certificate chain, first and last (EK Credential Profile 2.5 §2.2.1.5.2).
pub(crate) const CERTIFICATE_CHAIN: (u32, u32) = (0x01c0_0100, 0x01c0_01ff);

/// The NV index of a counter.
pub(crate) fn counter(role: CounterRole) -> Option<NvIndex> {
    NvIndex::new(match role {
        CounterRole::Epoch => 0x0180_4801,
        CounterRole::Audit => 0x0180_4802,
    })
}

/// The place of one human's PIN index: 0x01804810 to 0x0180484f.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct ApproverSlot(u8);

impl ApproverSlot {
    /// How many humans one host can have.
    pub const COUNT: u8 = 64;

    /// The slot of this number; `None` from [`Self::COUNT`] on.
    pub const fn new(number: u8) -> Option<Self> {
        if number < Self::COUNT {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }

    pub(crate) fn pin_index(self) -> Option<NvIndex> {
        NvIndex::new(0x0180_4810 + u32::from(self.0))
    }
}

impl TryFrom<u8> for ApproverSlot {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        Self::new(number).ok_or("an approver slot has a number from 0 to 63")
    }
}

impl From<ApproverSlot> for u8 {
    fn from(slot: ApproverSlot) -> Self {
        slot.0
    }
}
