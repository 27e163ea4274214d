//! Job 4 with this host's policy and record behind it.

use std::sync::Arc;

use anyhow::Context;
use holdfast_authorize_calls::state::Limits;
use holdfast_authorize_calls::task::{Authorizer, Job, NotRecorded, Recorder, authorize_calls};
use holdfast_policy::{Engine, default_policy};
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
    /// With the default policy, for an installation of this grade; nothing is allowed while `leave` is withheld.
    pub fn new(
        grade: Grade,
        record: Arc<dyn Record>,
        approvers: Approvers,
        leave: Arc<dyn Leave>,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let engine = Engine::load(grade, &default_policy(), &[]).context("the default policy")?;
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
