//! The audit log with this host's TPM behind it.
//!
//! Ties job 5 to the TPM: the checkpoint key signs, the audit counter freezes. What the log is
//! anchored in is kept beside it, and by the attestor since enrollment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use holdfast_attest_host::durable;
use holdfast_proof::counter::{CounterAnchor, CounterEvidence};
use holdfast_proof::hash::sha256;
use holdfast_proof::note::Origin;
use holdfast_proof::tpm::PublicKey;
use holdfast_protocol::audit::{AuditEvent, What};
use holdfast_protocol::clock::Clock;
use holdfast_protocol::mirror::log_name;
use holdfast_protocol::record::{NotRecorded, Record, Recording};
use holdfast_protocol::words::with_causes;
use holdfast_protocol::{Sha256Digest, Timestamp};
use holdfast_record_audit::{
    Answer, AuditConfig, AuditError, AuditLog, AuditTask, CheckpointCounter, CheckpointSigner,
    Counting, DuePolicy, LastStop, Opened, TpmFailed,
};
use holdfast_tpm::{CounterRole, Provisioned, TpmError};
use serde::{Deserialize, Serialize};
use uuid::{NoContext, Uuid};

use crate::config;
use crate::state_folder::StateFolder;

/// The largest anchor file that is read.
const MAX_ANCHOR: u64 = 4096;

/// The log, open and ready to run.
pub struct OpenAudit {
    /// The handle.
    pub log: AuditLog,
    /// The task that writes.
    pub task: AuditTask,
    /// How it was left, and how many records it had.
    pub left: LastStop,
    /// See [`OpenAudit::left`].
    pub records: u64,
}

/// What the log is anchored in: its name, and the counter's value at its first checkpoint.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Anchor {
    origin: String,
    first: u64,
}

impl OpenAudit {
    /// Opens the log of this host; makes it where there is none.
    pub async fn open(
        config: &config::AuditConfig,
        state: &StateFolder,
        tpm: &Provisioned,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let key = checkpoint_key(tpm)?;
        let anchor = anchor(state, tpm, &key).await?;
        let origin = Origin::new(anchor.origin)?;
        let counter_anchor = CounterAnchor::new(
            origin.clone(),
            &tpm.state().attestation_key,
            &tpm.state().audit_counter,
            anchor.first,
        )?;
        let due = DuePolicy {
            tick: Duration::from_secs(config.checkpoint_seconds.get().into()),
            records: config.checkpoint_records.get().into(),
            daily_increments: config.counter_per_day.try_into().unwrap_or(usize::MAX),
            ..DuePolicy::default()
        };
        let Opened {
            log,
            task,
            last_stop,
            records,
        } = AuditLog::open(
            AuditConfig {
                folder: state.join("audit"),
                origin,
                due,
                counting: Counting::By {
                    counter: Arc::new(TpmCounter(tpm.clone())),
                    anchor: counter_anchor,
                },
                clock: clock.clone(),
            },
            Arc::new(TpmSigner {
                tpm: tpm.clone(),
                key,
            }),
        )
        .await
        .context("the audit log cannot be opened; nothing is done without it")?;
        Ok(Self {
            log,
            task,
            left: last_stop,
            records,
        })
    }
}

/// Records what the jobs say, stamped and named.
pub struct Recorder(pub AuditLog, pub Clock);

impl Record for Recorder {
    fn record(&self, what: What) -> Recording<'_> {
        Box::pin(async move {
            let at = self.1.now();
            let event = AuditEvent {
                uid: uid(at),
                at,
                what,
            };
            match self.0.record(&event).await {
                Ok(_) => Ok(()),
                Err(error) => Err(not_recorded(&error)),
            }
        })
    }
}

/// A name that no other record has, beginning with the time (RFC 9562 §5.7).
fn uid(at: Timestamp) -> Uuid {
    let nanos = u32::try_from(at.as_millis() % 1000 * 1_000_000).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, at.as_secs(), nanos))
}

fn not_recorded(error: &AuditError) -> NotRecorded {
    NotRecorded(with_causes(error))
}

/// The checkpoint key and the TPM that holds it.
struct TpmSigner {
    tpm: Provisioned,
    key: PublicKey,
}

impl CheckpointSigner for TpmSigner {
    fn public_key(&self) -> PublicKey {
        self.key.clone()
    }

    fn sign(&self, digest: Sha256Digest) -> Answer<'_, Vec<u8>> {
        Box::pin(async move {
            let signature = self.tpm.sign_checkpoint(digest).await.map_err(failed)?;
            Ok(signature.to_x509())
        })
    }
}

/// The audit counter and the TPM that holds it.
struct TpmCounter(Provisioned);

impl CheckpointCounter for TpmCounter {
    fn value(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            self.0
                .read_counter(CounterRole::Audit)
                .await
                .map_err(failed)
        })
    }

    fn certify(&self, body: Sha256Digest) -> Answer<'_, CounterEvidence> {
        Box::pin(async move {
            let certified = self
                .0
                .certify_counter(CounterRole::Audit, body)
                .await
                .map_err(failed)?;
            CounterEvidence::new(
                certified.statement.as_bytes(),
                &certified.signature.encode(),
            )
            .ok_or_else(|| TpmFailed("its evidence is longer than any TPM's".into()))
        })
    }

    fn increment(&self) -> Answer<'_, u64> {
        Box::pin(async move { self.0.increment(CounterRole::Audit).await.map_err(failed) })
    }
}

fn failed(error: TpmError) -> TpmFailed {
    TpmFailed(Box::new(error))
}

fn checkpoint_key(tpm: &Provisioned) -> anyhow::Result<PublicKey> {
    tpm.state()
        .checkpoint_key
        .public()
        .key()
        .context("the checkpoint key is not a signing key")
}

/// The anchor that is kept, or the one that a new log begins with.
async fn anchor(state: &StateFolder, tpm: &Provisioned, key: &PublicKey) -> anyhow::Result<Anchor> {
    let path = &state.join("audit.json");
    let origin = log_name(&sha256(&key.to_spki_der()));
    let kept = durable::load(path, MAX_ANCHOR)
        .with_context(|| format!("`{}` cannot be read", path.display()))?;
    if let Some(text) = kept {
        let kept: Anchor = serde_json::from_slice(&text)
            .with_context(|| format!("`{}` is not an audit log's anchor", path.display()))?;
        anyhow::ensure!(
            kept.origin == origin,
            "`{}` anchors `{}`, which is another TPM's log",
            path.display(),
            kept.origin
        );
        return Ok(kept);
    }
    // An enrolled host has a log: a new one would forget what the old one said.
    anyhow::ensure!(
        !state.join("enrollment.json").exists(),
        "`{}` is missing, and this host is enrolled: its audit log was removed; put it back, or \
         enroll anew with an empty state folder",
        path.display()
    );
    let first = tpm.read_counter(CounterRole::Audit).await?;
    let anchor = Anchor { origin, first };
    durable::replace(path, &serde_json::to_vec_pretty(&anchor)?)
        .with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(anchor)
}
