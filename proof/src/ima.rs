//! The kernel's integrity measurement list (IMA): read, replayed to PCR 10, judged.
//!
//! A list is a host's word until a prefix of it gives the PCR 10 of a quote; only that prefix is judged, and what
//! follows it counts for nothing. Nothing here allocates by what the list says, whatever its size.

mod allow;
mod boot;
mod glob;
mod judge;
mod key;
mod known;
mod list;
mod replay;
mod template;

#[cfg(test)]
mod tests;

pub use allow::{AllowList, InvalidLine};
pub use glob::PathPattern;
pub use judge::{Finding, Findings, Justified, Policy, Unjustified};
pub use key::{InvalidKey, SignatureRefused, SigningKeys};
pub use list::{Entry, List, MalformedList};
pub use replay::{Extension, Known, Prefix, Replay, ReplayRefused};
pub use template::{DigestKind, FileDigest, Measured};

use crate::tpm::PcrIndex;

/// The number of the PCR that the kernel extends (`CONFIG_IMA_MEASURE_PCR_IDX`).
pub const PCR: u8 = 10;

/// That PCR.
pub fn pcr() -> Option<PcrIndex> {
    PcrIndex::new(PCR)
}
