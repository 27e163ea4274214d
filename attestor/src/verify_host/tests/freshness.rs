//! The time: what may change from one attestation to the next.

use holdfast_proof::tpm::Safe;
use holdfast_protocol::evidence::Check;

use super::noted;
use crate::software_tpm::Scene;

/// The same boot count and clock, after a stop that the TPM calls unclean.
fn after_unclean_stop(back_ms: u64) -> Scene {
    let mut scene = Scene::new();
    scene.host.last.clock.reset_count -= 1;
    scene.host.last.clock.clock_ms += back_ms;
    scene.tpm.clock.safe = Safe::No;
    scene
}

#[test]
fn an_unclean_stop_may_set_the_clock_back_a_little() {
    let scene = after_unclean_stop(1 << 22);
    let note = noted(&scene, scene.parts(), Check::Clock);
    assert!(note.contains("4194304 ms back"), "{note}");
}

#[test]
fn a_later_reset_is_accepted() {
    let mut scene = Scene::new();
    scene.tpm.clock.reset_count += 1;
    scene.tpm.clock.restart_count = 0;
    let (_, result) = scene.verify(&scene.sign(scene.parts()));
    assert_eq!(result.unwrap().observed.clock, scene.tpm.clock);
}

#[test]
fn other_firmware_is_noted() {
    let mut scene = Scene::new();
    scene.tpm.firmware += 1;
    let note = noted(&scene, scene.parts(), Check::Firmware);
    assert!(note.contains("was 0x0007000200030004"), "{note}");
}
