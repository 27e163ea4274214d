#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};
use proptest::prelude::*;
use sha2::Sha256;

use super::*;

fn entries(count: u64) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| format!("entry {n}").into_bytes())
        .collect()
}

fn leaves(count: u64) -> Vec<Sha256Digest> {
    entries(count)
        .iter()
        .map(|entry| leaf_hash(entry))
        .collect()
}

#[test]
fn roots_of_the_certificate_transparency_test_vectors() {
    // The inputs and roots of the reference implementation of RFC 6962.
    let inputs: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::empty();
    assert_eq!(frontier.root().to_string(), roots[0]);
    for (input, root) in inputs.iter().zip(&roots[1..]) {
        frontier.append(leaf_hash(input));
        assert_eq!(&frontier.root().to_string(), root);
    }
}

#[test]
fn a_frontier_with_the_wrong_number_of_hashes_is_refused() {
    assert!(Frontier::restore(3, leaves(1)).is_err());
    assert!(Frontier::restore(4, leaves(2)).is_err());
    let huge = Frontier::restore(u64::MAX, leaves(64));
    assert_eq!(huge, Err(InvalidFrontier::Size(u64::MAX)));
    assert!(serde_json::from_str::<Frontier>(r#"{"size":1,"peaks":[]}"#).is_err());
}

#[test]
fn proofs_outside_the_tree_are_not_made() {
    let leaves = leaves(5);
    assert!(inclusion_proof(5, 5, &mut LeafHashes(&leaves)).is_err());
    assert!(consistency_proof(6, 5, &mut LeafHashes(&leaves)).is_err());
    assert!(matches!(
        inclusion_proof(0, 6, &mut LeafHashes(&leaves)),
        Err(OutOfRange::Node(MissingNode(_)))
    ));
}

#[test]
fn impossible_sizes_are_refused() {
    let hash = leaf_hash(b"");
    assert_eq!(
        verify_inclusion(&hash, 0, 0, &[], &hash),
        Err(ProofRefused::Impossible)
    );
    assert_eq!(
        verify_consistency(2, &hash, 1, &hash, &[]),
        Err(ProofRefused::Impossible)
    );
    assert_eq!(
        verify_consistency(0, &hash, 1, &hash, &[]),
        Err(ProofRefused::Root)
    );
    assert_eq!(
        verify_consistency(u64::MAX, &hash, u64::MAX - 1, &hash, &[]),
        Err(ProofRefused::Impossible)
    );
    assert_eq!(
        verify_inclusion(&hash, u64::MAX - 1, u64::MAX, &[], &hash),
        Err(ProofRefused::Length)
    );
}

proptest! {
    #[test]
    fn roots_and_proofs_agree_with_ct_merkle(size in 1_u64..200, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let (index, old) = (a.index(size as usize) as u64, b.index(size as usize) as u64 + 1);
        let entries = entries(size);
        let leaves = leaves(size);
        let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut frontier = Frontier::empty();
        for (entry, leaf) in entries.iter().zip(&leaves) {
            theirs.push(entry.clone());
            frontier.append(*leaf);
        }
        let root = frontier.root();
        prop_assert!(theirs.root().as_bytes().as_slice() == root.as_bytes());
        prop_assert_eq!(root_of(size, &mut LeafHashes(&leaves)).unwrap(), root);

        // Ours made, theirs verifies; theirs made, ours is the same bytes.
        let inclusion = inclusion_proof(index, size, &mut LeafHashes(&leaves)).unwrap();
        let bytes: Vec<u8> = inclusion.iter().flat_map(|hash| *hash.as_bytes()).collect();
        prop_assert!(theirs.prove_inclusion(index as usize).as_bytes() == bytes);
        let their_root = RootHash::<Sha256>::new((*root.as_bytes()).into(), size);
        let proof = InclusionProof::<Sha256>::try_from_bytes(bytes).unwrap();
        prop_assert!(their_root.verify_inclusion(&entries[index as usize], index, &proof).is_ok());
        prop_assert_eq!(verify_inclusion(&leaves[index as usize], index, size, &inclusion, &root), Ok(()));

        let consistency = consistency_proof(old, size, &mut LeafHashes(&leaves)).unwrap();
        let old_root = root_of(old, &mut LeafHashes(&leaves)).unwrap();
        prop_assert_eq!(verify_consistency(old, &old_root, size, &root, &consistency), Ok(()));
        let bytes: Vec<u8> = consistency.iter().flat_map(|hash| *hash.as_bytes()).collect();
        if old < size {
            let their_old_root = RootHash::<Sha256>::new((*old_root.as_bytes()).into(), old);
            prop_assert!(theirs.prove_consistency((size - old) as usize).as_bytes() == bytes);
            let proof = ConsistencyProof::<Sha256>::try_from_bytes(bytes).unwrap();
            prop_assert!(their_root.verify_consistency(&their_old_root, &proof).is_ok());
        }
    }

    #[test]
    fn a_changed_proof_is_refused(size in 2_u64..100, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>()) {
        let leaves = leaves(size);
        let index = a.index(size as usize) as u64;
        let old = 1 + b.index(size as usize - 1) as u64;
        let root = root_of(size, &mut LeafHashes(&leaves)).unwrap();
        let old_root = root_of(old, &mut LeafHashes(&leaves)).unwrap();
        let inclusion = inclusion_proof(index, size, &mut LeafHashes(&leaves)).unwrap();
        let consistency = consistency_proof(old, size, &mut LeafHashes(&leaves)).unwrap();
        let leaf = leaves[index as usize];

        let mut wrong = inclusion.clone();
        let at = flip.index(wrong.len());
        wrong[at] = leaf_hash(wrong[at].as_bytes());
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &wrong, &root), Err(ProofRefused::Root));
        let mut longer = inclusion.clone();
        longer.push(leaf);
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &longer, &root), Err(ProofRefused::Length));
        prop_assert!(verify_inclusion(&leaf, index, size, &inclusion[1..], &root).is_err());
        prop_assert!(verify_inclusion(&leaf_hash(b"other"), index, size, &inclusion, &root).is_err());

        let mut wrong = consistency.clone();
        let at = flip.index(wrong.len());
        wrong[at] = leaf_hash(wrong[at].as_bytes());
        prop_assert!(verify_consistency(old, &old_root, size, &root, &wrong).is_err());
        let mut longer = consistency.clone();
        longer.push(leaf);
        prop_assert!(verify_consistency(old, &old_root, size, &root, &longer).is_err());
        prop_assert!(verify_consistency(old, &leaf, size, &root, &consistency).is_err() || old_root == leaf);
        prop_assert!(verify_consistency(old, &old_root, size, &leaf, &consistency).is_err());
    }

    #[test]
    fn a_frontier_survives_storage(size in 0_u64..300) {
        let mut frontier = Frontier::empty();
        for leaf in leaves(size) {
            frontier.append(leaf);
        }
        let json = serde_json::to_string(&frontier).unwrap();
        let mut restored: Frontier = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&restored, &frontier);
        restored.append(leaf_hash(b"next"));
        frontier.append(leaf_hash(b"next"));
        prop_assert_eq!(restored.root(), frontier.root());
    }

    #[test]
    fn verifiers_never_panic(size in any::<u64>(), other in any::<u64>(), count in 0_usize..70) {
        let hash = leaf_hash(b"");
        let proof = vec![hash; count];
        let _ = verify_inclusion(&hash, other, size, &proof, &hash);
        let _ = verify_consistency(other, &hash, size, &hash, &proof);
    }
}
