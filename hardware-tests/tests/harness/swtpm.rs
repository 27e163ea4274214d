//! The software TPM: private, certified, reset as silicon is.

use std::path::Path;
use std::process::{Command, Output};

use holdfast_hardware_tests::harness::{EkAuthority, EkKind, Scratch, Swtpm, Tools};

#[derive(Debug, PartialEq, Eq)]
struct Clock {
    resets: u64,
    restarts: u64,
    safe: String,
}

fn clock(tools: &Tools) -> Clock {
    let text = tools.text("readclock", [] as [&str; 0]);
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    Clock {
        resets: value("reset_count").parse().unwrap(),
        restarts: value("restart_count").parse().unwrap(),
        safe: value("safe"),
    }
}

fn openssl(folder: &Path, args: &[&str]) -> Output {
    Command::new("openssl")
        .args(args)
        .current_dir(folder)
        .output()
        .expect("openssl")
}

#[test]
fn restart_is_a_tpm_reset_in_good_order() {
    let mut tpm = Swtpm::bare();
    let before = clock(&tpm.tools());
    tpm.restart();
    let after = clock(&tpm.tools());
    assert_eq!(
        after,
        Clock {
            resets: before.resets + 1,
            restarts: 0,
            safe: "yes".to_owned()
        }
    );
}

#[test]
fn suspend_is_a_tpm_resume_that_keeps_static_pcrs() {
    let mut tpm = Swtpm::bare();
    let before = clock(&tpm.tools());
    tpm.tools()
        .run("pcrextend", [format!("7:sha256={}", "ab".repeat(32))]);
    let pcr = tpm.tools().text("pcrread", ["sha256:7"]);
    tpm.suspend();
    let after = clock(&tpm.tools());
    assert_eq!(
        (after.resets, after.restarts),
        (before.resets, before.restarts + 1)
    );
    assert_eq!(tpm.tools().text("pcrread", ["sha256:7"]), pcr);
    tpm.restart();
    assert_ne!(tpm.tools().text("pcrread", ["sha256:7"]), pcr);
}

#[test]
fn power_cut_resets_whoever_holds_the_tpm() {
    let mut tpm = Swtpm::bare();
    let before = clock(&tpm.tools());
    let _holder = std::net::TcpStream::connect(tpm.ports().command()).unwrap();
    tpm.power_cut();
    assert_eq!(clock(&tpm.tools()).resets, before.resets + 1);
}

#[test]
fn gone_tpm_answers_nobody_until_it_is_back() {
    let mut tpm = Swtpm::bare();
    tpm.cut();
    assert!(!tpm.tools().attempt("getrandom", ["8"]).status.success());
    tpm.power_cut();
    tpm.tools().run("getrandom", ["8"]);
}

#[test]
fn state_survives_a_restart_and_nothing_survives_the_owner() {
    let mut tpm = Swtpm::bare();
    let tools = tpm.tools();
    tpm.write_vendor_nv(0x01c0_0100, &[7; 1_500]);
    tpm.restart();
    assert_eq!(tools.run("nvread", ["0x1c00100"]), [7; 1_500]);
    tpm.write_vendor_nv(0x01c0_0100, b"shorter");
    assert_eq!(tools.run("nvread", ["0x1c00100"]), b"shorter");

    let address = tpm.ports().command();
    drop(tpm);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn several_tpms_at_once_are_different_ones() {
    let unique = |tpm: &Swtpm, scratch: &Scratch| {
        Tools::new(tpm.tcti(), scratch.path().to_owned())
            .run("createprimary", ["-C", "e", "-G", "ecc", "-c", "e.ctx"])
    };
    let threads: Vec<_> = (0..6)
        .map(|_| {
            std::thread::spawn(move || {
                let mut tpm = Swtpm::bare();
                let key = unique(&tpm, &Scratch::new());
                tpm.restart();
                assert_eq!(unique(&tpm, &Scratch::new()), key);
                (key, tpm)
            })
        })
        .collect();
    let mut keys: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap().0)
        .collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 6);
}

/// The certificate in NV certifies the key that the TPM itself makes from the template, up to the known root.
fn certified(kind: EkKind, algorithm: &str) {
    let authority = EkAuthority::new();
    let tpm = Swtpm::with_ek(kind, &authority);
    let scratch = Scratch::new();
    let tools = Tools::new(tpm.tcti(), scratch.path().to_owned());
    let index = format!("{:#x}", kind.certificate_index());

    tools.run(
        "createek",
        ["-G", algorithm, "-c", "ek.ctx", "-f", "pem", "-u", "ek.pem"],
    );
    let certificate = tools.run("nvread", [&index]);
    scratch.write("ek.der", &certificate);
    scratch.write("root.der", authority.root_der());
    scratch.write("issuer.der", authority.issuer_der());
    scratch.write("other.der", EkAuthority::new().root_der());
    for name in ["root", "issuer", "other", "ek"] {
        let (der, pem) = (format!("{name}.der"), format!("{name}.crt"));
        assert!(
            openssl(
                scratch.path(),
                &["x509", "-inform", "der", "-in", &der, "-out", &pem]
            )
            .status
            .success()
        );
    }

    let certified_key = openssl(
        scratch.path(),
        &["x509", "-in", "ek.crt", "-noout", "-pubkey"],
    )
    .stdout;
    assert_eq!(
        String::from_utf8(certified_key).unwrap(),
        std::fs::read_to_string(scratch.join("ek.pem")).unwrap()
    );

    // A TPM's subject alternative name is critical and not what openssl knows; everything else it checks.
    let verify = |root: &str| {
        let chain = [
            "verify",
            "-ignore_critical",
            "-CAfile",
            root,
            "-untrusted",
            "issuer.crt",
            "ek.crt",
        ];
        openssl(scratch.path(), &chain)
    };
    let trusted = verify("root.crt");
    assert!(
        trusted.status.success(),
        "{}",
        String::from_utf8_lossy(&trusted.stderr)
    );
    assert!(
        !verify("other.crt").status.success(),
        "another vendor's root"
    );
}

#[test]
fn rsa_endorsement_key_is_certified_under_the_known_root() {
    certified(EkKind::Rsa2048, "rsa");
}

#[test]
fn p256_endorsement_key_is_certified_under_the_known_root() {
    certified(EkKind::P256, "ecc");
}

#[test]
fn endorsement_certificate_is_where_tools_look_for_it() {
    let authority = EkAuthority::new();
    for kind in [EkKind::Rsa2048, EkKind::P256] {
        let tpm = Swtpm::with_ek(kind, &authority);
        let scratch = Scratch::new();
        let tools = Tools::new(tpm.tcti(), scratch.path().to_owned());
        tools.run("getekcertificate", ["-o", "found.der"]);
        let index = format!("{:#x}", kind.certificate_index());
        let found = std::fs::read(scratch.join("found.der")).unwrap();
        assert!(!found.is_empty());
        assert_eq!(found, tools.run("nvread", [&index]), "{kind:?}");
    }
}

#[test]
fn rsa_kind_has_a_certified_p384_key_as_well() {
    let tpm = Swtpm::with_ek(EkKind::Rsa2048, &EkAuthority::new());
    let scratch = Scratch::new();
    scratch.write("ek.der", tpm.tools().run("nvread", ["0x1c00016"]));
    let text = openssl(
        scratch.path(),
        &["x509", "-inform", "der", "-in", "ek.der", "-noout", "-text"],
    );
    assert!(
        String::from_utf8(text.stdout)
            .unwrap()
            .contains("NIST CURVE: P-384")
    );
    tpm.tools().run("readpublic", ["-c", "0x81010016"]);
}
