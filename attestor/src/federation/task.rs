//! Keeps the bundles of other trust domains fresh: one loop for each, which fetches when it is due.
//!
//! A bundle is on the disk before a host gets it. Whatever fails is told, and leaves the last good one where it is.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_proof::hash::sha256;
use holdfast_protocol::id::TrustDomain;
use holdfast_protocol::words::with_causes;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::document::{Document, DocumentError, MAX_BYTES};
use super::fetch::{self, FetchError};
use super::keep::KeepError;
use super::state::{Backwards, Change, Jitter, Peer, Voucher};
use super::tls::{self, TlsError};
use super::{Federation, Source};
use crate::random;
use crate::serve::now;

/// How often an operator's file is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The longest words that are kept of a failure, in characters.
const MAX_WORDS: usize = 500;

/// A bundle was not had.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("`{path}` cannot be read")]
    File {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("there is no bundle yet that could vouch for the endpoint")]
    NothingKnown,
    #[error("the endpoint cannot be verified")]
    Tls(#[from] TlsError),
    #[error("it was not fetched")]
    Fetch(#[from] FetchError),
    #[error("it is refused")]
    Document(#[from] DocumentError),
    #[error("it is refused")]
    Backwards(#[from] Backwards),
    #[error("it is not used")]
    Keep(#[from] KeepError),
}

/// Keeps all of them fresh until `stop`.
pub(crate) async fn run(federation: Arc<Federation>, stop: CancellationToken) {
    let mut loops = JoinSet::new();
    for (name, source) in federation.sources.clone() {
        let (federation, stop) = (Arc::clone(&federation), stop.clone());
        loops.spawn(async move {
            let known = federation.peers().get(&name).cloned();
            let Some(known) = known else { return };
            let peer = Peer::clone(&known);
            let kept = KeptFresh {
                federation,
                name,
                source,
                peer,
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = kept.run() => {}
            }
        });
    }
    while loops.join_next().await.is_some() {}
}

struct KeptFresh {
    federation: Arc<Federation>,
    name: TrustDomain,
    source: Source,
    peer: Peer,
}

impl KeptFresh {
    async fn run(mut self) {
        // What was kept may be old, or its source another by now.
        self.peer.due = now();
        loop {
            let operator = self.operators_file().await;
            let due = self.peer.due <= now();
            let outcome = match (operator, &self.source) {
                // What it is to vouch for is known: the file matters only where somebody means it to.
                (Err(failure), Source::Spiffe { .. }) if due && self.peer.known.is_some() => {
                    tracing::warn!(
                        trust_domain = %self.name,
                        error = with_causes(&failure),
                        "the operator's bundle of another trust domain is not taken"
                    );
                    Some(self.fetch().await)
                }
                (Err(failure), _) if due => Some(Err(failure)),
                (Ok(Some((document, voucher))), _) => Some(self.take(document, voucher)),
                (Ok(None), Source::File(_)) => {
                    self.unchanged();
                    None
                }
                (Ok(None) | Err(_), Source::Spiffe { .. } | Source::Web { .. }) if due => {
                    Some(self.fetch().await)
                }
                (Ok(None) | Err(_), _) => None,
            };
            if let Some(Err(failure)) = outcome {
                self.fail(&failure);
            }
            let wait = match self.source {
                Source::File(_) => LOOK,
                Source::Spiffe { .. } => self.peer.due.since(now()).min(LOOK),
                Source::Web { .. } => self.peer.due.since(now()),
            };
            tokio::time::sleep(wait.clamp(Duration::from_millis(100), LOOK * 12)).await;
        }
    }

    /// The operator's bundle, where it is another than the one that was taken last.
    async fn operators_file(&self) -> Result<Option<(Document, Voucher)>, Failure> {
        let (Source::File(path) | Source::Spiffe { initial: path, .. }) = &self.source else {
            return Ok(None);
        };
        let bytes = match read(path).await {
            Ok(bytes) => bytes,
            // What it said is known; it may be taken away then.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && self.peer.known.is_some()
                    && matches!(self.source, Source::Spiffe { .. }) =>
            {
                return Ok(None);
            }
            Err(source) => {
                return Err(Failure::File {
                    path: path.display().to_string(),
                    source,
                });
            }
        };
        let digest = sha256(&bytes);
        if self.peer.initial == Some(digest) {
            return Ok(None);
        }
        Ok(Some((Document::parse(&bytes)?, Voucher::Operator(digest))))
    }

    /// The operator's file is the one that was taken.
    fn unchanged(&mut self) {
        self.peer.due = now() + LOOK;
        if self.peer.error.take().is_some() {
            self.note();
        }
    }

    async fn fetch(&mut self) -> Result<(), Failure> {
        let (url, config) = match &self.source {
            Source::File(_) => return Ok(()),
            Source::Spiffe { url, endpoint, .. } => {
                let known = self.peer.known.as_ref().ok_or(Failure::NothingKnown)?;
                (url, tls::spiffe(endpoint, &known.document)?)
            }
            Source::Web { url, ca_file } => (url, tls::web(ca_file.as_deref())?),
        };
        let bytes = fetch::fetch(url, Arc::new(config)).await?;
        self.take(Document::parse(&bytes)?, Voucher::Endpoint)
    }

    /// Judges a bundle, keeps it, and gives it to hosts if it is another.
    fn take(&mut self, document: Document, voucher: Voucher) -> Result<(), Failure> {
        let mut peer = self.peer.clone();
        let change = peer.offered(document, voucher, now(), jitter())?;
        if matches!(voucher, Voucher::Operator(_)) && matches!(self.source, Source::Spiffe { .. }) {
            // It is only what the endpoint is known by.
            peer.due = now();
        }
        self.federation.keep.store(&self.name, &peer)?;
        self.peer = peer;
        if change == Change::Some {
            self.federation.publish(&self.name, &self.peer);
            let sequence = self
                .peer
                .known
                .as_ref()
                .and_then(|known| known.document.sequence());
            tracing::info!(trust_domain = %self.name, sequence, "another trust domain's bundle has changed");
        }
        Ok(())
    }

    fn fail(&mut self, failure: &Failure) {
        let why: String = with_causes(failure).chars().take(MAX_WORDS).collect();
        tracing::warn!(
            trust_domain = %self.name,
            error = why,
            "another trust domain's bundle was not had; what is known of it stays"
        );
        self.peer.failed(why, now(), jitter());
        self.note();
    }

    /// Keeps how it stands, for the operator's eyes: nothing depends on it.
    fn note(&self) {
        if let Err(error) = self.federation.keep.store(&self.name, &self.peer) {
            tracing::warn!(
                error = with_causes(&error),
                "how it stands with a bundle is not kept"
            );
        }
    }
}

async fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    // One more than is taken, so that what is longer is seen to be.
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .await?;
    Ok(bytes)
}

fn jitter() -> Jitter {
    // Without randomness there is no spread, and all else goes on.
    Jitter(random::bytes().map_or(u16::MAX / 2, u16::from_ne_bytes))
}
