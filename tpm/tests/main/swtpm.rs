//! A private software TPM: started for one test, killed with it.
//!
//! It speaks over UNIX sockets in a folder of its own, so that tests in parallel cannot meet.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrSelection};
use holdfast_tpm::{
    AttestationKey, EndorsementKey, HierarchyAuths, Provisioned, SwtpmAddress, Tpm, TpmConfig,
    TpmOwner, TpmState, Transport,
};

pub struct Swtpm {
    folder: tempfile::TempDir,
    process: Child,
}

pub struct Host {
    pub swtpm: Swtpm,
    pub provisioned: Provisioned,
    pub owner: TpmOwner,
}

impl Swtpm {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = spawn(&folder);
        Self { folder, process }
    }

    /// As a reboot: resetCount goes up, PCRs, objects and sessions are gone.
    pub fn restart(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            self.stop();
        }
        self.process = spawn(&self.folder);
    }

    /// As a TPM that stops answering.
    pub fn stop(&mut self) {
        // swtpm writes its state with every command that changes it, so a kill loses nothing.
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        for name in ["tpm", "tpm.ctrl"] {
            let _ = std::fs::remove_file(self.folder.path().join(name));
        }
    }

    /// Starts listening on TCP, in place of the UNIX socket; its address.
    pub fn listen_on_tcp(&mut self) -> SocketAddr {
        self.stop();
        // Another test may take a port between finding and using it; then it is tried again.
        for _ in 0..20 {
            let Some(address) = two_free_ports() else {
                continue;
            };
            let (server, ctrl) = (address.port(), address.port() + 1);
            self.process = command(&self.folder)
                .args(["--server", &format!("type=tcp,port={server}")])
                .args(["--ctrl", &format!("type=tcp,port={ctrl}")])
                .spawn()
                .unwrap();
            for _ in 0..100 {
                std::thread::sleep(Duration::from_millis(10));
                if self.process.try_wait().unwrap().is_some() {
                    break;
                }
                if TcpListener::bind(address).is_err() {
                    return address;
                }
            }
            let _ = self.process.kill();
            self.process.wait().unwrap();
        }
        panic!("swtpm did not start");
    }

    pub fn config(&self) -> TpmConfig {
        TpmConfig {
            transport: Transport::Swtpm(SwtpmAddress::Unix(self.socket())),
            auths: HierarchyAuths::default(),
            endorsement_key: EndorsementKey::EccP256,
            attestation_key: AttestationKey::EccP256,
        }
    }

    pub async fn open(&self) -> (Tpm, TpmOwner) {
        Tpm::open(self.config()).await.unwrap()
    }

    pub async fn provision(self) -> Host {
        let (tpm, owner) = self.open().await;
        let provisioned = tpm.provision(None).await.unwrap();
        Host {
            swtpm: self,
            provisioned,
            owner,
        }
    }

    /// Opens the TPM again with the stored form of a state.
    pub async fn resume(self, kept: &str) -> Host {
        let (tpm, owner) = self.open().await;
        let state: TpmState = serde_json::from_str(kept).unwrap();
        let provisioned = tpm.provision(Some(state)).await.unwrap();
        Host {
            swtpm: self,
            provisioned,
            owner,
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("tpm")
    }
}

impl Host {
    pub async fn new() -> Self {
        Swtpm::start().provision().await
    }

    pub fn tpm(&self) -> &Tpm {
        self.provisioned.tpm()
    }

    /// Closes the connection, restarts the TPM, and opens it again with what was kept.
    pub async fn reboot(self) -> Self {
        let kept = serde_json::to_string(self.provisioned.state()).unwrap();
        let mut swtpm = self.close();
        swtpm.restart();
        swtpm.resume(&kept).await
    }

    /// Closes the connection, so that a test can go straight to the TPM.
    pub fn close(self) -> Swtpm {
        drop(self.provisioned);
        self.owner.close();
        self.swtpm
    }

    /// Every test ends here: nothing of it may be left in the TPM.
    pub async fn nothing_is_left(&self) {
        assert_eq!(self.tpm().transient_handles().await.unwrap(), 0, "objects");
        assert_eq!(self.tpm().loaded_sessions().await.unwrap(), 0, "sessions");
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn pcrs(indices: &[u8]) -> PcrSelection {
    PcrSelection::of(
        HashAlg::Sha256,
        indices.iter().map(|index| PcrIndex::new(*index).unwrap()),
    )
}

pub fn measurement() -> Digest {
    HashAlg::Sha256.digest(b"something else runs now")
}

fn spawn(folder: &tempfile::TempDir) -> Child {
    let path = folder.path().display();
    let mut process = command(folder)
        .args(["--server", &format!("type=unixio,path={path}/tpm")])
        .args(["--ctrl", &format!("type=unixio,path={path}/tpm.ctrl")])
        .spawn()
        .expect("swtpm is installed");
    // The files are there before anything listens on them.
    let listens = |name: &str| UnixStream::connect(folder.path().join(name)).is_ok();
    for _ in 0..500 {
        if listens("tpm.ctrl") && listens("tpm") {
            return process;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    panic!("swtpm did not start");
}

fn command(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new("swtpm");
    command
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .args(["--tpmstate", &format!("dir={}", folder.path().display())])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The first of two neighboring ports that are free: the control channel is expected at the second.
fn two_free_ports() -> Option<SocketAddr> {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = first.local_addr().unwrap();
    let next = address.port().checked_add(1)?;
    TcpListener::bind((address.ip(), next)).ok()?;
    Some(address)
}
