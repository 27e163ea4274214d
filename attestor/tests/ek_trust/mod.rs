//! Whose EKs are trusted: the folder of roots and the list of keys, as an operator fills and asks them.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::*;

struct Vendor {
    root: CertifiedIssuer<'static, KeyPair>,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Vendor {
    fn new() -> Self {
        let key = || KeyPair::generate().unwrap();
        let root = CertifiedIssuer::self_signed(authority("Vendor Root"), key()).unwrap();
        let issuer = CertifiedIssuer::signed_by(authority("Vendor EK CA"), key(), &root).unwrap();
        Self { root, issuer }
    }

    /// An EK certificate, PEM.
    fn certify(&self) -> String {
        let mut leaf = CertificateParams::default();
        // Extended key usage tcg-kp-EKCertificate, 2.23.133.8.1.
        let usage = vec![0x30, 0x07, 0x06, 0x05, 0x67, 0x81, 0x05, 0x08, 0x01];
        leaf.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 37], usage)];
        let key = KeyPair::generate().unwrap();
        leaf.signed_by(&key, &self.issuer).unwrap().pem()
    }
}

impl Attestor {
    /// One whose configuration names a folder of roots, which is there.
    fn with_roots() -> Self {
        let attestor = Self::init();
        let roots = attestor.state().join("roots");
        std::fs::create_dir(&roots).unwrap();
        let text = std::fs::read_to_string(&attestor.config).unwrap();
        let mended = text.replace(
            "# ek-roots = \"/etc/holdfast/ek-roots\"",
            &format!("ek-roots = {roots:?}"),
        );
        assert_ne!(mended, text);
        std::fs::write(&attestor.config, mended).unwrap();
        attestor
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.state().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn refused(output: &Output, code: i32, says: &str) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let message = stderr(output);
    assert!(message.contains(says), "{message}");
}

#[test]
fn roots_are_imported_listed_and_led_to() {
    let attestor = Attestor::with_roots();
    let vendor = Vendor::new();
    assert_eq!(attestor.json(&["ek-roots", "list"]), Value::Array(vec![]));
    let root = attestor.file("root.der", vendor.root.der());
    let imported = attestor.json(&["ek-roots", "import", &root]);
    assert_eq!(imported[0]["subject"], "CN=Vendor Root");
    assert_eq!(imported[0]["vendor"], Value::Null);
    let fingerprint = holdfast_proof::hash::sha256(vendor.root.der()).to_string();
    assert_eq!(imported[0]["fingerprint"], fingerprint);
    assert_eq!(attestor.json(&["ek-roots", "list"]), imported);
    let listed = attestor.run(&["ek-roots", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let (begins, _) = fingerprint.split_at(16);
    for word in [begins, "P-256", "usable", "CN=Vendor Root"] {
        assert!(listed.contains(word), "{listed}");
    }

    // The chain may follow in the file, come in files of its own, or lack.
    let (leaf, issuer) = (vendor.certify(), vendor.issuer.pem());
    let whole = attestor.file("whole.pem", format!("{leaf}{issuer}"));
    let judged = attestor.json(&["ek-roots", "verify", &whole]);
    assert_eq!(judged["accepted"], true);
    assert_eq!(judged["intermediates"], 1);
    assert_eq!(judged["root"]["fingerprint"], fingerprint);
    assert_eq!(judged["ek_fingerprint"].as_str().unwrap().len(), 64);
    let leaf = attestor.file("leaf.pem", leaf);
    let issuer = attestor.file("issuer.pem", issuer);
    let judged = attestor.json(&["ek-roots", "verify", &leaf, "--chain", &issuer]);
    assert_eq!(judged["accepted"], true);
    let alone = attestor.run(&["ek-roots", "verify", &leaf]);
    refused(&alone, 1, "no path leads to a trusted root");
    let alone = attestor.run(&["ek-roots", "verify", &leaf, "--json"]);
    let said: Value = serde_json::from_slice(&alone.stdout).unwrap();
    assert_eq!(
        (&said["accepted"], alone.status.code()),
        (&Value::Bool(false), Some(1))
    );
    assert!(said["why"].as_str().unwrap().contains("no path"), "{said}");

    let foreign = attestor.file("foreign.pem", Vendor::new().certify());
    refused(
        &attestor.run(&["ek-roots", "verify", &foreign, "--chain", &issuer]),
        1,
        "the signature of a certificate does not verify",
    );
    // A CA is no EK.
    refused(
        &attestor.run(&["ek-roots", "verify", &issuer]),
        1,
        "the certificate is not one of an endorsement key",
    );
}

#[test]
fn an_import_that_is_refused_imports_nothing() {
    let attestor = Attestor::with_roots();
    let vendor = Vendor::new();
    let root = attestor.file("root.pem", vendor.root.pem());
    let leaf = attestor.file("leaf.pem", vendor.certify());
    let junk = attestor.file(
        "junk",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let none = attestor.file("none", "notes");
    let gone = attestor.state().join("gone").to_str().unwrap().to_owned();
    for (spoiled, says) in [
        (&leaf, "not entitled"),
        (&junk, "holds no x.509 certificate"),
        (&none, "holds no x.509 certificate"),
        (&gone, "cannot be read"),
        (&root, "has a certificate that"),
    ] {
        let output = attestor.run(&["ek-roots", "import", &root, spoiled]);
        refused(&output, 1, says);
        assert!(
            stderr(&output).contains("nothing was imported"),
            "{output:?}"
        );
        assert_eq!(attestor.json(&["ek-roots", "list"]), Value::Array(vec![]));
    }
    attestor.json(&["ek-roots", "import", &root]);
    refused(
        &attestor.run(&["ek-roots", "import", &root]),
        1,
        "has a certificate that",
    );

    let without = Attestor::init();
    for words in [
        ["ek-roots", "list"].as_slice(),
        &["ek-roots", "import", &root],
    ] {
        refused(&without.run(words), 2, "names no folder of roots");
    }
    refused(
        &without.run(&["ek-roots", "verify", &leaf]),
        1,
        "no vendor's root is configured",
    );
}

#[test]
fn a_fleets_keys_are_listed_whole_or_not_at_all() {
    let attestor = Attestor::init();
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let fleet = attestor.file(
        "fleet.csv",
        format!("host name,ek hash\r\nlaptop,{a}\r\n,{b}\r\n"),
    );
    let imported = attestor.json(&["ek-hashes", "import", &fleet]);
    assert_eq!(
        imported,
        serde_json::json!({ "added": 2, "renamed": 0, "unchanged": 0 })
    );
    let listed = attestor.json(&["ek-hashes", "list"]);
    // Those without a name come first.
    assert_eq!(
        (&listed[0]["ek_fingerprint"], &listed[0]["host_name"]),
        (&Value::from(b.clone()), &Value::Null)
    );
    assert_eq!(
        (&listed[1]["ek_fingerprint"], &listed[1]["host_name"]),
        (&Value::from(a), &Value::from("laptop"))
    );

    let spoiled = format!("server,{}\nlaptop,{b}\nlaptop,{b}\n", "c".repeat(64));
    let spoiled = attestor.file("spoiled.csv", spoiled);
    let output = attestor.run(&["ek-hashes", "import", &spoiled]);
    refused(&output, 1, "line 3: the key of line 2 again");
    assert!(
        stderr(&output).contains("nothing was imported"),
        "{output:?}"
    );
    assert_eq!(attestor.json(&["ek-hashes", "list"]), listed);

    attestor.json(&["ek-hashes", "remove", &b]);
    refused(
        &attestor.run(&["ek-hashes", "remove", &b]),
        1,
        "is not listed",
    );
    let huge = attestor.file("huge.csv", vec![b'\n'; (16 << 20) + 1]);
    refused(
        &attestor.run(&["ek-hashes", "import", &huge]),
        1,
        "larger than",
    );
    refused(
        &attestor.run(&["ek-hashes", "remove", "zz"]),
        2,
        "invalid value",
    );
}

#[test]
fn a_token_may_be_for_one_ek() {
    let attestor = Attestor::init();
    let ek = "a".repeat(64);
    let token = attestor.json(&["token", "create", "--for-ek", &ek]);
    assert_eq!(token["ek_fingerprint"], ek);
    refused(
        &attestor.run(&["token", "create", "--for-ek", "a"]),
        2,
        "invalid value",
    );
}

#[test]
fn nobody_is_approved_who_does_not_wait() {
    let attestor = Attestor::init();
    assert_eq!(attestor.json(&["host", "pending"]), Value::Array(vec![]));
    for who in ["laptop", &"a".repeat(64)] {
        let output = attestor.run(&["host", "approve", who]);
        refused(&output, 1, "no host waits");
        assert!(stderr(&output).contains("host pending"), "{output:?}");
    }
}
