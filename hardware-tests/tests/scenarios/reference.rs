//! Promise 1, over time: software changes, and an operator who sees in words what changed decides. Real TPMs, logs that
//! real firmware wrote, the real attestor; and once the real broker.

use holdfast_hardware_tests::harness::{Banks, Scratch, Swtpm};
use holdfast_hardware_tests::world::{Attestor, Broker};
use holdfast_proof::tpm::HashAlg;
use holdfast_protocol::wire::attestor::{Evidence, NodeSvid};
use serde_json::Value;
use tonic::Status;

use crate::support::{Draft, Prover, measure};

/// What the firmware of a virtual machine wrote with Secure Boot on, and off.
pub(super) const SECURE: &[u8] =
    include_bytes!("../../../proof/testdata/event_log/ovmf-secure-boot.bin");
const INSECURE: &[u8] = include_bytes!("../../../proof/testdata/event_log/ovmf.bin");

/// A host whose TPM has measured a log. Dropped in the order of the fields.
struct Trial {
    prover: Option<Prover>,
    attestor: Attestor,
    tpm: Swtpm,
    _scratch: Scratch,
}

impl Trial {
    async fn new(policy: &str) -> Self {
        let scratch = Scratch::new();
        let tpm = Swtpm::keeping(Banks::Sha256AndSha384);
        measure(&tpm, SECURE);
        let attestor = Attestor::start_with(&scratch, policy);
        let prover = Some(Prover::enrolled(&tpm, &attestor).await);
        Self {
            prover,
            attestor,
            tpm,
            _scratch: scratch,
        }
    }

    fn prover(&self) -> &Prover {
        self.prover.as_ref().unwrap()
    }

    /// The machine starts again and measures another log.
    async fn reboot(&mut self, log: &[u8]) {
        let prover = self.prover.take().unwrap();
        let started = |tpm: &mut Swtpm| {
            tpm.restart();
            measure(tpm, log);
        };
        self.prover = Some(prover.after(&mut self.tpm, started).await);
    }

    async fn attest(&self, log: &[u8]) -> Result<NodeSvid, Status> {
        self.spoiled(log, |_| {}).await
    }

    async fn spoiled(
        &self,
        log: &[u8],
        spoil: impl FnOnce(&mut Evidence),
    ) -> Result<NodeSvid, Status> {
        let mut visit = self.prover().visit().await.unwrap();
        let draft = Draft {
            event_log: log.to_vec(),
            ..visit.draft.clone()
        };
        let mut evidence = self.prover().evidence(&draft).await;
        spoil(&mut evidence);
        visit.show(evidence).await
    }

    fn reference(&self, command: &str, more: &[&str]) -> String {
        let words = ["host", "reference", command, &self.prover().host];
        self.attestor.run(&[&words, more].concat())
    }

    fn json(&self, command: &str) -> Value {
        serde_json::from_str(&self.reference(command, &["--json"])).unwrap()
    }

    /// The name of the boot that waits.
    fn proposal(&self) -> String {
        self.json("diff")["proposal"].as_str().unwrap().to_owned()
    }
}

pub(super) fn refused(answer: Result<NodeSvid, Status>, reason: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.message(), format!("evidence refused: {reason}"));
}

#[tokio::test]
async fn a_changed_boot_is_told_in_words_approved_and_taken_back() {
    let mut trial = Trial::new("").await;
    trial.attest(SECURE).await.unwrap();
    assert!(
        trial
            .reference("diff", &[])
            .contains("no boot that waits for approval")
    );

    // Somebody turned Secure Boot off.
    trial.reboot(INSECURE).await;
    refused(trial.attest(INSECURE).await, "pcr-reference");
    let shown = trial.attestor.run(&["host", "show", &trial.prover().host]);
    assert!(shown.contains("host reference diff"), "{shown}");
    let told = trial.reference("diff", &[]);
    assert!(told.contains("PCR 7: "), "{told}");
    assert!(told.contains("`SecureBoot` 1 → 0"), "{told}");
    assert!(told.contains("host reference approve"), "{told}");
    let diff = trial.json("diff");
    let pcrs = diff["pcrs"].as_array().unwrap();
    let seven = pcrs.iter().find(|pcr| pcr["pcr"] == 7).unwrap();
    assert_eq!(seven["explained"], "whole", "{diff}");

    // Nothing else than what was seen is approved, and approval is what lets the host in.
    let proposal = trial.proposal();
    trial.reference("approve", &[&proposal]);
    trial.attest(INSECURE).await.unwrap();

    // The operator takes it back: this boot is refused again, and the one before is not.
    trial.reference("rollback", &[]);
    refused(trial.attest(INSECURE).await, "pcr-reference");
    trial.reboot(SECURE).await;
    trial.attest(SECURE).await.unwrap();
}

#[tokio::test]
async fn nothing_waits_for_approval_but_what_a_quote_proves_and_one_of_it() {
    let mut trial = Trial::new("").await;
    trial.attest(SECURE).await.unwrap();
    // A value, a log or a signature that is not the TPM's: refused, and nothing waits.
    for spoil in [
        |evidence: &mut Evidence| evidence.pcrs[3].value[0] ^= 1,
        |evidence: &mut Evidence| evidence.event_log.truncate(100),
        |evidence: &mut Evidence| evidence.quote.as_mut().unwrap().signature[20] ^= 1,
    ] {
        trial.spoiled(SECURE, spoil).await.unwrap_err();
        assert_eq!(trial.json("diff")["proposal"], Value::Null);
    }
    // A log that was never measured: it explains nothing, and is refused before.
    refused(trial.attest(INSECURE).await, "event-log");
    assert_eq!(trial.json("diff")["proposal"], Value::Null);

    // A host that changes again and again has its newest boot proposed, and no other.
    trial.reboot(INSECURE).await;
    refused(trial.attest(INSECURE).await, "pcr-reference");
    let first = trial.proposal();
    refused(trial.attest(INSECURE).await, "pcr-reference");
    assert_eq!(
        trial.proposal(),
        first,
        "the same boot is the same proposal"
    );
    let measured = HashAlg::Sha256.digest(b"something beside the log");
    let tpm = trial.prover().chip.tpm.tpm();
    tpm.extend_pcr(crate::support::pcr(9), [measured])
        .await
        .unwrap();
    refused(trial.attest(INSECURE).await, "pcr-reference");
    assert_ne!(trial.proposal(), first);
    let told = trial.reference("diff", &[]);
    assert!(
        told.contains("these events do not explain all of it"),
        "{told}"
    );

    // What the operator rejects does not come back.
    let unwanted = trial.proposal();
    trial.reference("reject", &[&unwanted]);
    refused(trial.attest(INSECURE).await, "pcr-reference");
    assert_eq!(trial.json("diff")["proposal"], Value::Null);
}

#[tokio::test]
async fn a_first_boot_waits_for_approval_where_policy_says_so() {
    let trial = Trial::new("[policy]\nlearn = \"propose\"\n").await;
    refused(trial.attest(SECURE).await, "reference-approval");
    let told = trial.reference("diff", &[]);
    assert!(told.contains("PCR 7: nothing → "), "{told}");
    let proposal = trial.proposal();
    trial.reference("approve", &[&proposal]);
    trial.attest(SECURE).await.unwrap();
}

#[tokio::test]
async fn an_update_that_was_accepted_ahead_needs_nobody() {
    let mut trial = Trial::new("[policy]\nblock = [0, 2, 4, 7]\n").await;
    trial.attest(SECURE).await.unwrap();
    // The values that the machine will have, by the replay of the log that its next firmware writes.
    let next = holdfast_proof::event_log::replay(INSECURE).unwrap().values;
    let values: Vec<String> = [0, 2, 4, 7]
        .into_iter()
        .map(|index| {
            let value = next.value(HashAlg::Sha256, crate::support::pcr(index));
            let value = data_encoding::HEXLOWER.encode(value.unwrap().as_bytes());
            format!("{index}={value}")
        })
        .collect();
    trial.reference("accept", &["--pcr", &values.join(",")]);
    // As long as it is not there the host is held to what it was.
    trial.attest(SECURE).await.unwrap();
    trial.reboot(INSECURE).await;
    trial.attest(INSECURE).await.unwrap();
    // It is the reference now, and the old one is none any more.
    trial.attest(INSECURE).await.unwrap();
    trial.reboot(SECURE).await;
    refused(trial.attest(SECURE).await, "pcr-reference");

    // One event's digest, replayed from the events that are kept.
    let shown = trial.json("show");
    let events = shown["reference"]["events"].as_array().unwrap();
    let event = events.iter().find(|event| event["pcr"] == 4).unwrap();
    let old = event["digest"].as_str().unwrap();
    let replacement = format!("{old}={}", "ab".repeat(32));
    let predicted = trial.reference("predict", &["--replace-event", &replacement, "--json"]);
    let predicted: Value = serde_json::from_str(&predicted).unwrap();
    assert!(
        predicted["values"]
            .as_array()
            .unwrap()
            .iter()
            .any(|value| value["pcr"] == 4),
        "{predicted}"
    );
}

#[test]
fn a_broker_is_let_in_again_once_its_boot_is_approved() {
    let scratch = Scratch::new();
    let attestor = Attestor::start_with(&scratch, "");
    let tpm = Swtpm::keeping(Banks::Sha256);
    let device = format!("swtpm:{}", tpm.ports().command());
    let no_launcher = format!(
        "[launcher]\nsocket = \"{}\"\n",
        scratch.join("no-launcher").display()
    );
    let mut broker = Broker::start_with(&scratch, &device, &no_launcher);
    let token = scratch.write("token", attestor.token());
    let token = token.to_str().unwrap();
    broker
        .holdfast(&["enroll", &attestor.url(), "--token-file", token])
        .success();
    // A software TPM has one client at a time.
    broker.stop();
    let digest = "11".repeat(32);
    tpm.tools().run("pcrextend", [format!("7:sha256={digest}")]);
    broker.resume(&scratch);
    let ran = broker.holdfast(&["status", "--renew"]);
    assert_ne!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("pcr-reference"), "{ran:#?}");

    let hosts: Value = serde_json::from_str(&attestor.run(&["host", "list", "--json"])).unwrap();
    let id = hosts[0]["id"].as_str().unwrap();
    let diff = attestor.run(&["host", "reference", "diff", id, "--json"]);
    let diff: Value = serde_json::from_str(&diff).unwrap();
    assert_eq!(diff["pcrs"][0]["pcr"], 7, "{diff}");
    let proposal = diff["proposal"].as_str().unwrap();
    attestor.run(&["host", "reference", "approve", id, proposal]);
    broker.holdfast(&["status", "--renew"]).success();
}

#[tokio::test]
async fn a_host_is_held_to_what_is_said_of_its_group() {
    let groups = "[group.edge]\npolicy = \"edge\"\n[group.desks]\nblock = [7]\n";
    let mut trial = Trial::new(groups).await;
    let host = trial.prover().host.clone();
    trial.attestor.run(&["host", "group", &host, "edge"]);
    // Its first boot is nobody's to learn.
    refused(trial.attest(SECURE).await, "reference-approval");
    let proposal = trial.proposal();
    trial.reference("approve", &[&proposal]);
    trial.attest(SECURE).await.unwrap();
    // Every PCR blocks, where only PCR 7 does for others.
    let measured = HashAlg::Sha256.digest(b"another program");
    let tpm = trial.prover().chip.tpm.tpm();
    tpm.extend_pcr(crate::support::pcr(11), [measured])
        .await
        .unwrap();
    refused(trial.attest(SECURE).await, "pcr-reference");
    trial.attestor.run(&["host", "group", &host, "desks"]);
    trial.attest(SECURE).await.unwrap();

    // An update for all of a group.
    let next = holdfast_proof::event_log::replay(INSECURE).unwrap().values;
    let seven = next.value(HashAlg::Sha256, crate::support::pcr(7)).unwrap();
    let seven = data_encoding::HEXLOWER.encode(seven.as_bytes());
    let words = ["host", "reference", "accept", "--group", "desks", "--pcr"];
    trial
        .attestor
        .run(&[words.as_slice(), &[&format!("7={seven}")]].concat());
    trial.reboot(INSECURE).await;
    trial.attest(INSECURE).await.unwrap();
}
