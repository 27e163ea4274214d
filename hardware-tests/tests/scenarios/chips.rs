//! Promise 1 on every kind of TPM that we name: its EK's template, its PCR banks, the time that it takes.

use std::sync::Arc;
use std::time::Duration;

use holdfast_hardware_tests::harness::{
    Banks, CountingProxy, DelayProfile, EkKind, Exchange, Swtpm,
};
use holdfast_hardware_tests::world::World;
use holdfast_proof::hash::sha256;
use holdfast_tpm::{ApproverSlot, Pin, RecoveryCode};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::support::{Chip, pcrs};

use super::ek_trust::{by_vendor_with, enroll_by_authority, hosts};

/// Each EK with a vendor's certificate for it, and the PCR banks of its TPM.
const KINDS: [(EkKind, &str, Banks); 5] = [
    (EkKind::Rsa2048, "rsa2048", Banks::Sha384),
    (EkKind::P256, "ecc-p256", Banks::All),
    (EkKind::Rsa3072, "rsa3072", Banks::Sha256AndSha384),
    (EkKind::P384, "ecc-p384", Banks::Sha1AndSha256),
    (EkKind::P384, "ecc-p384", Banks::Sha384),
];

#[test]
fn a_host_with_any_kind_of_ek_and_bank_joins_attests_and_keeps_secrets() {
    for (kind, name, banks) in KINDS {
        let lines = format!("ek = \"{name}\"");
        let mut world = World::start_on(
            |vendor| Swtpm::made(kind, banks, vendor),
            &lines,
            |scratch, _, vendor| by_vendor_with(scratch, vendor, ""),
        );
        world.proxy.reset();
        enroll_by_authority(&world).success();
        println!(
            "{kind:?}, {banks:?}: {} commands to enroll and attest",
            world.proxy.total()
        );
        assert_eq!(hosts(&world)[0]["ek_trust"], "certificate", "{kind:?}");
        world.proxy.reset();
        world.broker.holdfast(&["status", "--renew"]).success();
        let (commands, counts) = (to_attest(&world), world.proxy.counts());
        println!("{kind:?}, {banks:?}: {commands} commands to attest: {counts:?}");
        assert!(commands <= 16, "{counts:?}");

        // Its vault is bound to the bank that there is, and comes back after a boot.
        world
            .broker
            .holdfast(&["secrets", "init", "--headless"])
            .success();
        keep(&world, "first");
        world.broker.stop();
        world.tpm.restart();
        world.broker.resume(&world.scratch);
        keep(&world, "second");
        let listed = world.broker.holdfast(&["secrets", "list"]).success();
        assert!(
            listed.contains("first") && listed.contains("second"),
            "{listed}"
        );
        world.attested();
        world.broker.stop();
    }
}

#[test]
fn a_quote_over_a_bank_that_the_tpm_lacks_is_said_to_be_impossible() {
    let world = World::start_on(
        |vendor| Swtpm::made(EkKind::Rsa2048, Banks::Sha384, vendor),
        "",
        |scratch, _, vendor| {
            let policy = "[policy]\nrequired-pcrs = \"sha256:0,2,4,7,9,11\"\n";
            by_vendor_with(scratch, vendor, policy)
        },
    );
    let refused = enroll_by_authority(&world);
    assert_ne!(refused.code, 0, "{refused:#?}");
    let why = "does not keep every PCR that is asked for";
    assert!(refused.stderr.contains(why), "{refused:#?}");
    assert!(refused.stderr.contains("next: "), "{refused:#?}");
}

/// The commands of the one attestation that passed. It signs once, its request; every other signature is a TLS handshake's,
/// of the stream of orders or the mirror, which may fall into the same time: load, sign, flush.
fn to_attest(world: &World) -> u64 {
    let handshakes = world.proxy.count("Sign").saturating_sub(1);
    world.proxy.total() - 3 * handshakes
}

/// Chips that take some 70 ms for a signature, and the slowest with published figures.
const SLOW: [DelayProfile; 3] = [
    DelayProfile::Slb9670,
    DelayProfile::Slb9673,
    DelayProfile::Npct650,
];

#[test]
fn a_slow_chip_attests_in_16_commands_and_2_seconds() {
    let world = World::enrolled();
    for chip in SLOW {
        world.proxy.set_delay(chip);
        world.proxy.reset();
        world.broker.holdfast(&["status", "--renew"]).success();
        // What the chip takes, not what this machine took beside it.
        let (commands, time) = (to_attest(&world), world.proxy.time());
        println!("{chip:?}: {commands} commands, {time:?} with handshakes");
        assert!(commands <= 16, "{:?}", world.proxy.counts());
        assert!(time.as_millis() <= 2_000, "{chip:?}: {time:?}");
    }
}

#[tokio::test]
async fn on_a_slow_chip_an_approval_overtakes_the_renewals_before_it() {
    const RENEWALS: usize = 6;
    let tpm = Swtpm::bare();
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);
    let chip = Chip::open(proxy.ports().command(), None).await;
    let pin = || Pin::new(Zeroizing::new("0815".to_owned())).unwrap();
    let (slot, recovery) = (
        ApproverSlot::new(0).unwrap(),
        RecoveryCode::generate().unwrap(),
    );
    let approver = chip.tpm.enroll_approver(slot, pin(), recovery);
    let approver = approver.await.unwrap();
    let key = Arc::new(chip.tpm.create_node_key().await.unwrap());

    proxy.set_delay(DelayProfile::SlowChip70ms);
    proxy.record();
    let mut renewals = JoinSet::new();
    for _ in 0..RENEWALS {
        let (tpm, key) = (chip.tpm.clone(), Arc::clone(&key));
        renewals.spawn(async move { tpm.evidence(&key, pcrs(&[7]), sha256(b"x")).await });
    }
    // The first is under way; the others wait in the queue.
    while proxy.count("Quote") == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let approved = chip.tpm.approve(&approver, pin(), sha256(b"call"));
    approved.await.unwrap();
    let before = proxy.count("Quote");
    for renewed in renewals.join_all().await {
        renewed.unwrap();
    }
    assert_eq!(proxy.count("Quote"), RENEWALS as u64);
    // It waited for what had begun, and for nothing else.
    let order: Vec<_> = proxy.trace().iter().map(Exchange::name).collect();
    let signed = order.iter().position(|name| *name == "Sign").unwrap();
    let quotes = order[..signed]
        .iter()
        .filter(|name| **name == "Quote")
        .count();
    assert!(quotes <= 2 && before <= 2, "{order:?}");
    drop(key);
    chip.nothing_is_left().await;
}

fn keep(world: &World, name: &str) {
    let value = world.scratch.private("value", "glpat-Zq7Wn3Vx9Ld2Rk5Tb8Yc");
    let git = ["--git", "https://git.example/org", "--username", "agent"];
    let add = [
        &["secrets", "add", name],
        &git[..],
        &["--value-file", &value],
    ]
    .concat();
    world.broker.holdfast(&add).success();
}
