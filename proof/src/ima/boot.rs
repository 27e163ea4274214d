//! The first entry of a list: what the firmware and boot loader had measured when IMA began.
//!
//! It ties the list to the boot only where the quote has the same PCRs; where it lacks one, nothing is said.

use super::FileDigest;
use crate::tpm::{HashAlg, PcrIndex, PcrValues};

/// Its path.
pub(super) const PATH: &[u8] = b"boot_aggregate";

/// Whether a `boot_aggregate` is that of the quoted PCRs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Same,
    Other,
    /// The quote lacks a PCR that it is made of.
    NotQuoted,
}

/// Compares it: over PCRs 0 to 7 for SHA-1, 0 to 9 for the others (Linux 5.8), of the bank of its algorithm.
pub(super) fn aggregate(digest: &FileDigest<'_>, quoted: &PcrValues) -> Aggregate {
    let Some(alg) = digest.known() else {
        return Aggregate::NotQuoted;
    };
    let last = if alg == HashAlg::Sha1 { 7 } else { 9 };
    let mut values = Vec::new();
    for index in 0..=last {
        let value = PcrIndex::new(index).and_then(|index| quoted.value(alg, index));
        let Some(value) = value else {
            return Aggregate::NotQuoted;
        };
        values.extend_from_slice(value.as_bytes());
    }
    if alg.digest(&values).as_bytes() == digest.bytes {
        Aggregate::Same
    } else {
        Aggregate::Other
    }
}
