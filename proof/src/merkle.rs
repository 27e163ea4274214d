//! The Merkle tree of a log: RFC 6962 §2.1 with SHA-256, as C2SP tlog-checkpoint and tlog-tiles use it.
//!
//! Generation and verification share no code but the two hashes, so that a mistake in one does not hide in the other.
//! Nothing here stores a tree.

mod frontier;
mod generate;
mod verify;

pub use frontier::{Frontier, InvalidFrontier};
pub use generate::{LeafHashes, MissingNode, Nodes, OutOfRange, Subtree};
pub use generate::{consistency_proof, inclusion_proof, root_of};
pub use verify::{ProofRefused, verify_consistency, verify_inclusion};

use holdfast_protocol::Sha256Digest;

use crate::hash::{sha256, sha256_of};

/// The most hashes that a proof can have: one for each level of a tree of up to 2^64 leaves, and one more.
pub const MAX_PROOF: usize = 65;

/// The hash of an entry: `SHA-256(0x00 ‖ entry)`.
pub fn leaf_hash(entry: &[u8]) -> Sha256Digest {
    sha256_of(&[&[0x00], entry])
}

/// The hash of two subtrees: `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Sha256Digest, right: &Sha256Digest) -> Sha256Digest {
    sha256_of(&[&[0x01], left.as_bytes(), right.as_bytes()])
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Sha256Digest {
    sha256(b"")
}

#[cfg(test)]
mod tests;
