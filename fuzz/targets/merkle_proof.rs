//! Merkle proofs of a peer: index, two sizes, leaf, then the proof's hashes, 32 bytes each.
#![no_main]

use holdfast_proof::merkle::{Frontier, leaf_hash, verify_consistency, verify_inclusion};
use holdfast_proof::tpm::Reader;
use holdfast_protocol::Sha256Digest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new("proof", data);
    let (Ok(index), Ok(old), Ok(size)) = (
        reader.u64("index"),
        reader.u64("old size"),
        reader.u64("size"),
    ) else {
        return;
    };
    let mut proof = Vec::new();
    while let Ok(hash) = reader.array::<32>("hash") {
        proof.push(Sha256Digest::new(hash));
    }
    // The log of 13 entries that the seeds are proofs in.
    let leaf = |number: u64| leaf_hash(&number.to_be_bytes());
    let root = |size: u64| {
        let mut tree = Frontier::empty();
        (0..size).for_each(|number| tree.append(leaf(number)));
        tree.root()
    };
    let included = verify_inclusion(&leaf(index), index, size, &proof, &root(13));
    let consistent = verify_consistency(old, &root(old.min(13)), size, &root(13), &proof);
    // Other sizes can share the path of a proof, but a leaf stands where it stands.
    if included.is_ok() {
        assert!(index < 13 && index < size);
        assert!(proof.len() <= 4);
    }
    if size == 13 && consistent.is_ok() {
        assert!(old <= 13);
        assert!(proof.len() <= 5);
    }
});
