//! An edge fleet's update: its canaries first, the rest once they have run it, and nobody new after a failure. Real brokers
//! on TPMs of their own, the real attestor.

use std::time::Duration;

use holdfast_hardware_tests::harness::{Scratch, Swtpm, wait_until};
use holdfast_hardware_tests::world::{Attestor, Broker};
use holdfast_proof::hash::sha256;
use serde_json::Value;

/// How long canaries have to run it here: longer than a broker's attestations after its start are apart.
const HOLD: Duration = Duration::from_secs(15);

/// How long an attestation may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine of the fleet. Dropped in the order of the fields.
struct Machine {
    id: String,
    broker: Broker,
    tpm: Swtpm,
    scratch: Scratch,
}

impl Machine {
    /// Enrolls one, which learns its first boot, and puts it into a group.
    fn join(attestor: &Attestor, group: &str) -> Self {
        let scratch = Scratch::new();
        let tpm = Swtpm::bare();
        let device = format!("swtpm:{}", tpm.ports().command());
        let no_launcher = format!(
            "[launcher]\nsocket = \"{}\"\n",
            scratch.join("no-launcher").display()
        );
        let broker = Broker::start_with(&scratch, &device, &no_launcher);
        let token = scratch.write("token", attestor.token());
        let token = token.to_str().unwrap();
        broker
            .holdfast(&["enroll", &attestor.url(), "--token-file", token])
            .success();
        let hosts = json(&attestor.run(&["host", "list", "--json"]));
        let strangers = hosts.as_array().unwrap().iter();
        let mut strangers = strangers.filter(|host| host["group"].is_null());
        let id = strangers.next().unwrap()["id"].as_str().unwrap().to_owned();
        attestor.run(&["host", "group", &id, group]);
        Self {
            id,
            broker,
            tpm,
            scratch,
        }
    }

    /// It boots into something that measures this into PCR 11.
    fn boot(&mut self, measured: &str) {
        // A software TPM has one client at a time.
        self.broker.stop();
        self.tpm
            .tools()
            .run("pcrextend", [format!("11:sha256={measured}")]);
        self.broker.resume(&self.scratch);
    }

    /// Its broker attests once by itself, when it starts.
    fn is_attested(&self) {
        wait_until(PATIENCE, "the host to be attested", || {
            let status = self.broker.holdfast(&["status", "--json"]);
            status.code == 0 && status.stdout.contains("\"attested\"")
        });
    }

    fn renews(&self) {
        self.broker.holdfast(&["status", "--renew"]).success();
    }

    fn is_refused(&self) {
        let ran = self.broker.holdfast(&["status", "--renew"]);
        assert_ne!(ran.code, 0, "{ran:#?}");
        assert!(ran.stderr.contains("pcr-reference"), "{ran:#?}");
    }
}

/// Two canaries, two hosts of their group, and an update that all of them will get.
struct Fleet {
    machines: [Machine; 4],
    attestor: Attestor,
    _scratch: Scratch,
    rollout: String,
    update: String,
}

impl Fleet {
    fn new(canary_hosts: u32) -> Self {
        let scratch = Scratch::new();
        let attestor = Attestor::start_with(
            &scratch,
            &format!(
                "[group.edge]\npolicy = \"edge\"\ncanary = \"edge-canary\"\ncanary-hold = \"{}s\"\n\
                 canary-hosts = {canary_hosts}\n[group.edge-canary]\npolicy = \"edge\"\n",
                HOLD.as_secs()
            ),
        );
        let machines = ["edge-canary", "edge-canary", "edge", "edge"]
            .map(|group| Machine::join(&attestor, group));
        let measured = sha256(b"the next image");
        let update = data_encoding::HEXLOWER.encode(measured.as_bytes());
        let extended = sha256(&[[0; 32].as_slice(), measured.as_bytes()].concat());
        let value = data_encoding::HEXLOWER.encode(extended.as_bytes());
        let pcr = format!("11={value}");
        let started = attestor.run(&["rollout", "start", "edge", "--pcr", &pcr, "--json"]);
        let rollout = json(&started)["id"].to_string();
        Self {
            machines,
            attestor,
            _scratch: scratch,
            rollout,
            update,
        }
    }

    fn update(&mut self, index: usize) -> &Machine {
        let machine = &mut self.machines[index];
        machine.boot(&self.update);
        machine
    }

    fn ask(&self, command: &str, more: &[&str]) -> String {
        let words = ["rollout", command, &self.rollout];
        self.attestor.run(&[&words, more].concat())
    }

    fn state(&self) -> String {
        let shown = json(&self.ask("show", &["--json"]));
        shown["state"].as_str().unwrap().to_owned()
    }

    fn why(&self, index: usize) -> String {
        self.attestor
            .run(&["host", "show", &self.machines[index].id])
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_edge_fleet_takes_an_update_after_its_canaries_have_run_it() {
    let mut fleet = Fleet::new(2);
    assert_eq!(fleet.state(), "canary");
    // One of the rest is ahead of its turn, and is refused; the other runs what it ran.
    fleet.update(2).is_refused();
    let why = fleet.why(2);
    assert!(why.contains("ahead of its rollout"), "{why}");
    fleet.machines[3].renews();

    fleet.update(0).is_attested();
    assert_eq!(fleet.state(), "canary");
    fleet.update(1).is_attested();
    assert_eq!(fleet.state(), "waiting");
    let told = fleet.ask("show", &[]);
    assert!(
        told.contains("2 of 2 have shown the update, 0 failed"),
        "{told}"
    );
    // The hold alone lets nobody in: the canaries have to show that they still run it.
    std::thread::sleep(HOLD);
    fleet.machines[2].is_refused();
    assert_eq!(fleet.state(), "waiting");
    fleet.machines[0].renews();
    fleet.machines[1].renews();
    assert_eq!(fleet.state(), "general");
    fleet.machines[2].renews();
    fleet.update(3).is_attested();
    assert_eq!(fleet.state(), "done");
    for machine in &fleet.machines {
        machine.renews();
    }
}

#[test]
fn a_canary_that_fails_after_its_update_stops_it_for_all_who_have_it_not() {
    let mut fleet = Fleet::new(1);
    fleet.update(0).is_attested();
    fleet.update(1).is_attested();
    // Then something else runs on the second one than what was updated to.
    fleet.machines[1].boot(&"22".repeat(32));
    fleet.machines[1].is_refused();
    assert_eq!(fleet.state(), "braked");
    let log = fleet.attestor.log();
    assert!(log.contains("a rollout was stopped"), "{log}");
    let why = fleet.why(1);
    assert!(why.contains("was stopped by what this host did"), "{why}");
    let told = fleet.ask("show", &[]);
    assert!(told.contains("failed: refused at"), "{told}");
    // Nobody new may take it, whatever the first one shows; the first one keeps it, and the rest stay where they are.
    std::thread::sleep(HOLD);
    fleet.machines[0].renews();
    assert_eq!(fleet.state(), "braked");
    fleet.machines[3].renews();
    fleet.update(2).is_refused();
    let why = fleet.why(2);
    assert!(why.contains("stopped by failures"), "{why}");

    // The operator has seen to it, and lets it go on without the second.
    fleet.ask("resume", &[]);
    fleet.machines[0].renews();
    assert_eq!(fleet.state(), "general");
    fleet.machines[2].renews();
    // And ends it: the last one may not take it any more.
    fleet.ask("cancel", &[]);
    fleet.machines[3].renews();
    fleet.update(3).is_refused();
    fleet.machines[2].renews();
}
