//! Promise 1 under an authority that somebody else runs: `openssl` is the upstream, and stock programs are the verifiers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use holdfast_hardware_tests::harness::{Scratch, bin, wait_until};
use holdfast_hardware_tests::world::{Attestor, World};
use serde_json::Value;

use crate::support::install_spiffe;

const PATIENCE: Duration = Duration::from_secs(30);

const PASSPHRASE: &str = "correct horse battery staple";

/// Writes down what the Workload API gives: the SVID's chain and the trust domain's roots.
const CLIENT: &str = "
import sys; sys.path.insert(0, 'site')
from cryptography.hazmat.primitives.serialization import Encoding
from spiffe import WorkloadApiClient
pem = lambda all: b''.join(one.public_bytes(Encoding.PEM) for one in all)
with WorkloadApiClient() as client:
    svid = client.fetch_x509_svid()
    roots = [a for b in client.fetch_x509_bundles().bundles for a in b.x509_authorities]
    open('leaf.pem', 'wb').write(pem(svid.cert_chain[:1]))
    open('chain.pem', 'wb').write(pem(svid.cert_chain[1:]))
    open('roots.pem', 'wb').write(pem(roots))
    jwt = client.fetch_jwt_svid(audience={'api.example'})
    client.validate_jwt_svid(jwt.token, 'api.example')
print('chain', len(svid.cert_chain), 'roots', len(roots))
";

#[test]
fn hosts_and_agents_verify_by_the_upstream_s_root_alone() {
    let mut root = PathBuf::new();
    let Some(world) = World::sealed_under(|scratch| {
        let upstream = Upstream::make(scratch);
        root.clone_from(&upstream.root);
        let file = scratch.private("passphrase", PASSPHRASE);
        let keys = format!("[keys]\npassphrase-file = \"{file}\"\n");
        Attestor::start_with(scratch, &(keys + &upstream.table()))
    }) else {
        return;
    };
    // Joined by a token, which pins what signs; from then on by the root.
    world.enroll().success();
    let node = node(&world);
    assert_eq!(certificates(&node["authorities_pem"]), 1, "{node:#}");
    assert_eq!(certificates(&node["chain_pem"]), 3, "{node:#}");
    assert!(verifies(&world.scratch, &root, &node["chain_pem"]));
    world.broker.holdfast(&["status", "--renew"]).success();

    // What an agent gets by a SPIFFE client that knows nothing of us.
    let project = world.scratch.folder("project");
    if !install_spiffe(&project.join("site")) {
        return;
    }
    fs::write(project.join("client.py"), CLIENT).unwrap();
    let python = ["/usr/bin/python3", "-S", "client.py"];
    let told = world.broker.run(&project, &python).success();
    assert_eq!(told.trim(), "chain 3 roots 1");
    let file = |name| project.join(name);
    assert_eq!(
        fs::read_to_string(file("roots.pem")).unwrap(),
        fs::read_to_string(&root).unwrap()
    );
    assert!(openssl_verifies(
        &root,
        &file("chain.pem"),
        &file("leaf.pem")
    ));
    assert!(!openssl_verifies(
        &root,
        &file("leaf.pem"),
        &file("leaf.pem")
    ));
}

#[test]
fn a_self_signed_authority_goes_under_an_upstream_and_no_host_is_cut_off() {
    let mut world = World::enrolled();
    let own = world
        .scratch
        .write("own.pem", world.attestor.run(&["bundle", "show"]));
    assert!(verifies(&world.scratch, &own, &node(&world)["chain_pem"]));

    let upstream = Upstream::make(&world.scratch);
    let file = world.scratch.private("passphrase", PASSPHRASE);
    let config = fs::read_to_string(world.attestor.config()).unwrap();
    let table = format!(
        "{config}[keys]\npassphrase-file = \"{file}\"\n{}",
        upstream.table()
    );
    fs::write(world.attestor.config(), table).unwrap();
    world.attestor.kill();
    world.attestor.resume(&world.scratch);
    // The configuration alone changes nothing.
    renewed_until(&world, "the host goes on", |node| {
        certificates(&node["authorities_pem"]) == 1
    });

    world.attestor.run(&["authority", "prepare"]);
    // The upstream's key has done what it is for.
    fs::remove_file(&upstream.key).unwrap();
    renewed_until(&world, "the host knows both", |node| {
        certificates(&node["authorities_pem"]) == 2
    });
    assert!(verifies(&world.scratch, &own, &node(&world)["chain_pem"]));
    let id = node(&world)["spiffe_id"].clone();
    world.attestor.run(&["authority", "activate", "--now"]);
    let root = &upstream.root;
    renewed_until(&world, "an SVID under the upstream", |node| {
        verifies(&world.scratch, root, &node["chain_pem"])
    });
    assert!(!verifies(&world.scratch, &own, &node(&world)["chain_pem"]));
    world.attestor.run(&["authority", "retire", "--now"]);
    renewed_until(&world, "the upstream's root alone", |node| {
        certificates(&node["authorities_pem"]) == 1
    });
    assert_eq!(node(&world)["spiffe_id"], id);

    // After a start of both as well, and new hosts join.
    world.attestor.kill();
    world.attestor.resume(&world.scratch);
    world.broker.stop();
    world.broker.resume(&world.scratch);
    world.attested();
    assert!(verifies(&world.scratch, root, &node(&world)["chain_pem"]));
    let shown = world.attestor.run(&["authority", "show", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown["generations"][0]["signed-by"], "upstream",
        "{shown:#}"
    );
    assert_eq!(shown["generations"].as_array().unwrap().len(), 1);
    world.enroll().success();
}

#[test]
fn an_upstream_that_may_sign_no_authority_is_refused_in_words() {
    let scratch = Scratch::new();
    let attestor = Attestor::start(&scratch);
    let upstream = Upstream::make_with(&scratch, "critical,CA:TRUE,pathlen:0");
    let config = fs::read_to_string(attestor.config()).unwrap();
    let file = scratch.private("passphrase", PASSPHRASE);
    let keys = format!("[keys]\npassphrase-file = \"{file}\"\n");
    fs::write(
        attestor.config(),
        config.clone() + &keys + &upstream.table(),
    )
    .unwrap();
    let words = refused(&attestor, 1);
    assert!(
        words.contains("lets no authority follow below it"),
        "{words}"
    );
    assert!(words.contains("next: "), "{words}");
    let shown = attestor.run(&["authority", "show", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["sequence"], 1, "nothing was prepared");
    let part = "[authority]\nupstream-key = \"/nowhere\"\n";
    fs::write(attestor.config(), config + part).unwrap();
    let words = refused(&attestor, 2);
    assert!(
        words.contains("names a part of an upstream authority"),
        "{words}"
    );
}

/// A root and an authority below it, by the `openssl` command line; the authority's key is encrypted.
struct Upstream {
    root: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Upstream {
    fn make(scratch: &Scratch) -> Self {
        Self::make_with(scratch, "critical,CA:TRUE,pathlen:1")
    }

    fn make_with(scratch: &Scratch, constraints: &str) -> Self {
        let folder = scratch.folder("upstream");
        let script = format!(
            "set -e; umask 077; cd '{folder}'
            openssl req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.crt -days 30 \\
                -subj '/O=Upstream/CN=root' -addext keyUsage=critical,keyCertSign
            openssl ecparam -name secp384r1 -genkey -noout -out plain.key
            openssl req -new -key plain.key -subj '/O=Upstream/CN=issuing' -out sub.csr
            printf 'basicConstraints={constraints}\\nkeyUsage=critical,keyCertSign\\nsubjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid\\n' > sub.ext
            openssl x509 -req -in sub.csr -CA root.crt -CAkey root.key -CAcreateserial -days 20 \\
                -extfile sub.ext -out sub.crt
            openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 600000 \\
                -passout 'pass:{PASSPHRASE}' -in plain.key -out sub.key
            rm plain.key",
            folder = folder.display(),
        );
        let made = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        Self {
            root: folder.join("root.crt"),
            certificate: folder.join("sub.crt"),
            key: folder.join("sub.key"),
        }
    }

    fn table(&self) -> String {
        format!(
            "[authority]\nupstream-certificate = \"{}\"\nupstream-key = \"{}\"\nupstream-bundle = \"{}\"\n",
            self.certificate.display(),
            self.key.display(),
            self.root.display(),
        )
    }
}

fn node(world: &World) -> Value {
    let status = world.broker.holdfast(&["status", "--json"]).success();
    let mut status: Value = serde_json::from_str(&status).unwrap();
    status["node"].take()
}

fn certificates(pem: &Value) -> usize {
    pem.as_str()
        .unwrap_or_default()
        .matches("BEGIN CERTIFICATE")
        .count()
}

/// Whether a chain, leaf first, verifies by `root`, and by nothing else.
fn verifies(scratch: &Scratch, root: &Path, chain: &Value) -> bool {
    let chain = chain.as_str().unwrap_or_default();
    let leaf = scratch.write("leaf.pem", chain);
    let chain = scratch.write("untrusted.pem", chain);
    openssl_verifies(root, &chain, &leaf)
}

fn openssl_verifies(root: &Path, untrusted: &Path, leaf: &Path) -> bool {
    let verified = Command::new("openssl")
        .args([
            "verify",
            "-x509_strict",
            "-no-CApath",
            "-no-CAstore",
            "-CAfile",
        ])
        .arg(root)
        .arg("-untrusted")
        .args([untrusted, leaf])
        .output()
        .unwrap();
    verified.status.success()
}

fn renewed_until(world: &World, what: &str, done: impl Fn(&Value) -> bool) {
    wait_until(PATIENCE, what, || {
        world.broker.holdfast(&["status", "--renew"]).code == 0 && done(&node(world))
    });
}

/// What `authority prepare` says when it fails.
fn refused(attestor: &Attestor, code: i32) -> String {
    let output = Command::new(bin("holdfast-attestor"))
        .arg("--config")
        .arg(attestor.config())
        .args(["authority", "prepare"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}
