//! A real TPM implementation opens the challenges that `make_credential` makes, and only those for its own object.
//!
//! Needs swtpm and tpm2-tools; where they are missing the test says so and proves nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use holdfast_proof::credential::{Challenge, make_credential};
use holdfast_proof::tpm::{Name, Public};
use tempfile::TempDir;

const TOOLS: [&str; 8] = [
    "swtpm",
    "tpm2_createek",
    "tpm2_createprimary",
    "tpm2_readpublic",
    "tpm2_startauthsession",
    "tpm2_policysecret",
    "tpm2_activatecredential",
    "tpm2_flushcontext",
];

/// How a parent key is authorized.
#[derive(Clone, Copy)]
enum Auth {
    /// PolicySecret(endorsement), as every standard EK.
    EkPolicy,
    /// An empty authValue.
    Empty,
}

#[test]
fn a_tpm_opens_our_challenges() {
    let Some(tpm) = Swtpm::start() else {
        eprintln!(
            "SKIPPED: swtpm or tpm2-tools are missing; MakeCredential was not tried on a TPM"
        );
        return;
    };
    tpm.run("tpm2_createek -G rsa -c ek_rsa.ctx -u ek_rsa.pub");
    tpm.check("ek_rsa", Auth::EkPolicy, 32);
    tpm.run("tpm2_createek -G ecc -c ek_ecc.ctx -u ek_ecc.pub");
    tpm.check("ek_ecc", Auth::EkPolicy, 16);
    // The larger algorithms of the high-range templates; tpm2_createek does not know those.
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt";
    for (name, algorithm, hash, length) in [
        ("p384", "ecc384:null:aes256cfb", "sha384", 48),
        ("rsa3072", "rsa3072:null:aes256cfb", "sha384", 48),
    ] {
        tpm.run(&format!(
            "tpm2_createprimary -C e -G {algorithm} -g {hash} -a {attributes} -c {name}.ctx"
        ));
        tpm.run(&format!("tpm2_readpublic -c {name}.ctx -o {name}.pub"));
        tpm.check(name, Auth::Empty, length);
    }
}

struct Swtpm {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Swtpm {
    fn start() -> Option<Self> {
        let found = |tool: &&str| {
            let run = Command::new(tool).arg("--version").output();
            run.is_ok_and(|output| output.status.success())
        };
        if !TOOLS.iter().all(found) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = free_port_pair();
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", folder.path().display()))
            .args(["--server", &format!("type=tcp,port={port}")])
            .args(["--ctrl", &format!("type=tcp,port={}", port + 1)])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let tpm = Self {
            child,
            port,
            folder,
        };
        for _ in 0..100 {
            // The control port is the one that may be probed: swtpm ends when a data connection closes early.
            if TcpStream::connect(("127.0.0.1", port + 1)).is_ok() {
                return Some(tpm);
            }
            sleep(Duration::from_millis(50));
        }
        panic!("swtpm did not start");
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, command: &str) {
        let (status, stderr) = self.try_run(command);
        assert!(status, "{command}: {stderr}");
        // swtpm has three transient slots and nobody who frees them.
        self.try_run("tpm2_flushcontext -t");
    }

    fn try_run(&self, command: &str) -> (bool, String) {
        let mut words = command.split(' ');
        let tcti = format!("swtpm:host=127.0.0.1,port={}", self.port);
        let output = Command::new(words.next().unwrap())
            .args(words)
            .env("TPM2TOOLS_TCTI", tcti)
            .current_dir(self.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), stderr)
    }

    /// Makes two objects under the TPM, challenges the first, and lets both try to open the challenge.
    fn check(&self, parent: &str, auth: Auth, length: usize) {
        let base = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign";
        // Primaries of one template are one key: an attribute more makes another.
        for (ak, attributes) in [("ak", base.to_owned()), ("other", format!("{base}|noda"))] {
            self.run(&format!(
                "tpm2_createprimary -C o -G ecc256:ecdsa-sha256:null -a {attributes} -c {ak}.ctx"
            ));
            self.run(&format!("tpm2_readpublic -c {ak}.ctx -o {ak}.pub"));
        }
        let name = self.public("ak").name();
        assert_ne!(name, self.public("other").name());
        let secret: Vec<u8> = (1..=length).map(|byte| byte as u8).collect();
        let challenge = make_credential(&self.public(parent), &name, &secret).unwrap();

        assert!(self.activate(parent, auth, "ak", &challenge), "{parent}");
        assert_eq!(fs::read(self.path().join("opened")).unwrap(), secret);
        assert!(
            !self.activate(parent, auth, "other", &challenge),
            "{parent}"
        );
        let elsewhere =
            make_credential(&self.public(parent), &Name::endorsement(), &secret).unwrap();
        assert!(!self.activate(parent, auth, "ak", &elsewhere), "{parent}");
    }

    fn public(&self, object: &str) -> Public {
        let file = self.path().join(format!("{object}.pub"));
        Public::parse_sized(&fs::read(file).unwrap()).unwrap()
    }

    fn activate(&self, parent: &str, auth: Auth, ak: &str, challenge: &Challenge) -> bool {
        // The file format of tpm2-tools: a magic number and a version in front of the two TPM2B.
        let mut file = vec![0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1];
        for part in [&challenge.credential_blob, &challenge.encrypted_secret] {
            file.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
            file.extend_from_slice(part);
        }
        fs::write(self.path().join("challenge"), file).unwrap();
        let command =
            format!("tpm2_activatecredential -c {ak}.ctx -C {parent}.ctx -i challenge -o opened");
        let opened = match auth {
            Auth::Empty => self.try_run(&command).0,
            Auth::EkPolicy => {
                self.run("tpm2_startauthsession --policy-session -S session.ctx");
                self.run("tpm2_policysecret -S session.ctx -c e");
                let opened = self.try_run(&format!("{command} -P session:session.ctx")).0;
                self.try_run("tpm2_flushcontext session.ctx");
                opened
            }
        };
        self.try_run("tpm2_flushcontext -t");
        opened
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The TCTI expects the control port to be the next one.
fn free_port_pair() -> u16 {
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}
