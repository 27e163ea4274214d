//! The shell of one session's credentials: carries out what the core names, and lets others wait.
//!
//! The core lives in a watch channel: whoever asks looks at it, and sleeps until it changes. One
//! task per session signs and records ([`Session::run`]). This module must never give out what the
//! core does not.

pub(crate) mod issuer;

use std::sync::Arc;
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::{SessionId, SpiffeId};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::audiences::Audiences;
use crate::bundles::Bundles;
use crate::jwt::{self, JwtError, Validated};
use crate::material::{JwtSvid, X509Svid};
use crate::state::{Answer, Change, Credentials, Effect, Generation, Refusal, Signed, Wanted};
use crate::workload::MAX_STREAMS;
use issuer::{Failure, refused};

pub use issuer::Issuer;

/// The longest sleep: the wall clock may be set, or the machine suspended, behind our back.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Whose credentials they are; fixed for a session's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionIdentity {
    /// The session.
    pub session: SessionId,
    /// Its name.
    pub spiffe_id: SpiffeId,
}

/// A handle on one session's credentials.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    identity: SessionIdentity,
    issuer: Issuer,
    state: watch::Sender<State>,
    streams: Arc<Semaphore>,
}

/// What everybody who asks looks at.
pub(crate) struct State {
    credentials: Credentials<X509Svid, Arc<JwtSvid>>,
    bundles: Arc<Bundles>,
}

/// The session's task cannot go on; us.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A task of it panicked.
    #[error("a task of the session failed")]
    Join(#[source] JoinError),
}

enum Done {
    X509(Result<X509Svid, Failure>),
    Jwt(Audiences, Result<JwtSvid, Failure>),
    Recorded(Wanted, Generation, Result<(), Failure>),
}

impl Session {
    fn new(
        issuer: Issuer,
        identity: SessionIdentity,
        credentials: Credentials<X509Svid, Arc<JwtSvid>>,
    ) -> Self {
        let bundles = issuer.bundles().borrow().clone();
        Self {
            shared: Arc::new(Shared {
                identity,
                issuer,
                state: watch::Sender::new(State {
                    credentials,
                    bundles,
                }),
                streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            }),
        }
    }

    /// Whose it is.
    pub fn identity(&self) -> &SessionIdentity {
        &self.shared.identity
    }

    /// Ends the session's identity at once and for good: what is held is dropped and zeroized,
    /// open streams end, and every request from now on is told that no identity is issued.
    pub fn revoke(&self) {
        self.shared
            .state
            .send_modify(|state| state.credentials.end());
    }

    /// Takes the session's identity away for as long as its host may do nothing: what is held is dropped and zeroized,
    /// open streams end, and every request is told that no identity is issued.
    pub fn suspend(&self) {
        self.shared
            .state
            .send_modify(|state| state.credentials.suspend());
    }

    /// Gives it back, made anew, unless the session has ended.
    pub fn restore(&self) {
        self.shared
            .state
            .send_modify(|state| state.credentials.restore());
    }

    /// The X.509-SVID, made if there is none yet.
    ///
    /// # Errors
    /// [`Refusal`] if there is none to be had.
    pub async fn x509(&self) -> Result<X509Svid, Refusal> {
        let mut changes = self.changes();
        loop {
            if let Some(answer) = settled(self.ask_x509()) {
                return answer.map(|(svid, _)| svid);
            }
            changed(&mut changes).await?;
        }
    }

    /// A JWT-SVID for these audiences. One that is in use is replaced when half of its life is
    /// over, before it is asked for again; one that is not is forgotten then.
    ///
    /// # Errors
    /// [`Refusal`] if there is none to be had.
    pub async fn jwt(&self, audiences: &Audiences) -> Result<Arc<JwtSvid>, Refusal> {
        let mut changes = self.changes();
        loop {
            let answer = self.ask(|credentials, now| credentials.ask_jwt(audiences, now));
            if let Some(answer) = settled(answer) {
                return answer.map(|(svid, _)| svid);
            }
            changed(&mut changes).await?;
        }
    }

    /// Judges somebody's JWT-SVID by the bundle of its subject's trust domain (JWT-SVID §4).
    ///
    /// # Errors
    /// [`JwtError`] if the token is not valid for `audience`.
    pub fn validate(&self, token: &str, audience: &str) -> Result<Validated, JwtError> {
        let own = self.identity().spiffe_id.trust_domain();
        let bundles = self.bundles();
        let claimed = jwt::read(token)?.claims.subject;
        let bundle = bundles.of(own, claimed.trust_domain());
        let bundle = bundle.ok_or(JwtError::TrustDomain)?;
        jwt::validate(token, audience, claimed.trust_domain(), bundle, self.now())
    }

    /// Keeps the credentials fresh until `stop`. Without it, whoever asks waits.
    ///
    /// # Errors
    /// [`TaskError`] if a part of it fails; the session cannot go on then.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), TaskError> {
        let mut changes = self.changes();
        let mut bundles = self.shared.issuer.bundles();
        // It may have changed since the session was made.
        bundles.mark_changed();
        let mut work = JoinSet::new();
        loop {
            let sleep = self.advance(&mut work);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                done = work.join_next(), if !work.is_empty() => {
                    if let Some(done) = done {
                        self.finish(done.map_err(TaskError::Join)?);
                    }
                }
                // An authority that went away leaves the bundle as it last was.
                Ok(()) = bundles.changed() => {
                    let new = bundles.borrow_and_update().clone();
                    self.shared.state.send_modify(|state| state.bundles = new);
                }
                Ok(()) = changes.changed() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    pub(crate) fn changes(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    pub(crate) fn ask_x509(&self) -> Answer<X509Svid> {
        self.ask(|credentials, now| credentials.ask_x509(now))
    }

    pub(crate) fn standing(&self) -> Result<(), Refusal> {
        self.shared.state.borrow().credentials.standing()
    }

    pub(crate) fn bundles(&self) -> Arc<Bundles> {
        self.shared.state.borrow().bundles.clone()
    }

    pub(crate) fn streams(&self) -> Arc<Semaphore> {
        self.shared.streams.clone()
    }

    fn now(&self) -> Timestamp {
        self.shared.issuer.now()
    }

    fn ask<C>(
        &self,
        question: impl FnOnce(
            &mut Credentials<X509Svid, Arc<JwtSvid>>,
            Timestamp,
        ) -> (Answer<C>, Change),
    ) -> Answer<C> {
        let mut answer = Answer::Pending;
        let now = self.now();
        self.shared.state.send_if_modified(|state| {
            let (given, change) = question(&mut state.credentials, now);
            answer = given;
            change == Change::Some
        });
        answer
    }

    /// Starts what is due; says how long nothing else will be.
    fn advance(&self, work: &mut JoinSet<Done>) -> Duration {
        let now = self.now();
        let mut effects = Vec::new();
        let mut wake = None;
        self.shared.state.send_if_modified(|state| {
            let (due, change) = state.credentials.poll(now);
            effects = due;
            wake = state.credentials.wake_at(now);
            change == Change::Some
        });
        for effect in effects {
            let issuer = self.shared.issuer.clone();
            let identity = self.identity().clone();
            work.spawn(async move {
                match effect {
                    Effect::Sign(Wanted::X509) => Done::X509(issuer.x509(&identity).await),
                    Effect::Sign(Wanted::Jwt(audiences)) => {
                        let signed = issuer.jwt(&identity, &audiences).await;
                        Done::Jwt(audiences, signed)
                    }
                    Effect::Record {
                        wanted,
                        generation,
                        not_after,
                    } => {
                        let recorded = issuer.record(&identity, &wanted, not_after).await;
                        Done::Recorded(wanted, generation, recorded)
                    }
                }
            });
        }
        wake.map_or(LONGEST_SLEEP, |at| at.since(now).min(LONGEST_SLEEP))
    }

    fn finish(&self, done: Done) {
        let session = self.identity().session;
        let now = self.now();
        self.shared.state.send_modify(|state| match done {
            Done::X509(result) => {
                let signed = result.map(|credential| Signed {
                    not_after: credential.not_after(),
                    credential,
                });
                let signed = signed.map_err(|failure| refused(session, failure));
                state.credentials.signed_x509(signed, now);
            }
            Done::Jwt(audiences, result) => {
                let signed = result.map(|credential| Signed {
                    not_after: credential.not_after(),
                    credential: Arc::new(credential),
                });
                let signed = signed.map_err(|failure| refused(session, failure));
                state.credentials.signed_jwt(&audiences, signed, now);
            }
            Done::Recorded(wanted, generation, result) => {
                let recorded = result.map_err(|failure| refused(session, failure));
                (state.credentials).recorded(&wanted, generation, recorded, now);
            }
        });
    }
}

/// Waits for a change of what is shared; the sender lives in every handle.
pub(crate) async fn changed(changes: &mut watch::Receiver<State>) -> Result<(), Refusal> {
    (changes.changed().await).map_err(|_| Refusal::NoIdentity)
}

fn settled<C>(answer: Answer<C>) -> Option<Result<(C, Generation), Refusal>> {
    match answer {
        Answer::Ready(credential, generation) => Some(Ok((credential, generation))),
        Answer::Refused(why) => Some(Err(why)),
        Answer::Pending => None,
    }
}
