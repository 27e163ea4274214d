//! The time: this host, nonce and connection, and nothing that goes back.

use holdfast_proof::tpm::Safe;
use holdfast_protocol::Timestamp;
use holdfast_protocol::evidence::Check;

use super::{check_of, noted, refused};
use crate::registry::{NonceStanding, Standing};
use crate::software_tpm::{Parts, SIGNING, Scene, node_key};

#[test]
fn a_revoked_host_is_refused_whatever_it_shows() {
    let check = refused(|scene, _| {
        scene.host.standing = Standing::Revoked {
            at: Timestamp::from_secs(1),
            why: "lost".to_owned(),
        };
    });
    assert_eq!(check, Check::Registration);
}

#[test]
fn nonces() {
    let used = refused(|scene, _| scene.standing = NonceStanding::Unknown);
    assert_eq!(used, Check::Nonce);
    assert_eq!(refused(|_, parts| parts.nonce.truncate(31)), Check::Nonce);
    assert_eq!(refused(|_, parts| parts.nonce.clear()), Check::Nonce);
    // Another nonce of ours that is still good: it is not the one that was signed.
    assert_eq!(
        refused(|_, parts| parts.nonce = vec![9; 32]),
        Check::Binding
    );
}

#[test]
fn evidence_is_bound_to_nonce_connection_csr_and_log() {
    // A relayed challenge: signed for another connection.
    let check = refused(|scene, _| {
        scene.channel = holdfast_proof::evidence::ChannelBinding::new([8; 32]);
    });
    assert_eq!(check, Check::Binding);
    assert_eq!(refused(|_, parts| parts.event_log.push(0)), Check::Binding);
    assert_eq!(refused(|_, parts| parts.event_log.clear()), Check::Binding);
    // An attacker's CSR beside an honest host's structures.
    let check = refused(|_, parts| parts.csr = node_key(SIGNING).1);
    assert_eq!(check, Check::Binding);
    // Each structure alone from an earlier attestation.
    let each: [fn(&mut Parts) -> &mut Vec<u8>; 3] = [
        |parts| &mut parts.quote.extra_data,
        |parts| &mut parts.node_key_certified.extra_data,
        |parts| &mut parts.audit_counter_certified.extra_data,
    ];
    for pick in each {
        assert_eq!(refused(|_, parts| pick(parts)[0] ^= 1), Check::Binding);
        assert_eq!(refused(|_, parts| pick(parts).clear()), Check::Binding);
    }
}

#[test]
fn clocks_do_not_go_back() {
    let earlier_reset = refused(|scene, _| scene.host.last.clock.reset_count += 1);
    assert_eq!(earlier_reset, Check::Clock);
    let earlier_restart = refused(|scene, _| scene.host.last.clock.restart_count += 1);
    assert_eq!(earlier_restart, Check::Clock);
    let earlier_clock = refused(|scene, _| scene.host.last.clock.clock_ms += 1);
    assert_eq!(earlier_clock, Check::Clock);
    // Structures of different boots.
    let mixed = refused(|_, parts| parts.node_key_certified.clock.reset_count += 1);
    assert_eq!(mixed, Check::Clock);
    // The earliest of the three counts.
    let check = refused(|_, parts| parts.audit_counter_certified.clock.clock_ms -= 1);
    assert_eq!(check, Check::Clock);
    // A later reset does not excuse an earlier clock that the TPM calls safe.
    let check = refused(|scene, _| {
        scene.host.last.clock.reset_count -= 1;
        scene.host.last.clock.clock_ms += 1;
    });
    assert_eq!(check, Check::Clock);
}

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

    let scene = after_unclean_stop((1 << 22) + 1);
    let evidence = scene.sign(scene.parts());
    assert_eq!(check_of(&scene, &evidence), Check::Clock);

    // Unsafe without a reset is no unclean stop.
    let mut scene = after_unclean_stop(1);
    scene.host.last.clock.reset_count += 1;
    let evidence = scene.sign(scene.parts());
    assert_eq!(check_of(&scene, &evidence), Check::Clock);
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
fn firmware() {
    let check = refused(|_, parts| {
        for statement in [
            &mut parts.quote,
            &mut parts.node_key_certified,
            &mut parts.audit_counter_certified,
        ] {
            statement.firmware = 0xdead;
        }
    });
    assert_eq!(check, Check::Firmware);
    assert_eq!(
        refused(|_, parts| parts.quote.firmware += 1),
        Check::Firmware
    );

    let mut scene = Scene::new();
    scene.tpm.firmware += 1;
    let note = noted(&scene, scene.parts(), Check::Firmware);
    assert!(note.contains("was 0x0007000200030004"), "{note}");
}

#[test]
fn audit_counters() {
    let behind = refused(|scene, _| scene.host.last.audit_counter = 6);
    assert_eq!(behind, Check::AuditCounter);
    // Another index, such as one that was deleted and defined anew with other attributes.
    let check = refused(|scene, parts| {
        let mut other = scene.tpm.audit_counter.clone();
        other.attributes = other
            .attributes
            .with(holdfast_proof::tpm::NvAttributes::OWNER_WRITE);
        let extra = parts.audit_counter_certified.extra_data.clone();
        parts.audit_counter_certified = scene.tpm.certify_nv(&other.name(), 5, &extra);
    });
    assert_eq!(check, Check::AuditCounter);
    // A part of the counter.
    let check = refused(|_, parts| {
        let body = &mut parts.audit_counter_certified.body;
        let length = body.len();
        body.truncate(length - 10);
        body.extend([0, 7, 0, 0, 0, 0, 0, 0, 5]);
    });
    assert_eq!(check, Check::AuditCounter);
}
