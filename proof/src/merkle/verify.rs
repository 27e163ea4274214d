//! Checking proofs, by the algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2.
//!
//! A proof is accepted only when every one of its hashes was used: nothing may be left over.

use holdfast_protocol::Sha256Digest;

use super::{empty_root, node_hash};

/// Why a proof is refused. Whoever sent the proof or the roots is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefused {
    /// The index or the sizes cannot belong to such a tree.
    #[error("no tree has this index and these sizes")]
    Impossible,
    /// The proof has too few or too many hashes.
    #[error("the proof has the wrong length")]
    Length,
    /// The proof leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Checks that the leaf with this hash is number `index` of the tree of `size` leaves with this `root`.
pub fn verify_inclusion(
    leaf: &Sha256Digest,
    index: u64,
    size: u64,
    proof: &[Sha256Digest],
    root: &Sha256Digest,
) -> Result<(), ProofRefused> {
    if index >= size {
        return Err(ProofRefused::Impossible);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofRefused::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofRefused::Length);
    }
    same(&hash, root)
}

/// Checks that the tree of `old_size` leaves with `old_root` is a prefix of the tree of `size` leaves with `root`.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Sha256Digest,
    size: u64,
    root: &Sha256Digest,
    proof: &[Sha256Digest],
) -> Result<(), ProofRefused> {
    if old_size > size {
        return Err(ProofRefused::Impossible);
    }
    if old_size == 0 || old_size == size {
        if !proof.is_empty() {
            return Err(ProofRefused::Length);
        }
        let expected = if old_size == size {
            *root
        } else {
            empty_root()
        };
        return same(old_root, &expected);
    }

    // Where the old tree is complete, its root starts the path without being in the proof.
    let mut path = proof.iter();
    let start = if old_size.is_power_of_two() {
        *old_root
    } else {
        *path.next().ok_or(ProofRefused::Length)?
    };
    let shift = (old_size - 1).trailing_ones();
    let mut node = shifted(old_size - 1, shift);
    let mut last = shifted(size - 1, shift);
    let (mut old_hash, mut new_hash) = (start, start);
    for sibling in path {
        if last == 0 {
            return Err(ProofRefused::Length);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofRefused::Length);
    }
    same(&old_hash, old_root)?;
    same(&new_hash, root)
}

fn same(found: &Sha256Digest, expected: &Sha256Digest) -> Result<(), ProofRefused> {
    if found == expected {
        Ok(())
    } else {
        Err(ProofRefused::Root)
    }
}

/// A right shift that takes 64 for what it means.
fn shifted(value: u64, by: u32) -> u64 {
    value.checked_shr(by).unwrap_or(0)
}
