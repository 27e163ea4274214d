//! PCRs and their references: what is noted, what is learned.

use holdfast_proof::tpm::PcrValues;
use holdfast_protocol::evidence::Check;

use super::noted;
use crate::registry::ReferencePcrs;
use crate::software_tpm::{Scene, digest};

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
fn a_change_of_a_pcr_that_does_not_block_is_noted() {
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
