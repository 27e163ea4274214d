//! The right edge of a growing tree: all that appending needs.
//!
//! It never forgets a leaf or goes back; a tree that shrinks is another tree.

use holdfast_protocol::Sha256Digest;

use super::{empty_root, node_hash};

/// The roots of the complete subtrees that make up a tree, widest first: one for each bit of its size.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "StoredFrontier", into = "StoredFrontier")]
pub struct Frontier {
    size: u64,
    peaks: Vec<Sha256Digest>,
}

/// A stored frontier is none. The store is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrontier {
    /// It has not one hash for each bit of its size.
    #[error("the right edge of a tree of {size} leaves has {expected} hashes, not {found}")]
    Hashes {
        /// The size that was stored.
        size: u64,
        /// How many hashes belong to it.
        expected: u32,
        /// How many were stored.
        found: usize,
    },
    /// No log has so many leaves.
    #[error("a tree cannot have {0} leaves")]
    Size(u64),
}

impl Frontier {
    const MAX_STORED: u64 = 1 << 62;

    /// The tree without leaves.
    pub fn empty() -> Self {
        Self {
            size: 0,
            peaks: Vec::new(),
        }
    }

    /// Takes up a stored right edge again. Only the number of hashes can be checked: compare `root` with a signed checkpoint
    /// before trusting it.
    pub fn restore(size: u64, peaks: Vec<Sha256Digest>) -> Result<Self, InvalidFrontier> {
        // Leaves room to append: no honest log comes near, and the size then never overflows.
        if size > Self::MAX_STORED {
            return Err(InvalidFrontier::Size(size));
        }
        let expected = size.count_ones();
        if peaks.len() != expected as usize {
            return Err(InvalidFrontier::Hashes {
                size,
                expected,
                found: peaks.len(),
            });
        }
        Ok(Self { size, peaks })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes to store, widest subtree first.
    pub fn peaks(&self) -> &[Sha256Digest] {
        &self.peaks
    }

    /// Appends a leaf by its hash.
    pub fn append(&mut self, leaf: Sha256Digest) {
        let mut hash = leaf;
        // Each trailing one bit of the size is a complete subtree that the new leaf's subtree now pairs up with.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Sha256Digest {
        self.peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(empty_root)
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Self::empty()
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFrontier {
    size: u64,
    peaks: Vec<Sha256Digest>,
}

impl TryFrom<StoredFrontier> for Frontier {
    type Error = InvalidFrontier;

    fn try_from(stored: StoredFrontier) -> Result<Self, InvalidFrontier> {
        Self::restore(stored.size, stored.peaks)
    }
}

impl From<Frontier> for StoredFrontier {
    fn from(frontier: Frontier) -> Self {
        Self {
            size: frontier.size,
            peaks: frontier.peaks,
        }
    }
}
