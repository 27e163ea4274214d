//! The embedded simulator: a private swtpm in the state folder.
//!
//! For development and tests. It makes no hardware claim, and must never be started by default:
//! only the configuration or `--simulator` asks for it, and every status says so.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{FlockOperation, fcntl_lock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::state_folder::make_private;

/// How long swtpm may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How long swtpm may take to save its state when it is told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks swtpm what it can do (its control channel, `CMD_GET_CAPABILITY`).
const CMD_GET_CAPABILITY: u32 = 1;

/// Tells swtpm to end (swtpm's control channel, `CMD_SHUTDOWN`).
const CMD_SHUTDOWN: u32 = 3;

/// A running simulator; dropping it kills it.
#[derive(Debug)]
pub struct Simulator {
    child: Child,
    socket: PathBuf,
}

/// The simulator does not run.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// Its folder cannot be made.
    #[error("the simulator's folder `{path}` cannot be made")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A program of swtpm is missing or does not start.
    #[error("`{program}` does not start; install the packages swtpm and swtpm-tools")]
    Program {
        /// The program.
        program: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// swtpm_setup failed.
    #[error("swtpm_setup could not make a TPM in `{path}`: {output}")]
    Manufacture {
        /// The folder.
        path: PathBuf,
        /// What it printed last.
        output: String,
    },
    /// swtpm ended or never listened.
    #[error("swtpm does not listen on `{0}`")]
    Silent(PathBuf),
}

impl Simulator {
    /// Starts the simulator whose state is in `folder`, manufacturing it first where there is none.
    ///
    /// # Errors
    /// [`SimulatorError`] if swtpm is missing or does not come up.
    pub async fn start(folder: &Path) -> Result<Self, SimulatorError> {
        make_private(folder).map_err(|source| SimulatorError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        if !folder.join("tpm2-00.permall").exists() {
            manufacture(folder).await?;
        }
        let socket = folder.join("swtpm.sock");
        let control = folder.join("swtpm.sock.ctrl");
        end_orphan(folder, &control).await;
        for stale in [&socket, &control] {
            // A socket file that a killed run left behind is in the way; nothing else is there.
            let _ = std::fs::remove_file(stale);
        }
        let mut child = Command::new("swtpm")
            .arg("socket")
            .arg("--tpm2")
            .arg("--tpmstate")
            .arg(format!("dir={},mode=0600", folder.display()))
            .arg("--server")
            .arg(format!("type=unixio,path={},mode=0600", socket.display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={},mode=0600", control.display()))
            .args(["--flags", "not-need-init,startup-clear"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| SimulatorError::Program {
                program: "swtpm",
                source,
            })?;
        wait_until_listening(&mut child, &control).await?;
        Ok(Self { child, socket })
    }

    /// The command socket; the control socket is beside it with `.ctrl` appended.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Tells swtpm to end and waits until its state is saved.
    pub async fn stop(mut self) {
        if let Some(pid) = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait())
            .await
            .is_err()
        {
            tracing::warn!("swtpm did not end when told to; killing it");
        }
    }
}

/// Ends the swtpm of a broker that was killed: it would hold the state for good. The state folder is ours alone, so it is
/// nobody else's. Where it does not end, the new one fails to start and is reported.
async fn end_orphan(folder: &Path, control: &Path) {
    if let Ok(mut stream) = UnixStream::connect(control).await {
        tracing::warn!("ending the swtpm of a broker that did not stop in order");
        // It ends with or without a last word.
        let _ = tokio::time::timeout(STOP_TIMEOUT, command(&mut stream, CMD_SHUTDOWN)).await;
    }
    let Ok(lock) = File::options().write(true).open(folder.join(".lock")) else {
        return;
    };
    let deadline = Instant::now() + STOP_TIMEOUT;
    // Dropped at once again: swtpm locks the same file, by the same kind of lock.
    while fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive).is_err()
        && Instant::now() < deadline
    {
        sleep(Duration::from_millis(5)).await;
    }
}

async fn manufacture(folder: &Path) -> Result<(), SimulatorError> {
    let output = Command::new("swtpm_setup")
        .args(["--tpm2", "--createek", "--decryption", "--lock-nvram"])
        .args(["--overwrite", "--pcr-banks", "sha256"])
        .arg("--tpmstate")
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|source| SimulatorError::Program {
            program: "swtpm_setup",
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Err(SimulatorError::Manufacture {
        path: folder.to_owned(),
        output: text.lines().last().unwrap_or("no output").to_owned(),
    })
}

/// It makes its control socket before the one for commands, and answers on it once both are there.
async fn answers(control: &Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(control).await?;
    command(&mut stream, CMD_GET_CAPABILITY).await
}

/// Gives swtpm a command that takes nothing, and waits until it says something.
async fn command(stream: &mut UnixStream, command: u32) -> std::io::Result<()> {
    stream.write_all(&command.to_be_bytes()).await?;
    stream.read_u32().await?;
    Ok(())
}

async fn wait_until_listening(child: &mut Child, socket: &Path) -> Result<(), SimulatorError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if tokio::time::timeout_at(deadline, answers(socket))
            .await
            .is_ok_and(|answered| answered.is_ok())
        {
            return Ok(());
        }
        let ended = !matches!(child.try_wait(), Ok(None));
        if ended || Instant::now() > deadline {
            return Err(SimulatorError::Silent(socket.to_owned()));
        }
        sleep(Duration::from_millis(5)).await;
    }
}
