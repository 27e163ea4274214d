//! A private software TPM that only tpm2-tools speak to.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use holdfast_proof::tpm::Public;
use tempfile::TempDir;

const TOOLS: [&str; 16] = [
    "swtpm",
    "tpm2_createek",
    "tpm2_createprimary",
    "tpm2_readpublic",
    "tpm2_startauthsession",
    "tpm2_policysecret",
    "tpm2_activatecredential",
    "tpm2_flushcontext",
    "tpm2_createak",
    "tpm2_quote",
    "tpm2_certify",
    "tpm2_nvcertify",
    "tpm2_pcrextend",
    "tpm2_pcrread",
    "tpm2_getrandom",
    "tpm2_getsessionauditdigest",
];

pub struct Swtpm {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Swtpm {
    /// `None`, loudly, where a tool is missing; never where `CI` is `true`.
    pub fn start() -> Option<Self> {
        let found = |tool: &&str| {
            let run = Command::new(tool).arg("--version").output();
            run.is_ok_and(|output| output.status.success())
        };
        if !TOOLS.iter().all(found) {
            let ci = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(
                !ci,
                "CI leaves nothing out, but swtpm or tpm2-tools are missing"
            );
            eprintln!("SKIPPED: swtpm or tpm2-tools are missing: nothing of theirs was tried");
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

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn run(&self, command: &str) {
        let (status, stderr) = self.try_run(command);
        assert!(status, "{command}: {stderr}");
        // swtpm has three transient slots and nobody who frees them.
        self.try_run("tpm2_flushcontext -t");
    }

    pub fn try_run(&self, command: &str) -> (bool, String) {
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

    pub fn public(&self, object: &str) -> Public {
        let file = self.path().join(format!("{object}.pub"));
        Public::parse_sized(&fs::read(file).unwrap()).unwrap()
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
