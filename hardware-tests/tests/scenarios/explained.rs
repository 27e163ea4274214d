//! Promise 1, from the firmware to the running system: what systemd measured goes on from the firmware's log to the quote, is
//! told in words, and never stands for anything else.
//!
//! The TPM is extended and the log written as systemd does; the attestor, and once the broker, are the real ones.

#[allow(dead_code, reason = "what only the tests of `proof` make")]
#[path = "../../../proof/src/systemd_log/tests/builder.rs"]
mod builder;

use std::fs;
use std::path::PathBuf;

use builder::Log;
use holdfast_hardware_tests::harness::{Scratch, Swtpm};
use holdfast_hardware_tests::world::{Attestor, Broker, Ran};
use holdfast_protocol::wire::attestor::NodeSvid;
use serde_json::Value;
use tonic::Status;

use super::reference::{SECURE, refused};
use crate::support::{Draft, Prover, measure};

/// Extends a TPM as systemd did.
fn extend(tpm: &Swtpm, extensions: &[(u8, [u8; 32])]) {
    for (pcr, digest) in extensions {
        let digest = data_encoding::HEXLOWER.encode(digest);
        tpm.tools()
            .run("pcrextend", [format!("{pcr}:sha256={digest}")]);
    }
}

/// A host whose firmware and systemd measure. Dropped in the order of the fields.
struct Trial {
    prover: Option<Prover>,
    attestor: Attestor,
    tpm: Swtpm,
    _scratch: Scratch,
}

impl Trial {
    async fn booted(log: &Log) -> Self {
        let scratch = Scratch::new();
        let tpm = Swtpm::bare();
        measure(&tpm, SECURE);
        extend(&tpm, &log.extensions);
        let policy = "[policy]\nrequired-pcrs = \"sha256:0,2,4,7,9,11,15\"\nblock = [7, 15]\nunexplained = \"ask\"\n";
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

    /// Something happens to the TPM that nobody may hold meanwhile.
    async fn after(&mut self, happens: impl FnOnce(&mut Swtpm)) {
        let prover = self.prover.take().unwrap();
        self.prover = Some(prover.after(&mut self.tpm, happens).await);
    }

    /// The machine starts again.
    async fn reboot(&mut self, log: &Log) {
        self.after(|tpm| {
            tpm.restart();
            measure(tpm, SECURE);
            extend(tpm, &log.extensions);
        })
        .await;
    }

    async fn attest(&self, systemd_log: &[u8]) -> Result<NodeSvid, Status> {
        let mut visit = self.prover().visit().await.unwrap();
        let draft = Draft {
            event_log: SECURE.to_vec(),
            systemd_log: systemd_log.to_vec(),
            ..visit.draft.clone()
        };
        let evidence = self.prover().evidence(&draft).await;
        visit.show(evidence).await
    }

    fn reference(&self, command: &str, more: &[&str]) -> String {
        let words = ["host", "reference", command, &self.prover().host];
        self.attestor.run(&[&words, more].concat())
    }

    fn approve(&self) {
        let diff: Value = serde_json::from_str(&self.reference("diff", &["--json"])).unwrap();
        self.reference("approve", &[diff["proposal"].as_str().unwrap()]);
    }
}

/// A log with records in other places.
fn records(log: &Log, change: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    let text = String::from_utf8(log.bytes.clone()).unwrap();
    let mut records = text.split_inclusive('\n').map(str::to_owned).collect();
    change(&mut records);
    records.concat().into_bytes()
}

#[tokio::test]
async fn what_systemd_measured_is_shown_and_nothing_else_stands_for_it() {
    let log = Log::booted();
    let mut trial = Trial::booted(&log).await;
    trial.attest(&log.bytes).await.unwrap();
    let kept = trial.reference("show", &[]);
    for event in [
        "event of pcr 9  NvPCR `hardware:",
        "event of pcr 11 phase `ready`",
        "event of pcr 15 machine id `4691595b",
        // What it says is not what was measured: that is a key.
        "event of pcr 15 volume key `root:5e47a9db`*",
    ] {
        assert!(kept.contains(event), "{event}: {kept}");
    }

    // Hidden, made up, in another order, of another boot.
    let other = Log::new().measured(15, "machine-id", "machine-id:another");
    for spoiled in [
        records(&log, |records| _ = records.remove(3)),
        records(&log, |records| records.insert(1, records[0].clone())),
        records(&log, |records| records.swap(5, 6)),
        records(&log, |records| records.truncate(8)),
        other.bytes,
    ] {
        refused(trial.attest(&spoiled).await, "systemd-log");
    }
    let shown = trial.attestor.run(&["host", "show", &trial.prover().host]);
    assert!(shown.contains("systemd-log: no prefix"), "{shown}");

    // The system goes on, and so does its log; another record follows the quote.
    let later = log.measured(11, "phase", "shutdown");
    trial.after(|tpm| extend(tpm, &later.extensions[9..])).await;
    let beyond = later.clone().measured(11, "phase", "final");
    trial.attest(&beyond.bytes).await.unwrap();
    // Where policy asks, a change that no log explains is none to be recorded.
    refused(trial.attest(b"").await, "pcr-reference");
}

#[tokio::test]
async fn another_system_on_the_same_machine_is_told_in_words() {
    let mut trial = Trial::booted(&Log::booted()).await;
    trial.attest(&Log::booted().bytes).await.unwrap();
    let other = Log::new()
        .measured(11, "phase", "enter-initrd")
        .keyed(15, "volume-key", "cryptsetup:root:5e47a9db", 43)
        .measured(11, "phase", "leave-initrd")
        .measured(
            15,
            "machine-id",
            "machine-id:00000000000000000000000000000000",
        );
    trial.reboot(&other).await;
    refused(trial.attest(&other.bytes).await, "pcr-reference");
    let told = trial.reference("diff", &[]);
    for words in [
        "removed: phase `ready`",
        "volume key `root:5e47a9db`* digest",
        "machine id `4691595be6a345f1833cc75fab63e475`",
        "machine id `00000000000000000000000000000000`",
        "removed: NvPCR `hardware:",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    trial.approve();
    trial.attest(&other.bytes).await.unwrap();

    // A systemd that separates the firmware's PCRs from its own.
    let separated = [0, 2, 4, 7, 9].into_iter().fold(Log::new(), |log, pcr| {
        log.measured(pcr, "os-separator", "os-separator")
    });
    trial.reboot(&separated).await;
    refused(trial.attest(b"").await, "event-log");
    refused(trial.attest(&separated.bytes).await, "pcr-reference");
    let told = trial.reference("diff", &[]);
    let words = "PCR 7: ";
    let seven = told.split(words).nth(1).unwrap();
    assert!(
        seven.contains("added: separator before the system"),
        "{told}"
    );
    trial.approve();
    trial.attest(&separated.bytes).await.unwrap();
}

/// A host with the real broker.
struct Host {
    broker: Broker,
    attestor: Attestor,
    tpm: Swtpm,
    log: PathBuf,
    scratch: Scratch,
}

impl Host {
    fn booted(log: &Log) -> Self {
        let scratch = Scratch::new();
        let policy = "[policy]\nrequired-pcrs = \"sha256:7,11,15\"\nsystemd-log = \"require\"\n";
        let attestor = Attestor::start_with(&scratch, policy);
        let tpm = Swtpm::bare();
        extend(&tpm, &log.extensions);
        let path = scratch.write("tpm2-measure.log", &log.bytes);
        let more = format!(
            "systemd-log = \"{}\"\n[launcher]\nsocket = \"{}\"\n",
            path.display(),
            scratch.join("no-launcher").display()
        );
        let device = format!("swtpm:{}", tpm.ports().command());
        let broker = Broker::start_with(&scratch, &device, &more);
        let token = scratch.write("token", attestor.token());
        let token = token.to_str().unwrap();
        broker
            .holdfast(&["enroll", &attestor.url(), "--token-file", token])
            .success();
        Self {
            broker,
            attestor,
            tpm,
            log: path,
            scratch,
        }
    }

    /// The system goes on: its TPM is extended by this, and its log is that.
    fn goes_on(&mut self, extensions: &[(u8, [u8; 32])], log: &[u8]) -> Ran {
        // A software TPM has one client at a time.
        self.broker.stop();
        extend(&self.tpm, extensions);
        fs::write(&self.log, log).unwrap();
        self.broker.resume(&self.scratch);
        self.broker.holdfast(&["status", "--renew"])
    }
}

#[test]
fn a_broker_sends_systemds_log_as_it_stands_and_a_hidden_record_is_missed() {
    let log = Log::booted();
    let mut host = Host::booted(&log);
    let tail = host.broker.holdfast(&["audit", "tail", "-n", "200"]);
    let tail = tail.success();
    assert!(tail.contains("systemd's log is read from"), "{tail}");

    let later = log.measured(15, "filesystem", "file-system:/var:ext4:::::");
    let extensions = &later.extensions[9..].to_vec();
    host.goes_on(extensions, &later.bytes).success();
    let hosts = host.attestor.run(&["host", "list", "--json"]);
    let hosts: Value = serde_json::from_str(&hosts).unwrap();
    let id = hosts[0]["id"].as_str().unwrap().to_owned();

    // Something more is measured, and hidden.
    let hidden = later.clone().keyed(15, "volume-key", "cryptsetup:usb:1", 9);
    let ran = host.goes_on(&hidden.extensions[10..], &later.bytes);
    assert_ne!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("systemd-log"), "{ran:#?}");
    let shown = host.attestor.run(&["host", "show", &id]);
    assert!(shown.contains("the quoted pcr 15"), "{shown}");
    host.goes_on(&[], &hidden.bytes).success();
    // A log that is gone, where one is required.
    let ran = host.goes_on(&[], b"");
    assert!(ran.stderr.contains("systemd-log"), "{ran:#?}");
}
