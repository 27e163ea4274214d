//! What everyone but the writer sees of the log.
//!
//! Reads never go through the writer, so that nobody who looks can hold up one who records.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use holdfast_protocol::audit::{AuditEvent, What};
use holdfast_protocol::management::{AuditHead, AuditRecord, AuditReport};
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::AuditError;
use crate::export::{self, ExportError, Exported};
use crate::ocsf::Draft;
use crate::signer::CheckpointCounter;
use crate::state::Urgency;
use crate::store::{Reader, RecordRow};
use crate::verify::{self, CounterNow, LogAnchor, Verification};

/// The most records that one read answers with.
const MAX_READ: u64 = 1024;

/// A handle to the running log; clones are handles to the same log.
#[derive(Clone)]
pub struct AuditLog(Arc<Parts>);

pub(super) struct Parts {
    pub(super) folder: PathBuf,
    pub(super) anchor: LogAnchor,
    pub(super) counter: Option<Arc<dyn CheckpointCounter>>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) heads: watch::Receiver<AuditHead>,
    pub(super) reader: Mutex<Reader>,
    pub(super) broken: Arc<OnceLock<String>>,
}

/// A record that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its index in the log.
    pub index: u64,
}

/// What a handle asks of the writer.
pub(super) enum Command {
    Append {
        draft: Draft,
        urgency: Urgency,
        reply: oneshot::Sender<Recorded>,
    },
    Checkpoint {
        reply: oneshot::Sender<Result<AuditHead, AuditError>>,
    },
}

impl AuditLog {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Records `event`. Returns once the record is durable; dropping the future does not take the event back.
    pub async fn record(&self, event: &AuditEvent) -> Result<Recorded, AuditError> {
        let draft = Draft::render(self.0.anchor.key.name().as_str(), event)?;
        let urgency = match &event.what {
            What::CallApproved { .. } => Urgency::Freeze,
            What::LogStarted { .. }
            | What::LogStopped
            | What::LogRecovered { .. }
            | What::ImaListDeclared { .. }
            | What::SystemdLogDeclared { .. }
            | What::TimeTaken { .. }
            | What::HostEnrolled { .. }
            | What::HostAttested { .. }
            | What::HostNotAttested { .. }
            | What::HostHeld { .. }
            | What::HostFreed
            | What::SessionHeld { .. }
            | What::SessionFreed { .. }
            | What::EpochAdvanced { .. }
            | What::SessionStarted { .. }
            | What::LaunchRefused { .. }
            | What::SessionControlled { .. }
            | What::SessionContained { .. }
            | What::SessionBounded { .. }
            | What::SessionStopped { .. }
            | What::ShellOpened { .. }
            | What::SessionEnded { .. }
            | What::SubAgentStarted { .. }
            | What::SubAgentControlled { .. }
            | What::SubAgentEnded { .. }
            | What::WorkloadRefused { .. }
            | What::SvidIssued { .. }
            | What::FactorEnrolled { .. }
            | What::FactorRecovered { .. }
            | What::VaultMade { .. }
            | What::VaultOpened { .. }
            | What::VaultRecovered { .. }
            | What::SecretKept { .. }
            | What::SecretRemoved { .. }
            | What::SecretLeased { .. }
            | What::PinTyped { .. }
            | What::CallDecided { .. }
            | What::CallEnded { .. } => Urgency::Routine,
        };
        let (reply, answer) = oneshot::channel();
        self.send(Command::Append {
            draft,
            urgency,
            reply,
        })
        .await?;
        answer.await.map_err(|_| self.gone())
    }

    /// Signs a checkpoint over what is durable now and, where the daily budget allows it, advances the counter.
    pub async fn checkpoint_now(&self) -> Result<AuditHead, AuditError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Checkpoint { reply }).await?;
        answer.await.map_err(|_| self.gone())?
    }

    /// The head of what is durable.
    pub fn head(&self) -> AuditHead {
        self.0.heads.borrow().clone()
    }

    /// The head of what is durable, as it changes.
    pub fn heads(&self) -> watch::Receiver<AuditHead> {
        self.0.heads.clone()
    }

    /// The folder that holds it, for readers beside the writer.
    pub fn folder(&self) -> &std::path::Path {
        &self.0.folder
    }

    /// What the log is judged by; good for [`crate::verify_folder`] too.
    pub fn anchor(&self) -> &LogAnchor {
        &self.0.anchor
    }

    /// The newest `count` records, oldest first; at most 1,024.
    pub async fn tail(&self, count: u64) -> Result<Vec<AuditRecord>, AuditError> {
        let count = count.min(MAX_READ);
        let size = self.head().size;
        self.records(size.saturating_sub(count), count).await
    }

    /// At most `count` records from index `from` on, and never more than 1,024.
    pub async fn records(&self, from: u64, count: u64) -> Result<Vec<AuditRecord>, AuditError> {
        let mut reader = self.0.reader.lock().await;
        let rows = reader.records(from, count.min(MAX_READ)).await?;
        Ok(rows.into_iter().map(shown).collect())
    }

    /// Verifies the whole log, and that the TPM's counter agrees with it.
    pub async fn verify(&self) -> Result<AuditReport, AuditError> {
        Ok(self.verification().await?.report())
    }

    /// As [`AuditLog::verify`], with the findings as types.
    pub async fn verification(&self) -> Result<Verification, AuditError> {
        let before = self.counter_value().await?;
        let mut reader = Reader::open(&self.0.folder).await?;
        let mut verification = verify::verify(&mut reader, &self.0.anchor).await?;
        reader.close().await?;
        if let (Some(before), Some(after)) = (before, self.counter_value().await?) {
            verification.compare(CounterNow::Between { before, after });
        }
        Ok(verification)
    }

    /// Writes what the newest checkpoint covers to `folder` as C2SP tlog-tiles.
    pub async fn export_tiles(&self, folder: &std::path::Path) -> Result<Exported, ExportError> {
        let mut reader = Reader::open(&self.0.folder).await?;
        let exported = export::tiles(&mut reader, folder).await?;
        reader.close().await?;
        Ok(exported)
    }

    async fn send(&self, command: Command) -> Result<(), AuditError> {
        self.0.commands.send(command).await.map_err(|_| self.gone())
    }

    async fn counter_value(&self) -> Result<Option<u64>, AuditError> {
        let Some(counter) = &self.0.counter else {
            return Ok(None);
        };
        counter.value().await.map(Some).map_err(AuditError::Tpm)
    }

    /// Why the writer no longer answers.
    fn gone(&self) -> AuditError {
        match self.0.broken.get() {
            Some(why) => AuditError::Broken { why: why.clone() },
            None => AuditError::Closed,
        }
    }
}

fn shown(row: RecordRow) -> AuditRecord {
    AuditRecord {
        index: row.index,
        // Lossless for every record that we wrote; a damaged one is still to be seen.
        json: String::from_utf8(row.json)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}
