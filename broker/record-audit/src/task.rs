//! The running log: one task that owns the store, and the handle that everyone else has.
//!
//! [`AuditLog::record`] returns only after the record is durable and in the tree. A batch is committed at once; what
//! arrives meanwhile makes the next one. After the first failure the task ends and every later record is refused, until the
//! log is opened again: it must never go on, or answer for a record that may not be there.

mod handle;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use holdfast_proof::counter::CounterAnchor;
use holdfast_proof::note::{EcdsaVerifier, MalformedNote, Origin};
use holdfast_protocol::clock::Clock;
use tokio::sync::{Mutex, mpsc, watch};

pub use handle::{AuditLog, Recorded};
pub use writer::AuditTask;

use crate::ocsf::OcsfError;
use crate::signer::{CheckpointCounter, CheckpointSigner, TpmFailed};
use crate::state::{CheckpointError, Checkpoints, Core, DuePolicy};
use crate::store::{LastStop, Reader, Store, StoreError};
use crate::verify::LogAnchor;

/// How many records become durable together, at most.
const MAX_BATCH: usize = 256;

/// How many records may wait: one batch that is being committed and one that fills up meanwhile. More would only hide from
/// callers that the disk is slower than they are; at 16 KiB each these are 8 MiB.
const MAX_WAITING: usize = 2 * MAX_BATCH;

/// What the log is opened with.
#[derive(Clone)]
pub struct AuditConfig {
    /// The folder that holds it and nothing else. It is made if it is not there.
    pub folder: PathBuf,
    /// The log's name.
    pub origin: Origin,
    /// When checkpoints are made.
    pub due: DuePolicy,
    /// The counter that freezes them.
    pub counting: Counting,
    /// When they are due.
    pub clock: Clock,
}

/// Whether checkpoints are counted.
#[derive(Clone)]
pub enum Counting {
    /// By this counter.
    By {
        /// The counter in the TPM.
        counter: Arc<dyn CheckpointCounter>,
        /// What enrollment recorded of it.
        anchor: CounterAnchor,
    },
    /// This installation has no counter: checkpoints are only signed.
    Absent,
}

/// A log that was opened.
pub struct Opened {
    /// The handle.
    pub log: AuditLog,
    /// The task to run; nothing is recorded before it runs.
    pub task: AuditTask,
    /// How the log was left before.
    pub last_stop: LastStop,
    /// How many records it holds.
    pub records: u64,
}

/// Why the log did not do it.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The caller's event cannot be a record. The log is well.
    #[error("the event cannot be recorded")]
    Event(#[from] OcsfError),
    /// The environment: the database failed.
    #[error("the audit log cannot be read or written")]
    Store(#[from] StoreError),
    /// The environment: log and TPM contradict each other (an older database was put back, or the counter was used by another).
    #[error("the audit log and the TPM contradict each other")]
    Contradiction(#[from] CheckpointError),
    /// The environment: the TPM could not be asked.
    #[error("the TPM could not be asked")]
    Tpm(#[source] TpmFailed),
    /// The environment: the TPM did not make the checkpoint. It will be tried again.
    #[error("the TPM did not make the checkpoint")]
    NoCheckpoint,
    /// The environment: the log failed earlier, and refuses everything since then.
    #[error("the audit log is broken since: {why}")]
    Broken {
        /// What happened first.
        why: String,
    },
    /// A defect of ours: a checkpoint that no note can carry.
    #[error("the checkpoint makes no signed note")]
    Note(#[source] MalformedNote),
    /// The caller: the log was closed.
    #[error("the audit log is closed")]
    Closed,
    /// The caller: the checkpoint key is not one that notes can carry.
    #[error("the checkpoint key is not on p-256")]
    Key,
}

impl AuditLog {
    /// Opens the log, and has the TPM's counter agree with it before anything is appended.
    pub async fn open(
        config: AuditConfig,
        signer: Arc<dyn CheckpointSigner>,
    ) -> Result<Opened, AuditError> {
        let key = EcdsaVerifier::new(config.origin.clone(), &signer.public_key())
            .ok_or(AuditError::Key)?;
        let (store, stored) = Store::open(&config.folder, &config.origin).await?;
        let records = stored.tree.size();
        let (counter, anchor) = match config.counting {
            Counting::By { counter, anchor } => (Some(counter), Some(anchor)),
            Counting::Absent => (None, None),
        };
        let first = anchor
            .as_ref()
            .and_then(|anchor| anchor.verify(&[]).ok())
            .map(|nothing| nothing.next_value);
        let checkpoints =
            Checkpoints::resume(config.due, first, stored.past, records, config.clock.now());
        let anchor = LogAnchor {
            key,
            counter: anchor,
        };
        let core = Core::new(stored.tree, checkpoints);
        let reader = Reader::open(&config.folder).await?;
        let (commands, queue) = mpsc::channel(MAX_WAITING);
        let (head, heads) = watch::channel(writer::head(&anchor, &core));
        let broken = Arc::new(OnceLock::new());
        let mut task = AuditTask {
            queue,
            store,
            core,
            anchor: anchor.clone(),
            signer,
            counter: counter.clone(),
            clock: config.clock,
            step: None,
            waiting: Vec::new(),
            head,
            broken: Arc::clone(&broken),
        };
        task.settle().await?;
        let log = AuditLog::new(handle::Parts {
            folder: config.folder,
            anchor,
            counter,
            commands,
            heads,
            reader: Mutex::new(reader),
            broken,
        });
        Ok(Opened {
            log,
            task,
            last_stop: stored.last_stop,
            records,
        })
    }
}
