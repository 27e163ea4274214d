//! TPM policy digests computed in software (Part 1 §19.7; the Policy commands of Part 3 §23), always with SHA-256.
//!
//! A digest made here says what a TPM will demand; it never says that a TPM demanded it.

mod command;

pub use command::{CommandCode, cp_hash};

use holdfast_protocol::Sha256Digest;

use crate::hash::sha256_of;
use crate::tpm::{Digest, Name, PcrSelection};

/// A policy under construction: the policyDigest that a session would have after the same commands, in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct PolicyDigest(Sha256Digest);

/// How TPM2_PolicyNV and TPM2_PolicyCounterTimer compare operand A (the TPM's) with operand B (the policy's) (TPM_EO).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A = B.
    Eq,
    /// A ≠ B.
    Neq,
    /// A > B, signed.
    SignedGt,
    /// A > B, unsigned.
    UnsignedGt,
    /// A < B, signed.
    SignedLt,
    /// A < B, unsigned.
    UnsignedLt,
    /// A ≥ B, signed.
    SignedGe,
    /// A ≥ B, unsigned.
    UnsignedGe,
    /// A ≤ B, signed.
    SignedLe,
    /// A ≤ B, unsigned.
    UnsignedLe,
    /// All bits of B are set in A.
    BitSet,
    /// All bits of B are clear in A.
    BitClear,
}

/// TPM2_PolicyOR takes 2 to 8 branches. The caller is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PolicyOR has 2 to 8 branches, not {0}")]
pub struct BranchCount(usize);

impl Operation {
    /// The TCG value.
    pub fn id(self) -> u16 {
        match self {
            Self::Eq => 0x0,
            Self::Neq => 0x1,
            Self::SignedGt => 0x2,
            Self::UnsignedGt => 0x3,
            Self::SignedLt => 0x4,
            Self::UnsignedLt => 0x5,
            Self::SignedGe => 0x6,
            Self::UnsignedGe => 0x7,
            Self::SignedLe => 0x8,
            Self::UnsignedLe => 0x9,
            Self::BitSet => 0xa,
            Self::BitClear => 0xb,
        }
    }
}

impl Default for PolicyDigest {
    fn default() -> Self {
        Self::new()
    }
}

impl PolicyDigest {
    /// The digest of a policy session without assertions: 32 zero bytes.
    pub fn new() -> Self {
        Self(Sha256Digest::new([0; 32]))
    }

    /// The policyDigest so far.
    pub fn digest(&self) -> Sha256Digest {
        self.0
    }

    /// The policyDigest so far, as the authPolicy of an object.
    pub fn auth_policy(&self) -> Option<Digest> {
        Digest::new(crate::tpm::HashAlg::Sha256, self.0.as_bytes())
    }

    /// TPM2_PolicySigned by the key of this name (§23.3).
    pub fn policy_signed(self, key: &Name, policy_ref: &[u8]) -> Self {
        self.extend(CommandCode::POLICY_SIGNED, &[key.as_bytes()])
            .extend_reference(policy_ref)
    }

    /// TPM2_PolicySecret of the entity of this name (§23.4).
    pub fn policy_secret(self, entity: &Name, policy_ref: &[u8]) -> Self {
        self.extend(CommandCode::POLICY_SECRET, &[entity.as_bytes()])
            .extend_reference(policy_ref)
    }

    /// TPM2_PolicyOR over the digests of its branches; replaces what stands before it (§23.6).
    pub fn policy_or(self, branches: &[Sha256Digest]) -> Result<Self, BranchCount> {
        if !(2..=8).contains(&branches.len()) {
            return Err(BranchCount(branches.len()));
        }
        let branches: Vec<&[u8]> = branches
            .iter()
            .map(|branch| branch.as_bytes().as_slice())
            .collect();
        Ok(Self::new().extend(CommandCode::POLICY_OR, &branches))
    }

    /// TPM2_PolicyPCR: the selected PCRs have this digest (§23.7; `tpm::pcr_digest` with SHA-256 makes it). The TPM must be
    /// given the selection with bitmaps of 3 bytes, because their size is hashed too.
    pub fn policy_pcr(self, selection: &PcrSelection, pcr_digest: &Sha256Digest) -> Self {
        self.extend(
            CommandCode::POLICY_PCR,
            &[&selection.encode(), pcr_digest.as_bytes()],
        )
    }

    /// TPM2_PolicyNV: `operand` compares so with the contents of the index at `offset` (§23.9). The name must be the one that
    /// the index has when the policy runs, so with `WRITTEN` set.
    pub fn policy_nv(
        self,
        index: &Name,
        operand: &[u8],
        offset: u16,
        operation: Operation,
    ) -> Self {
        let arguments = comparison(operand, offset, operation);
        self.extend(
            CommandCode::POLICY_NV,
            &[arguments.as_bytes(), index.as_bytes()],
        )
    }

    /// TPM2_PolicyCounterTimer: `operand` compares so with TPMS_TIME_INFO at `offset` (§23.10; `tpm::TimeField` has the offsets).
    pub fn policy_counter_timer(self, operand: &[u8], offset: u16, operation: Operation) -> Self {
        let arguments = comparison(operand, offset, operation);
        self.extend(CommandCode::POLICY_COUNTER_TIMER, &[arguments.as_bytes()])
    }

    /// TPM2_PolicyCommandCode: only this command (§23.11).
    pub fn policy_command_code(self, command: CommandCode) -> Self {
        self.extend(
            CommandCode::POLICY_COMMAND_CODE,
            &[&command.0.to_be_bytes()],
        )
    }

    /// TPM2_PolicyCpHash: only the command with exactly these parameters (§23.13; `cp_hash` makes the digest).
    pub fn policy_cp_hash(self, cp_hash: &Sha256Digest) -> Self {
        self.extend(CommandCode::POLICY_CP_HASH, &[cp_hash.as_bytes()])
    }

    /// TPM2_PolicyAuthorize: any policy that the key of this name approved; replaces what stands before it (§23.16).
    pub fn policy_authorize(self, key: &Name, policy_ref: &[u8]) -> Self {
        Self::new()
            .extend(CommandCode::POLICY_AUTHORIZE, &[key.as_bytes()])
            .extend_reference(policy_ref)
    }

    /// TPM2_PolicyAuthValue, and equally TPM2_PolicyPassword: the object's authValue (§23.17, §23.18).
    pub fn policy_auth_value(self) -> Self {
        self.extend(CommandCode::POLICY_AUTH_VALUE, &[])
    }

    fn extend(self, command: CommandCode, parts: &[&[u8]]) -> Self {
        let code = command.0.to_be_bytes();
        let mut all: Vec<&[u8]> = vec![self.0.as_bytes(), &code];
        all.extend_from_slice(parts);
        Self(sha256_of(&all))
    }

    /// The second step of PolicyUpdate (Part 3 §23.2.3), which is made even for an empty reference.
    fn extend_reference(self, policy_ref: &[u8]) -> Self {
        Self(sha256_of(&[self.0.as_bytes(), policy_ref]))
    }
}

fn comparison(operand: &[u8], offset: u16, operation: Operation) -> Sha256Digest {
    sha256_of(&[
        operand,
        &offset.to_be_bytes(),
        &operation.id().to_be_bytes(),
    ])
}

#[cfg(test)]
mod tests;
