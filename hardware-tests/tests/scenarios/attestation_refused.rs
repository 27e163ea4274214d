//! Promise 1, from the other side: evidence that a real TPM made, spoiled in one way each, and what the real attestor
//! answers and writes down.

use holdfast_hardware_tests::harness::{Banks, Scratch, Swtpm};
use holdfast_hardware_tests::world::Attestor;
use holdfast_proof::tpm::HashAlg;
use holdfast_protocol::evidence::Check;
use holdfast_protocol::wire::attestor::{Evidence, NodeSvid, PcrValue};
use holdfast_tpm::CounterRole;
use tonic::{Code, Status};

use crate::support::{
    Draft, Prover, active, in_every_bank, measure, pcr, request, request_by, signed,
};

/// One host, enrolled with one attestor. Dropped in the order of the fields.
struct Trial {
    prover: Prover,
    attestor: Attestor,
    tpm: Swtpm,
    scratch: Scratch,
}

impl Trial {
    async fn new() -> Self {
        Self::under("[enrollment]\naccept-simulated = true\n").await
    }

    async fn under(tables: &str) -> Self {
        Self::with(Swtpm::bare(), tables).await
    }

    async fn with(tpm: Swtpm, tables: &str) -> Self {
        let scratch = Scratch::new();
        let attestor = Attestor::start_as(&scratch, tables);
        let prover = Prover::enrolled(&tpm, &attestor).await;
        Self {
            prover,
            attestor,
            tpm,
            scratch,
        }
    }

    /// A second host at the same attestor.
    async fn neighbor(&self) -> (Prover, Swtpm) {
        let tpm = Swtpm::bare();
        (Prover::enrolled(&tpm, &self.attestor).await, tpm)
    }

    /// Evidence that `spoil` changed after it was made is refused by `check`.
    async fn spoiled(&self, check: Check, spoil: impl FnOnce(&mut Evidence)) {
        let mut visit = self.prover.visit().await.unwrap();
        let mut evidence = self.prover.evidence(&visit.draft).await;
        spoil(&mut evidence);
        self.refused(check, visit.show(evidence).await).await;
    }

    /// The host was told the reason code and nothing else; the attestor wrote down the check that failed, and what it saw.
    async fn refused(&self, check: Check, answer: Result<NodeSvid, Status>) {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert_eq!(status.message(), format!("evidence refused: {check}"));
        self.recorded(check);
        // It was the lie that was refused, not the host; a changed state of the software is no lie, and stays.
        if check != Check::PcrReference {
            self.prover.attest().await.unwrap();
        }
        self.prover.chip.nothing_is_left().await;
    }

    fn recorded(&self, check: Check) {
        let verdict = &self.record()["verdicts"][0];
        assert_eq!(verdict["outcome"], "refused");
        let checks = verdict["judged"]["appraisal"]["checks"].as_array().unwrap();
        let last = checks.last().unwrap();
        assert_eq!(last["finding"], "refused", "{verdict}");
        assert_eq!(last["check"], serde_json::json!(check), "{verdict}");
        assert!(!last["detail"].as_str().unwrap().is_empty());
        let reason = format!("reason={check}");
        assert!(self.attestor.log().contains(&reason), "the operator's log");
    }

    fn record(&self) -> serde_json::Value {
        let shown = ["host", "show", &self.prover.host, "--json"];
        serde_json::from_str(&self.attestor.run(&shown)).unwrap()
    }
}

#[tokio::test]
async fn a_nonce_is_good_once() {
    let trial = Trial::new().await;
    let mut visit = trial.prover.visit().await.unwrap();
    let evidence = trial.prover.evidence(&visit.draft).await;
    visit.show(evidence.clone()).await.unwrap();
    trial
        .refused(Check::Nonce, visit.show(evidence).await)
        .await;
}

#[tokio::test]
async fn a_nonce_is_good_for_its_host_alone() {
    let trial = Trial::new().await;
    let (neighbor, _tpm) = trial.neighbor().await;
    let theirs = neighbor.visit().await.unwrap().draft.nonce;
    let mut visit = trial.prover.visit().await.unwrap();
    let draft = Draft {
        nonce: theirs,
        ..visit.draft.clone()
    };
    let evidence = trial.prover.evidence(&draft).await;
    trial
        .refused(Check::Nonce, visit.show(evidence).await)
        .await;
}

#[tokio::test]
async fn another_tpm_does_not_speak_for_a_host() {
    let trial = Trial::new().await;
    // Enrolled itself, so that everything about its key is right but whose it is.
    let (neighbor, _tpm) = trial.neighbor().await;
    let mut visit = trial.prover.visit().await.unwrap();
    let mut evidence = neighbor.evidence(&visit.draft).await;
    evidence.host_id.clone_from(&trial.prover.host);
    trial
        .refused(Check::Signature, visit.show(evidence).await)
        .await;
}

#[tokio::test]
async fn another_boot_policy_is_refused_until_an_operator_accepts_it() {
    let trial = Trial::new().await;
    trial.prover.attest().await.unwrap();
    let measured = in_every_bank(b"another Secure Boot policy");
    let tpm = trial.prover.chip.tpm.tpm();
    tpm.extend_pcr(pcr(7), measured).await.unwrap();
    trial
        .refused(Check::PcrReference, trial.prover.attest().await)
        .await;

    trial
        .attestor
        .run(&["host", "relearn", &trial.prover.host, "--json"]);
    trial.prover.attest().await.unwrap();
}

#[tokio::test]
async fn a_pcr_that_does_not_block_is_noted() {
    let trial = Trial::new().await;
    trial.prover.attest().await.unwrap();
    let measured = in_every_bank(b"another boot loader");
    let tpm = trial.prover.chip.tpm.tpm();
    tpm.extend_pcr(pcr(4), measured).await.unwrap();
    trial.prover.attest().await.unwrap();
    let record = trial.record();
    let checks = &record["verdicts"][0]["judged"]["appraisal"]["checks"];
    let noted = checks
        .as_array()
        .unwrap()
        .iter()
        .any(|checked| checked["check"] == "pcr-reference" && checked["finding"] == "noted");
    assert!(noted, "{record}");
}

#[tokio::test]
async fn a_supplied_pcr_value_that_was_changed_is_found() {
    let trial = Trial::new().await;
    trial
        .spoiled(Check::PcrDigest, |evidence| evidence.pcrs[3].value[0] ^= 1)
        .await;
}

#[tokio::test]
async fn a_pcr_that_the_quote_did_not_sign_counts_for_nothing() {
    let trial = Trial::new().await;
    trial
        .spoiled(Check::PcrSelection, |evidence| {
            evidence.pcrs.push(PcrValue {
                bank: u32::from(HashAlg::Sha256.id()),
                index: 14,
                value: vec![0; 32],
            });
        })
        .await;
}

#[tokio::test]
async fn a_quote_of_fewer_pcrs_than_required_is_refused_whatever_is_supplied() {
    let trial = Trial::new().await;
    let mut visit = trial.prover.visit().await.unwrap();
    let honest = trial.prover.evidence(&visit.draft).await;
    // All but the one that blocks, and then its value beside the quote, where nothing vouches for it.
    let draft = Draft {
        pcrs: active(&[0, 2, 4, 9, 11]),
        ..visit.draft.clone()
    };
    let mut evidence = trial.prover.evidence(&draft).await;
    evidence.pcrs = honest.pcrs;
    trial
        .refused(Check::PcrSelection, visit.show(evidence).await)
        .await;
}

#[tokio::test]
async fn a_request_for_a_key_outside_the_tpm_is_refused() {
    let trial = Trial::new().await;
    let mut visit = trial.prover.visit().await.unwrap();
    let tpm = &trial.prover.chip.tpm;
    let key = tpm.create_node_key().await.unwrap();
    // All of it was made over this request, so that only the key is wrong.
    let csr = request_by(&rcgen::KeyPair::generate().unwrap());
    let evidence = trial
        .prover
        .evidence_for(&visit.draft, &key, &key, csr)
        .await;
    drop(key);
    trial
        .refused(Check::NodeKey, visit.show(evidence).await)
        .await;
}

#[tokio::test]
async fn a_request_swapped_on_the_way_is_refused() {
    let trial = Trial::new().await;
    let csr = request_by(&rcgen::KeyPair::generate().unwrap());
    trial
        .spoiled(Check::Binding, |evidence| evidence.csr = csr)
        .await;
}

#[tokio::test]
async fn another_certified_key_than_the_one_shown_is_refused() {
    let trial = Trial::new().await;
    let mut visit = trial.prover.visit().await.unwrap();
    let tpm = &trial.prover.chip.tpm;
    let shown = tpm.create_node_key().await.unwrap();
    let certified = tpm.create_node_key().await.unwrap();
    let csr = request(&shown);
    let evidence = trial
        .prover
        .evidence_for(&visit.draft, &shown, &certified, csr)
        .await;
    drop((shown, certified));
    trial
        .refused(Check::NodeKey, visit.show(evidence).await)
        .await;
}

#[tokio::test]
async fn evidence_relayed_over_another_connection_is_refused() {
    let trial = Trial::new().await;
    let victim = trial.prover.visit().await.unwrap();
    let evidence = trial.prover.evidence(&victim.draft).await;
    // Somebody in the middle: the nonce is fresh and of this host, only the connection is their own.
    let mut relay = trial.prover.visit().await.unwrap();
    assert_ne!(relay.draft.binding, victim.draft.binding);
    trial
        .refused(Check::Binding, relay.show(evidence).await)
        .await;
}

#[tokio::test]
async fn an_event_log_changed_on_the_way_is_refused() {
    let trial = Trial::new().await;
    let mut visit = trial.prover.visit().await.unwrap();
    let draft = Draft {
        event_log: b"what the firmware wrote".to_vec(),
        ..visit.draft.clone()
    };
    let mut evidence = trial.prover.evidence(&draft).await;
    evidence.event_log[0] ^= 1;
    trial
        .refused(Check::Binding, visit.show(evidence).await)
        .await;
}

/// What the firmware of a virtual machine with Secure Boot wrote.
const FIRMWARE: &[u8] = include_bytes!("../../../proof/testdata/event_log/ovmf-secure-boot.bin");

#[tokio::test]
async fn an_event_log_counts_only_as_far_as_the_quote_vouches_for_it() {
    // A TPM that has measured what that machine's has.
    let tpm = Swtpm::keeping(Banks::Sha256AndSha384);
    measure(&tpm, FIRMWARE);
    let tables = "[enrollment]\naccept-simulated = true\n[policy]\nsecure-boot = \"require\"\n";
    let trial = Trial::with(tpm, tables).await;
    let show = async |event_log: &[u8]| {
        let mut visit = trial.prover.visit().await.unwrap();
        let draft = Draft {
            event_log: event_log.to_vec(),
            ..visit.draft.clone()
        };
        let evidence = trial.prover.evidence(&draft).await;
        visit.show(evidence).await
    };
    show(FIRMWARE).await.unwrap();
    let checks = &trial.record()["verdicts"][0]["judged"]["appraisal"]["checks"];
    let said = |check: Check| {
        let checks = checks.as_array().unwrap();
        let found = checks
            .iter()
            .find(|checked| checked["check"] == serde_json::json!(check));
        found.unwrap()["detail"].as_str().unwrap().to_owned()
    };
    assert!(said(Check::EventLog).contains("give the quoted pcrs 0,2,4,7"));
    assert_eq!(said(Check::SecureBoot), "secure boot was on");

    // Bound to the quote as it must be, and yet not what was measured; then none at all.
    let measured = HashAlg::Sha256.digest(&[0; 4]);
    let separator = FIRMWARE
        .windows(32)
        .position(|window| window == measured.as_bytes())
        .unwrap();
    let mut forged = FIRMWARE.to_vec();
    forged[separator] ^= 1;
    let refused = |check: Check, answer: Result<NodeSvid, Status>| {
        let status = answer.unwrap_err();
        assert_eq!(status.message(), format!("evidence refused: {check}"));
        trial.recorded(check);
    };
    refused(Check::EventLog, show(&forged).await);
    refused(Check::EventLog, show(&FIRMWARE[..FIRMWARE.len() - 1]).await);
    refused(Check::SecureBoot, show(&[]).await);
}

#[tokio::test]
async fn an_older_quote_does_not_stand_in_for_a_fresh_one() {
    let trial = Trial::new().await;
    let mut before = trial.prover.visit().await.unwrap();
    let accepted = trial.prover.evidence(&before.draft).await;
    before.show(accepted.clone()).await.unwrap();
    trial
        .spoiled(Check::Binding, |evidence| evidence.quote = accepted.quote)
        .await;
}

#[tokio::test]
async fn another_counter_does_not_stand_in_for_the_audit_counter() {
    let trial = Trial::new().await;
    let mut visit = trial.prover.visit().await.unwrap();
    let mut evidence = trial.prover.evidence(&visit.draft).await;
    let extra_data = visit.draft.extra_data(&evidence.csr);
    let tpm = &trial.prover.chip.tpm;
    let other = tpm.certify_counter(CounterRole::Epoch, extra_data);
    evidence.audit_counter_certified = Some(signed(&other.await.unwrap()));
    trial
        .refused(Check::AuditCounter, visit.show(evidence).await)
        .await;
}

#[tokio::test]
async fn a_certification_does_not_stand_in_for_a_quote() {
    let trial = Trial::new().await;
    trial
        .spoiled(Check::AttestType, |evidence| {
            evidence.quote.clone_from(&evidence.node_key_certified);
        })
        .await;
}

#[tokio::test]
async fn a_revoked_host_gets_not_even_a_nonce() {
    let trial = Trial::new().await;
    let mut visit = trial.prover.visit().await.unwrap();
    let evidence = trial.prover.evidence(&visit.draft).await;
    let host = &trial.prover.host;
    trial
        .attestor
        .run(&["host", "revoke", host, "--why", "it was stolen"]);
    for refused in [
        visit.show(evidence).await.err(),
        trial.prover.visit().await.err(),
    ] {
        let status = refused.unwrap();
        assert_eq!(status.message(), "evidence refused: registration");
    }
    assert!(trial.attestor.log().contains("reason=registration"));
}

#[tokio::test]
async fn a_host_learns_no_reason_where_the_operator_says_so() {
    let silent = "explain-refusals = false\n[enrollment]\naccept-simulated = true\n";
    let trial = Trial::under(silent).await;
    let mut visit = trial.prover.visit().await.unwrap();
    let mut evidence = trial.prover.evidence(&visit.draft).await;
    evidence.pcrs[0].value[0] ^= 1;
    let status = visit.show(evidence).await.unwrap_err();
    assert_eq!(status.message(), "not accepted");
    trial.recorded(Check::PcrDigest);
}

#[tokio::test]
async fn an_attestor_that_was_killed_forgets_neither_hosts_nor_used_nonces() {
    let mut trial = Trial::new().await;
    let mut visit = trial.prover.visit().await.unwrap();
    let used = trial.prover.evidence(&visit.draft).await;
    visit.show(used.clone()).await.unwrap();
    trial.attestor.kill();
    trial.attestor.resume(&trial.scratch);
    let mut visit = trial.prover.visit().await.unwrap();
    trial.refused(Check::Nonce, visit.show(used).await).await;
}

#[tokio::test]
async fn a_reboot_in_good_order_is_no_reason_to_refuse() {
    let mut trial = Trial::new().await;
    trial.prover.attest().await.unwrap();
    trial.prover = trial.prover.after(&mut trial.tpm, Swtpm::restart).await;
    trial.prover.attest().await.unwrap();
}
