//! Making proofs from stored hashes (RFC 6962 §2.1.1, §2.1.2).
//!
//! The nodes come from the caller, which may keep them as leaves or as tiles; nothing here caches or checks them.

use holdfast_protocol::Sha256Digest;

use super::{empty_root, node_hash};

/// A complete subtree: the `2^level` leaves from `index · 2^level` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subtree {
    /// Its height; a leaf has 0.
    pub level: u8,
    /// Its number among the subtrees of this height, from the left.
    pub index: u64,
}

/// Where the hashes of complete subtrees come from.
pub trait Nodes {
    /// Why a hash cannot be had.
    type Error;

    /// The root of a complete subtree that lies inside the tree.
    fn node(&mut self, at: Subtree) -> Result<Sha256Digest, Self::Error>;
}

impl<E, F: FnMut(Subtree) -> Result<Sha256Digest, E>> Nodes for F {
    type Error = E;

    fn node(&mut self, at: Subtree) -> Result<Sha256Digest, E> {
        self(at)
    }
}

/// A tree whose leaf hashes are all at hand.
#[derive(Clone, Copy, Debug)]
pub struct LeafHashes<'a>(pub &'a [Sha256Digest]);

/// A hash was asked for that lies outside the leaves at hand. The caller is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree has no leaf hashes for the subtree {0:?}")]
pub struct MissingNode(pub Subtree);

impl Nodes for LeafHashes<'_> {
    type Error = MissingNode;

    fn node(&mut self, at: Subtree) -> Result<Sha256Digest, MissingNode> {
        if at.level == 0 {
            return usize::try_from(at.index)
                .ok()
                .and_then(|index| self.0.get(index))
                .copied()
                .ok_or(MissingNode(at));
        }
        let (left, right) = at.children().ok_or(MissingNode(at))?;
        Ok(node_hash(&self.node(left)?, &self.node(right)?))
    }
}

impl Subtree {
    fn children(self) -> Option<(Self, Self)> {
        let level = self.level.checked_sub(1)?;
        let left = self.index.checked_mul(2)?;
        Some((
            Self { level, index: left },
            Self {
                level,
                index: left.checked_add(1)?,
            },
        ))
    }
}

/// Why there is no proof to make. The caller is to blame for what was asked, or its store for what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfRange<E> {
    /// No such leaf or smaller tree.
    #[error("{asked} lies outside a tree of {size} leaves")]
    Tree {
        /// The leaf index, or the size of the smaller tree.
        asked: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A hash could not be had.
    #[error("a hash of the tree could not be read")]
    Node(#[source] E),
}

/// The root of the tree of the first `size` leaves.
pub fn root_of<N: Nodes>(size: u64, nodes: &mut N) -> Result<Sha256Digest, N::Error> {
    if size == 0 {
        return Ok(empty_root());
    }
    range_hash(0, size, nodes)
}

/// The proof that leaf `index` is in the tree of the first `size` leaves.
pub fn inclusion_proof<N: Nodes>(
    index: u64,
    size: u64,
    nodes: &mut N,
) -> Result<Vec<Sha256Digest>, OutOfRange<N::Error>> {
    if index >= size {
        return Err(OutOfRange::Tree { asked: index, size });
    }
    let (mut start, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        let sibling = if index < middle {
            let right = (middle, end);
            end = middle;
            right
        } else {
            let left = (start, middle);
            start = middle;
            left
        };
        proof.push(range_hash(sibling.0, sibling.1, nodes).map_err(OutOfRange::Node)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of the first `old` leaves is a prefix of the tree of the first `size` leaves. Empty if the two are
/// the same tree or the old one is empty.
pub fn consistency_proof<N: Nodes>(
    old: u64,
    size: u64,
    nodes: &mut N,
) -> Result<Vec<Sha256Digest>, OutOfRange<N::Error>> {
    if old > size {
        return Err(OutOfRange::Tree { asked: old, size });
    }
    let mut proof = Vec::new();
    if old == 0 || old == size {
        return Ok(proof);
    }
    let (mut start, mut end) = (0, size);
    // Walk down to the range that ends where the old tree ends; every sibling on the way belongs to the proof.
    while end != old {
        let middle = start + split(end - start);
        let sibling = if old <= middle {
            let right = (middle, end);
            end = middle;
            right
        } else {
            let left = (start, middle);
            start = middle;
            left
        };
        proof.push(range_hash(sibling.0, sibling.1, nodes).map_err(OutOfRange::Node)?);
    }
    // A range that starts at 0 is the old tree itself, whose root the verifier has.
    if start != 0 {
        proof.push(range_hash(start, end, nodes).map_err(OutOfRange::Node)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The hash of the leaves from `start` up to `end`, a range that the recursion of RFC 6962 reaches.
fn range_hash<N: Nodes>(start: u64, end: u64, nodes: &mut N) -> Result<Sha256Digest, N::Error> {
    let length = end - start;
    if length.is_power_of_two() {
        let level = length.trailing_zeros() as u8;
        return nodes.node(Subtree {
            level,
            index: start >> level,
        });
    }
    let middle = start + split(length);
    let left = range_hash(start, middle, nodes)?;
    let right = range_hash(middle, end, nodes)?;
    Ok(node_hash(&left, &right))
}

/// The largest power of two below `length`, which is above 1.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}
