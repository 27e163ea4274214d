//! The unit of cost is the TPM command: each operation keeps the budget of its design, the hot path costs none, and nothing
//! is left in the TPM, whatever happened.

mod sealed;

use std::time::Duration;

use holdfast_hardware_tests::harness::{
    CountingProxy, DelayProfile, EkAuthority, EkKind, Scratch, Swtpm, wait_until,
};
use holdfast_hardware_tests::world::{Attestor, World};
use holdfast_proof::hash::sha256;
use holdfast_proof::tpm::HashAlg;
use holdfast_tpm::{
    ApproverSlot, CounterRole, LeaseKey, LeaseTerms, Pin, Priority, RecoveryCode, TpmError,
};
use zeroize::Zeroizing;

use crate::support::{Chip, Prover, pcr, pcrs};

/// What was counted, line by line, and which lines did not keep their budget.
#[derive(Default)]
struct Table {
    lines: String,
    broken: Vec<String>,
}

impl Table {
    /// Takes what passed this proxy since it was last asked.
    fn line(&mut self, proxy: &CountingProxy, operation: &str, budget: u64) {
        let (total, counts) = (proxy.total(), proxy.counts());
        proxy.reset();
        let commands: Vec<String> = counts
            .iter()
            .map(|(name, count)| match count {
                1 => (*name).to_owned(),
                _ => format!("{count}x{name}"),
            })
            .collect();
        let commands = commands.join(" ");
        self.lines.push_str(&format!(
            "{operation:<36} {total:>3} of {budget:>2}  {commands}\n"
        ));
        // A budget that nothing was spent of was not measured.
        if total > budget || (total == 0) != (budget == 0) {
            self.broken
                .push(format!("{operation}: {total} of {budget}"));
        }
    }
}

#[tokio::test]
async fn every_operation_keeps_its_budget_of_tpm_commands() {
    let mut table = Table::default();
    each_operation(&mut table).await;
    the_broker(&mut table);
    sealed::the_sessions(&mut table);
    // Printed before it is judged: who reads a failure wants all of it.
    println!("TPM commands as sent, of the budget\n{}", table.lines);
    assert!(table.broken.is_empty(), "{:?}", table.broken);
}

/// Each operation by itself.
async fn each_operation(table: &mut Table) {
    let scratch = Scratch::new();
    let attestor = Attestor::start(&scratch);
    // Certified, because reading the certificate is a part of what an enrollment costs.
    let tpm = Swtpm::with_ek(EkKind::Rsa2048, &EkAuthority::new());
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);

    let prover = Prover::enrolled_at(proxy.ports().command(), &attestor).await;
    table.line(&proxy, "enroll, from a cleared TPM on", 40);
    for round in ["first", "again"] {
        prover.attest().await.unwrap();
        // Jobs run one after the other: behind this one the node key has been given back.
        let clock = prover.chip.tpm.tpm().clock();
        clock.await.unwrap();
        table.line(&proxy, &format!("attest, {round} (and read the clock)"), 16);
    }

    let chip = prover.chip;
    let terms = LeaseTerms {
        deadline_ms: u64::MAX,
        pcrs: pcrs(&[0, 2, 4, 7, 9, 11]),
    };
    let key = LeaseKey::new(Zeroizing::new([7; 32]));
    let lease = chip.tpm.make_lease(terms, &key, Priority::Background);
    let lease = lease.await.unwrap();
    table.line(&proxy, "make a lease", 7);
    let opened = chip.tpm.unseal_lease(&lease, Priority::Background);
    opened.await.unwrap();
    table.line(&proxy, "re-unseal a lease", 10);

    let (pin, slot) = (pin("0815"), ApproverSlot::new(0).unwrap());
    let recovery = RecoveryCode::generate().unwrap();
    let approver = chip.tpm.enroll_approver(slot, pin.clone(), recovery);
    let approver = approver.await.unwrap();
    proxy.reset();
    let approved = chip.tpm.approve(&approver, pin, sha256(b"call"));
    approved.await.unwrap();
    table.line(&proxy, "approve a call", 8);

    let body = sha256(b"checkpoint");
    let certified = chip.tpm.certify_counter(CounterRole::Audit, body);
    certified.await.unwrap();
    chip.tpm.increment(CounterRole::Audit).await.unwrap();
    chip.tpm.sign_checkpoint(body).await.unwrap();
    table.line(&proxy, "checkpoint with counter", 8);
    chip.nothing_is_left().await;
}

/// The same by the real programs, which could spend more than their parts do; and what must spend nothing.
fn the_broker(table: &mut Table) {
    let mut world = World::start();
    world.enroll().success();
    // Then it listens and uploads its log: the stream of orders, once for each life of a certificate, and the mirror are
    // operations of their own. TLS has the node key sign once for each: load, sign, flush. What is uploaded has a checkpoint.
    // Enrolling, attesting and checkpoints keep their own budgets, each by itself above and below.
    let listens = || world.attestor.log().contains("a host listens");
    wait_until(Duration::from_secs(20), "the host listens", listens);
    table.line(
        &world.proxy,
        "broker: start, enroll, attest, listen",
        40 + 16 + 8 + 3 + 3,
    );
    world.broker.holdfast(&["status", "--renew"]).success();
    table.line(&world.proxy, "broker: attest", 16);
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    table.line(&world.proxy, "broker: checkpoint with counter", 8);

    world.broker.holdfast(&["status"]).success();
    world.broker.holdfast(&["audit", "tail"]).success();
    table.line(&world.proxy, "broker: status, audit tail", 0);
    // With the attestor gone, all that a renewal leaves is a record.
    let before = records(&world);
    world.attestor.kill();
    assert_eq!(world.broker.holdfast(&["status", "--renew"]).code, 5);
    assert!(records(&world) > before);
    table.line(&world.proxy, "broker: audit append", 0);

    nothing_is_left(world);
}

/// Stops the broker and asks the TPM itself: no transient object, no session.
fn nothing_is_left(mut world: World) {
    world.broker.stop();
    for kind in ["handles-transient", "handles-loaded-session"] {
        assert_eq!(world.tpm.tools().text("getcap", [kind]), "", "{kind}");
    }
}

#[tokio::test]
async fn failures_leave_nothing_in_the_tpm_either() {
    let tpm = Swtpm::bare();
    let chip = Chip::open(tpm.ports().command(), None).await;
    let terms = |for_ms: u64, now: u64| LeaseTerms {
        deadline_ms: now + for_ms,
        pcrs: pcrs(&[7]),
    };
    let key = LeaseKey::new(Zeroizing::new([7; 32]));
    let clock = chip.tpm.tpm().clock().await.unwrap().clock_ms;
    let brief = chip
        .tpm
        .make_lease(terms(500, clock), &key, Priority::Background);
    let brief = brief.await.unwrap();
    let long = chip
        .tpm
        .make_lease(terms(3_600_000, clock), &key, Priority::Background);
    let long = long.await.unwrap();
    let slot = ApproverSlot::new(0).unwrap();
    let recovery = RecoveryCode::generate().unwrap();
    let approver = chip.tpm.enroll_approver(slot, pin("0815"), recovery);
    let approver = approver.await.unwrap();

    // Late, in a changed state, with wrong PINs, for a taken slot, with a challenge for another TPM.
    while !brief.is_over(&chip.tpm.tpm().clock().await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let late = chip.tpm.unseal_lease(&brief, Priority::Background).await;
    assert!(matches!(late, Err(TpmError::PolicyRefused { .. })));
    let measured = HashAlg::Sha256.digest(b"another kernel");
    chip.tpm.tpm().extend_pcr(pcr(7), [measured]).await.unwrap();
    let changed = chip.tpm.unseal_lease(&long, Priority::Background).await;
    assert!(matches!(changed, Err(TpmError::PolicyRefused { .. })));
    for typed in ["0001", "0002", "0003", "0815"] {
        let refused = chip.tpm.approve(&approver, pin(typed), sha256(b"call"));
        assert!(refused.await.is_err(), "{typed}");
    }
    let recovery = RecoveryCode::generate().unwrap();
    let taken = chip.tpm.enroll_approver(slot, pin("4711"), recovery).await;
    assert!(matches!(taken, Err(TpmError::Caller(_))));
    let foreign = chip
        .tpm
        .activate_credential(vec![0; 68], vec![0; 256])
        .await;
    assert!(foreign.is_err());
    // A caller that goes away in the middle.
    let key = chip.tpm.create_node_key().await.unwrap();
    let evidence = chip.tpm.evidence(&key, pcrs(&[7]), sha256(b"x"));
    let _gone = tokio::time::timeout(Duration::ZERO, evidence).await;
    drop(key);
    chip.nothing_is_left().await;
}

/// How many records the broker's log has.
fn records(world: &World) -> u64 {
    let status = world.broker.holdfast(&["status", "--json"]).success();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["audit"]["size"].as_u64().unwrap()
}

fn pin(typed: &str) -> Pin {
    Pin::new(Zeroizing::new(typed.to_owned())).unwrap()
}
