//! The PCRs: which were signed, what they are, what they were.

use holdfast_proof::tpm::{HashAlg, PcrSelection, PcrValues};
use holdfast_protocol::evidence::{Check, PcrValue};

use super::{noted, refused};
use crate::registry::ReferencePcrs;
use crate::software_tpm::{Scene, digest, pcr};

#[test]
fn pcr_values_that_make_no_sense_are_malformed() {
    for spoil in [
        |values: &mut Vec<PcrValue>| values[0].bank = 0x0012,
        |values: &mut Vec<PcrValue>| values[0].index = 24,
        |values: &mut Vec<PcrValue>| values[0].index = u32::MAX,
        |values: &mut Vec<PcrValue>| values[0].value.truncate(20),
        |values: &mut Vec<PcrValue>| values.push(values[0].clone()),
    ] {
        assert_eq!(refused(|_, parts| spoil(&mut parts.pcrs)), Check::Structure);
    }
}

#[test]
fn the_signed_selection_counts() {
    let sha256 =
        |indices: &[u8]| PcrSelection::of(HashAlg::Sha256, indices.iter().copied().map(pcr));
    // Signed and supplied agree, but are not what is required: less, other.
    for indices in [[0, 2, 4, 7, 9].as_slice(), &[7], &[]] {
        let check = refused(|scene, parts| {
            let extra = parts.quote.extra_data.clone();
            parts.quote = scene.tpm.quote(&sha256(indices), &extra);
            parts
                .pcrs
                .retain(|value| indices.contains(&(value.index as u8)));
        });
        assert_eq!(check, Check::PcrSelection, "{indices:?}");
    }
    // More than is required.
    let check = refused(|scene, _| scene.policy.required = sha256(&[0, 2]));
    assert_eq!(check, Check::PcrSelection);
    // Supplied but not signed, signed but not supplied.
    let check = refused(|_, parts| {
        parts.pcrs.push(PcrValue {
            bank: 0x000b,
            index: 12,
            value: vec![0; 32],
        });
    });
    assert_eq!(check, Check::PcrSelection);
    assert_eq!(
        refused(|_, parts| _ = parts.pcrs.pop()),
        Check::PcrSelection
    );
    // The same PCRs of a bank that nobody extends.
    let check = refused(|_, parts| {
        for value in &mut parts.pcrs {
            value.bank = 0x0004;
            value.value.truncate(20);
        }
    });
    assert_eq!(check, Check::PcrSelection);
}

#[test]
fn the_signed_digest_is_that_of_the_values() {
    assert_eq!(
        refused(|_, parts| parts.pcrs[3].value[0] ^= 1),
        Check::PcrDigest
    );
    let check = refused(|_, parts| {
        let (one, two) = (parts.pcrs[0].value.clone(), parts.pcrs[1].value.clone());
        parts.pcrs[0].value = two;
        parts.pcrs[1].value = one;
    });
    assert_eq!(check, Check::PcrDigest);
    let check = refused(|_, parts| *parts.quote.body.last_mut().unwrap() ^= 1);
    assert_eq!(check, Check::PcrDigest);
}

/// The TPM's PCRs with one of them changed.
fn drifted(scene: &Scene, changed: u8) -> PcrValues {
    let mut values = PcrValues::new();
    for (index, value) in scene.tpm.pcrs.iter() {
        let value = if index.get() == changed {
            digest(99)
        } else {
            value.clone()
        };
        assert!(values.insert(index, value));
    }
    values
}

#[test]
fn a_changed_blocking_pcr_is_refused_and_another_noted() {
    let check = refused(|scene, _| scene.host.reference = ReferencePcrs(drifted(scene, 7)));
    assert_eq!(check, Check::PcrReference);

    let mut scene = Scene::new();
    scene.host.reference = ReferencePcrs(drifted(&scene, 9));
    let note = noted(&scene, scene.parts(), Check::PcrReference);
    assert!(note.contains("pcr 9"), "{note}");
}

#[test]
fn what_has_no_reference_is_learned() {
    let scene = Scene::fresh();
    let (_, result) = scene.verify(&scene.sign(scene.parts()));
    assert_eq!(result.unwrap().learned, scene.tpm.pcrs);
    let note = noted(&scene, scene.parts(), Check::PcrReference);
    assert_eq!(note, "learned as reference: sha256:0,2,4,7,9,11");
}
