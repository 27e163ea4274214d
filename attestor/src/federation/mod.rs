//! Other trust domains: their bundles are fetched, kept, and given to hosts (SPIFFE Federation).
//!
//! [`state`] judges and [`task`] does the rest. Whom one federates with is the configuration's alone; every host and agent
//! gets all of those. It must never take a bundle for our own trust domain, nor one that nobody vouched for.

pub mod document;
mod fetch;
mod keep;
mod state;
mod task;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_proof::hash::sha256;
use holdfast_protocol::bundles::TrustBundle;
use holdfast_protocol::id::{SpiffeId, TrustDomain};
use holdfast_protocol::{Sha256Digest, Timestamp};
use tokio::sync::watch;

pub use document::{Document, DocumentError};
pub use fetch::{BundleUrl, InvalidBundleUrl};
pub use keep::{Keep, KeepError};
pub use state::{Known, Peer};
pub(crate) use task::run;

/// The most trust domains that one federates with: as many as hosts take.
pub const MAX_PEERS: usize = holdfast_protocol::bundles::MAX_FEDERATED;

/// Where another trust domain's bundle comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file that the operator keeps.
    File(PathBuf),
    /// An endpoint that shows an SVID (`https_spiffe`, SPIFFE Federation §5.2.2).
    Spiffe {
        /// Where.
        url: BundleUrl,
        /// Whose SVID.
        endpoint: SpiffeId,
        /// The bundle that vouches for it at first.
        initial: PathBuf,
    },
    /// An endpoint that shows a Web certificate (`https_web`, §5.2.1).
    Web {
        /// Where.
        url: BundleUrl,
        /// The roots that vouch for it; the system's where none are named.
        ca_file: Option<PathBuf>,
    },
}

/// All trust domains that one federates with, as they are known now.
#[derive(Debug)]
pub struct Federation {
    sources: BTreeMap<TrustDomain, Source>,
    keep: Keep,
    known: watch::Sender<Snapshot>,
}

/// What is known of all of them at one moment.
#[derive(Clone, Debug)]
struct Snapshot {
    peers: BTreeMap<TrustDomain, Arc<Peer>>,
    /// Names what hosts get of it.
    digest: Sha256Digest,
}

impl Federation {
    /// With nobody.
    pub fn none() -> Self {
        Self::of(BTreeMap::new(), Keep::new(Path::new("")), BTreeMap::new())
    }

    /// With these, as they were kept.
    ///
    /// # Errors
    /// [`KeepError`] if what was kept cannot be read.
    pub fn open(
        sources: BTreeMap<TrustDomain, Source>,
        keep: Keep,
        now: Timestamp,
    ) -> Result<Self, KeepError> {
        let mut peers = BTreeMap::new();
        for name in sources.keys() {
            peers.insert(name.clone(), Arc::new(keep.load(name, now)?));
        }
        Ok(Self::of(sources, keep, peers))
    }

    fn of(
        sources: BTreeMap<TrustDomain, Source>,
        keep: Keep,
        peers: BTreeMap<TrustDomain, Arc<Peer>>,
    ) -> Self {
        let digest = digest(&peers);
        Self {
            sources,
            keep,
            known: watch::Sender::new(Snapshot { peers, digest }),
        }
    }

    /// How it stands with each.
    pub fn peers(&self) -> BTreeMap<TrustDomain, Arc<Peer>> {
        self.known.borrow().peers.clone()
    }

    /// What each is known by, for hosts.
    pub fn bundles(&self) -> BTreeMap<TrustDomain, TrustBundle> {
        bundles(&self.known.borrow().peers)
    }

    /// Names that: another value means other keys.
    pub fn digest(&self) -> Sha256Digest {
        self.known.borrow().digest
    }

    /// Waits until it is another than `before`.
    pub(crate) async fn changed(&self, before: Sha256Digest) {
        let mut known = self.known.subscribe();
        // The sender lives as long as this.
        let _ = known.wait_for(|known| known.digest != before).await;
    }

    fn publish(&self, of: &TrustDomain, peer: &Peer) {
        let peer = Arc::new(peer.clone());
        self.known.send_modify(|known| {
            known.peers.insert(of.clone(), peer);
            known.digest = digest(&known.peers);
        });
    }
}

fn bundles(peers: &BTreeMap<TrustDomain, Arc<Peer>>) -> BTreeMap<TrustDomain, TrustBundle> {
    let known = peers.iter().filter_map(|(name, peer)| {
        let document = &peer.known.as_ref()?.document;
        let bundle = TrustBundle {
            x509_authorities: document.x509_authorities().to_vec(),
            jwks: document.jwks(),
        };
        Some((name.clone(), bundle))
    });
    known.collect()
}

fn digest(peers: &BTreeMap<TrustDomain, Arc<Peer>>) -> Sha256Digest {
    let mut all = Vec::new();
    for (name, bundle) in bundles(peers) {
        let authorities = bundle.x509_authorities.iter().map(Vec::as_slice);
        let texts = [name.as_str().as_bytes(), bundle.jwks.as_bytes()];
        for part in texts.into_iter().chain(authorities) {
            all.extend_from_slice(sha256(part).as_bytes());
        }
        // A name's digest is no certificate's, so that nothing can be taken for another trust domain's.
        all.push(0);
    }
    sha256(&all)
}
