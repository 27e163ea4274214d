//! Job 4 with this host's policy and record behind it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use holdfast_authorize_calls::state::Limits;
use holdfast_authorize_calls::task::{Authorizer, Job, NotRecorded, Recorder, authorize_calls};
use holdfast_policy::{Engine, MAX_SOURCE, Source, default_policy};
use holdfast_protocol::audit::What;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::grade::Grade;
use holdfast_protocol::leave::Leave;
use holdfast_protocol::record::Record;
use tokio::sync::watch;

use crate::approvers::Approvers;

/// The deciding job, ready to run.
pub struct Calls {
    /// The handle.
    pub authorizer: Authorizer,
    /// The task.
    pub job: Job<RecordCalls, Approvers>,
    /// Where another policy would be put; the job ends without it.
    pub engine: watch::Sender<Arc<Engine>>,
}

impl Calls {
    /// With the default policy and this host's `files`, for an installation of this grade; nothing is allowed while
    /// `leave` is withheld.
    pub fn new(
        (grade, files): (Grade, &[PathBuf]),
        record: Arc<dyn Record>,
        approvers: Approvers,
        leave: Arc<dyn Leave>,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let engine = engine(grade, files)?;
        let (sender, engine) = watch::channel(Arc::new(engine));
        let (authorizer, job) = authorize_calls(
            engine,
            Arc::new(RecordCalls(record)),
            approvers,
            Limits::default(),
            leave,
            clock,
        );
        Ok(Self {
            authorizer,
            job,
            engine: sender,
        })
    }
}

/// The default policy with this host's `files`; any mistake in one is an error.
pub fn engine(grade: Grade, files: &[PathBuf]) -> anyhow::Result<Engine> {
    let narrowing = files.iter().map(|file| source(file));
    let narrowing = narrowing.collect::<anyhow::Result<Vec<_>>>()?;
    Engine::load(grade, &default_policy(), &narrowing).context("this host has no policy")
}

/// One of the host's own files.
fn source(file: &Path) -> anyhow::Result<Source> {
    let shown = file.display();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem
        .parse()
        .with_context(|| format!("the policy file `{shown}` has no name for its rules"))?;
    let mut text = String::new();
    File::open(file)
        .and_then(|file| {
            let most = u64::try_from(MAX_SOURCE).unwrap_or(u64::MAX);
            // One more than is taken, so that a file that is too large is seen to be.
            file.take(most.saturating_add(1)).read_to_string(&mut text)
        })
        .with_context(|| format!("the policy file `{shown}` cannot be read"))?;
    Ok(Source { name, text })
}

/// Records decisions. One event after the other: when one cannot be written the log is broken and
/// takes no more, so that a decision is never acted on with a part of its events missing.
pub struct RecordCalls(Arc<dyn Record>);

impl Recorder for RecordCalls {
    async fn record(&self, events: Vec<What>) -> Result<(), NotRecorded> {
        for event in events {
            self.0.record(event).await.map_err(|error| {
                tracing::error!(%error, "a decision is not recorded, so the answer is no");
                NotRecorded
            })?;
        }
        Ok(())
    }
}
