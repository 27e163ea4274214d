//! What a TPM says that it was asked and answered: the digest of an audit session (TPM 2.0 Library Part 1, audit sessions).
//!
//! Each command in the session makes its digest `H(before ‖ cpHash ‖ rpHash)`, from zeros on. Whoever knows command and
//! answer can so check the digest that TPM2_GetSessionAuditDigest signs. The session's key has no part in it.

#[cfg(test)]
mod tests;

use holdfast_protocol::Sha256Digest;

use crate::hash::sha256_of;
use crate::policy::{CommandCode, cp_hash};
use crate::tpm::{ActiveBanks, Writer};

/// TPM_CAP_PCRS (Part 2 §6.12).
const CAP_PCRS: u32 = 5;

/// TPM_RC_SUCCESS.
const SUCCESS: [u8; 4] = [0; 4];

/// NO (TPMI_YES_NO): the answer is all of it.
const NO_MORE: u8 = 0;

/// How many banks TPM2_GetCapability is asked for: one, as the Linux kernel asks, and a TPM tells all of them.
pub const PCRS_COUNT: u32 = 1;

/// The rpHash of a command that succeeded, by SHA-256 (Part 1 §16.8): its response code and its code, and the marshalled
/// parameters of its answer.
pub fn rp_hash(command: CommandCode, parameters: &[u8]) -> Sha256Digest {
    sha256_of(&[&SUCCESS, &command.get().to_be_bytes(), parameters])
}

/// The digest of a SHA-256 audit session that saw these commands, by cpHash and rpHash, and no others.
pub fn session_digest(seen: &[(Sha256Digest, Sha256Digest)]) -> Sha256Digest {
    seen.iter()
        .fold(Sha256Digest::new([0; 32]), |before, (cp_hash, rp_hash)| {
            sha256_of(&[before.as_bytes(), cp_hash.as_bytes(), rp_hash.as_bytes()])
        })
}

/// The digest of a SHA-256 audit session in which the TPM was asked once which banks it keeps, and answered these, all of
/// them.
pub fn banks_digest(banks: &ActiveBanks) -> Sha256Digest {
    let asked = Writer::new().u32(CAP_PCRS).u32(0).u32(PCRS_COUNT).finish();
    let answered = Writer::new()
        .u8(NO_MORE)
        .u32(CAP_PCRS)
        .bytes(banks.as_bytes())
        .finish();
    let command = CommandCode::GET_CAPABILITY;
    session_digest(&[(cp_hash(command, &[], &asked), rp_hash(command, &answered))])
}
