//! Promise 1, of what runs after the boot: a host shows its kernel's measurement list, and it is the one of its PCR 10.
//!
//! The list is written and PCR 10 extended as a kernel would; the rest are the real programs.

#[allow(dead_code, reason = "what only the tests of `proof` make")]
#[path = "../../../proof/src/ima/tests/builder.rs"]
mod builder;

use std::fs;
use std::path::PathBuf;

use builder::{MeasuredList, sha256};
use holdfast_hardware_tests::harness::{Banks, Scratch, Swtpm};
use holdfast_hardware_tests::world::{Attestor, Broker, Ran};

/// A measured buffer of which twenty fill an attestation.
static LARGE: [u8; 100 << 10] = [7; 100 << 10];

/// A host whose TPM a kernel measures into.
struct Measured {
    broker: Broker,
    attestor: Attestor,
    tpm: Swtpm,
    list: PathBuf,
    scratch: Scratch,
}

impl Measured {
    /// An enrolled host that has measured this.
    fn boot(mode: &str, list: &MeasuredList) -> Self {
        let host = Self::stranger(mode, list);
        host.enroll().success();
        host
    }

    /// A host that has measured this and is not enrolled.
    fn stranger(mode: &str, list: &MeasuredList) -> Self {
        let scratch = Scratch::new();
        let line = |path: &str, content: &[u8]| {
            let digest = data_encoding::HEXLOWER.encode(&sha256(content));
            format!("{digest}  {path}\n")
        };
        let allowed = [
            line("/usr/bin/a", b"a"),
            line("/usr/bin/b", b"b"),
            line("/usr/bin/c", b"c"),
            line("table", &LARGE),
        ];
        let allow = scratch.write("allow", allowed.concat());
        let attestor = Attestor::start_with(
            &scratch,
            &format!(
                "[policy.ima]\nmode = \"{mode}\"\nallow = [\"{}\"]\n",
                allow.display()
            ),
        );
        let tpm = Swtpm::keeping(Banks::Sha256);
        let path = scratch.write("ima-list", &list.bytes);
        extend(&tpm, &list.extensions);
        let more = format!(
            "ima-list = \"{}\"\n[launcher]\nsocket = \"{}\"\n",
            path.display(),
            scratch.join("no-launcher").display()
        );
        let device = format!("swtpm:{}", tpm.ports().command());
        let broker = Broker::start_with(&scratch, &device, &more);
        Self {
            broker,
            attestor,
            tpm,
            list: path,
            scratch,
        }
    }

    fn enroll(&self) -> Ran {
        let token = self.scratch.write("token", self.attestor.token());
        self.broker.holdfast(&[
            "enroll",
            &self.attestor.url(),
            "--token-file",
            token.to_str().unwrap(),
        ])
    }

    /// The host goes on: its PCR 10 is extended by this, and its list is that.
    fn measures(&mut self, extensions: &[[u8; 32]], list: &[u8]) -> Ran {
        // A software TPM has one client at a time.
        self.broker.stop();
        extend(&self.tpm, extensions);
        self.attest_with(list)
    }

    fn attest_with(&mut self, list: &[u8]) -> Ran {
        self.broker.stop();
        fs::write(&self.list, list).unwrap();
        self.broker.resume(&self.scratch);
        self.broker.holdfast(&["status", "--renew"])
    }

    /// What the attestor says of the host.
    fn shown(&self) -> String {
        let hosts = self.attestor.run(&["host", "list", "--json"]);
        let hosts: serde_json::Value = serde_json::from_str(&hosts).unwrap();
        self.attestor
            .run(&["host", "show", hosts[0]["id"].as_str().unwrap()])
    }
}

fn extend(tpm: &Swtpm, extensions: &[[u8; 32]]) {
    for extension in extensions {
        let digest = data_encoding::HEXLOWER.encode(extension);
        tpm.tools()
            .run("pcrextend", [format!("10:sha256={digest}")]);
    }
}

fn refused(ran: &Ran, check: &str) {
    assert_ne!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains(check), "{ran:#?}");
}

#[test]
fn what_ran_is_shown_judged_and_never_hidden() {
    let booted = MeasuredList::new()
        .boot_aggregate([1; 32])
        .file("/usr/bin/a", b"a");
    let mut host = Measured::boot("enforce", &booted);
    assert!(
        host.shown().contains("2 entries verified"),
        "{}",
        host.shown()
    );
    // Where the list came from is on record.
    let log = host
        .broker
        .holdfast(&["audit", "tail", "-n", "200"])
        .success();
    assert!(log.contains("the measurement list is read from"), "{log}");

    // Only the delta is sent, and the verified part is continued. What the list has beyond the quote counts for nothing.
    let later = booted.file("/usr/bin/b", b"b");
    let beyond = later.clone().file("/usr/bin/evil", b"evil");
    host.measures(&later.extensions[2..], &beyond.bytes)
        .success();
    assert!(
        host.shown().contains("3 entries verified"),
        "{}",
        host.shown()
    );

    // Something else ran. Hidden, or put in another's place, it is missed; shown, it is named.
    let hidden = host.measures(&beyond.extensions[3..], &later.bytes);
    refused(&hidden, "ima-replay");
    let disguised = later.clone().file("/usr/bin/c", b"c");
    refused(&host.attest_with(&disguised.bytes), "ima-replay");
    refused(&host.attest_with(&beyond.bytes), "ima-policy");
    assert!(
        host.shown().contains("/usr/bin/evil, sha256:"),
        "{}",
        host.shown()
    );

    // A reboot clears PCR 10 and begins a new list.
    host.broker.stop();
    host.tpm.restart();
    let rebooted = MeasuredList::new().file("/usr/bin/c", b"c");
    refused(&host.attest_with(&later.bytes), "ima-replay");
    host.measures(&rebooted.extensions, &rebooted.bytes)
        .success();
    assert!(
        host.shown().contains("1 entries verified"),
        "{}",
        host.shown()
    );
}

#[test]
fn recording_tells_what_is_not_listed_and_lets_the_host_in() {
    let list = MeasuredList::new()
        .file("/usr/bin/a", b"a")
        .file("/opt/own", b"own");
    let host = Measured::boot("record", &list);
    let shown = host.shown();
    assert!(shown.contains("2 entries verified"), "{shown}");
    assert!(
        shown.contains("ima-policy: entry 1, /opt/own, sha256:"),
        "{shown}"
    );
}

#[test]
fn a_list_longer_than_one_attestation_is_proven_before_the_host_gets_an_identity() {
    let mut list = MeasuredList::new();
    for _ in 0..24 {
        list = list.buffer("table", &LARGE, &LARGE);
    }
    let host = Measured::stranger("enforce", &list.file("/usr/bin/a", b"a"));
    refused(&host.enroll(), "ima-replay");
    let shown = host.shown();
    assert!(
        shown.contains("0 entries verified") && shown.contains("20 sent and not proven yet"),
        "{shown}"
    );
    host.broker.holdfast(&["status", "--renew"]).success();
    assert!(
        host.shown().contains("25 entries verified"),
        "{}",
        host.shown()
    );
}
