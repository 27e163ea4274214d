//! The TPM, as Holdfast uses it: the only crate that links the TSS.
//!
//! [`Tpm`] is a handle to the one thread that owns the TPM; [`Tpm::provision`] turns it into a [`Provisioned`] one, which has
//! this host's keys and counters. Raw bytes become the verifier's types (`holdfast_proof::tpm`) before they leave this crate.
//!
//! This crate must never set a hierarchy's authorization, leave an object or session in the TPM, or send a secret over the
//! bus in the clear. It decides nothing: policy digests and judgements are `holdfast_proof`'s.
//!
//! The software stack logs refusals by itself: to `log` under the target `tss_esapi`, and to standard error unless
//! `TSS2_LOG=all+none` is in the environment.

mod approver;
mod banks;
mod config;
mod counter;
mod endorsement;
mod engine;
mod error;
mod evidence;
mod key;
mod lease;
mod owner;
mod pcr;
mod pin;
mod places;
mod property;
mod provision;
mod queue;
mod state;
mod templates;
mod vault;

pub use approver::ApproverState;
pub use banks::ProvenBanks;
pub use config::{
    AttestationKey, AuthValue, EndorsementKey, Hierarchy, HierarchyAuths, SwtpmAddress, TpmConfig,
    Transport,
};
pub use endorsement::EkInfo;
pub use error::{Command, ResponseCode, TpmError};
pub use evidence::{Attestation, Evidence, QuotedPcrs};
pub use key::LoadedKey;
pub use lease::{LeaseKey, LeaseTerms, SealedLease};
pub use owner::{Tpm, TpmOwner};
pub use pin::{InvalidPin, InvalidRecoveryCode, Pin, PinFailures, RecoveryCode};
pub use places::{ATTESTATION_KEY, ApproverSlot, STORAGE_ROOT};
pub use provision::Provisioned;
pub use queue::Priority;
pub use state::{CounterRole, KeyBlob, TpmState};
pub use vault::{SealedVaultRoot, VaultRoot};
