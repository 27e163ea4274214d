//! The streams: the whole state at once, and again whenever it changes (SPIFFE_Workload_API §4.3).
//!
//! A stream ends with the status that says why there is nothing more: a revoked session's with
//! PermissionDenied, which tells the client to put away what it has (§5.2.1). This module must
//! never send a part of the state, or the same state twice.

use std::collections::{BTreeMap, HashMap};

use futures::stream;
use prost::bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Admission, Messages, Workload, api};
use crate::bundle::Bundle;
use crate::state::{Answer, Generation, Refusal};
use crate::task::{Session, State, changed};

/// The session's X.509-SVIDs with key and bundle: one, the default identity.
pub(super) fn x509_svids(workload: &Workload) -> Result<Messages<api::X509svidResponse>, Status> {
    open(
        workload,
        |session, last: &mut Option<(Generation, Bytes, BTreeMap<String, Bytes>)>| {
            let (svid, generation) = match session.ask_x509() {
                Answer::Ready(svid, generation) => (svid, generation),
                Answer::Pending => return Ok(None),
                Answer::Refused(why) => return Err(why),
            };
            let bundles = session.bundles();
            let bundle = bundles.own().x509().ok_or(Refusal::Unavailable)?;
            let own = session.identity().spiffe_id.trust_domain();
            let federated = bundles.federated(own, Bundle::x509);
            if !is_news(last, (generation, bundle.clone(), federated.clone())) {
                return Ok(None);
            }
            Ok(Some(api::X509svidResponse {
                svids: vec![api::X509svid {
                    spiffe_id: session.identity().spiffe_id.to_string(),
                    x509_svid: svid.chain().clone(),
                    x509_svid_key: svid.key().clone(),
                    bundle,
                    hint: String::new(),
                }],
                crl: Vec::new(),
                federated_bundles: federated.into_iter().collect(),
            }))
        },
    )
}

/// The X.509 bundles of the session's trust domain and of those that it federates with.
pub(super) fn x509_bundles(
    workload: &Workload,
) -> Result<Messages<api::X509BundlesResponse>, Status> {
    open(workload, |session, last| {
        let bundles = bundles(session, last, Bundle::x509)?;
        Ok(bundles.map(|bundles| api::X509BundlesResponse {
            crl: Vec::new(),
            bundles,
        }))
    })
}

/// The JWT bundles of the session's trust domain and of those that it federates with.
pub(super) fn jwt_bundles(
    workload: &Workload,
) -> Result<Messages<api::JwtBundlesResponse>, Status> {
    open(workload, |session, last| {
        let bundles = bundles(session, last, Bundle::jwks)?;
        Ok(bundles.map(|bundles| api::JwtBundlesResponse { bundles }))
    })
}

fn bundles(
    session: &Session,
    last: &mut Option<BTreeMap<String, Bytes>>,
    part: impl Fn(&Bundle) -> Option<Bytes>,
) -> Result<Option<HashMap<String, Bytes>>, Refusal> {
    session.standing()?;
    let bundles = session.bundles();
    let trust_domain = session.identity().spiffe_id.trust_domain();
    let own = part(bundles.own()).ok_or(Refusal::Unavailable)?;
    let mut all = bundles.federated(trust_domain, part);
    all.insert(trust_domain.id(), own);
    Ok(is_news(last, all.clone()).then(|| all.into_iter().collect()))
}

fn is_news<S: PartialEq>(last: &mut Option<S>, state: S) -> bool {
    last.replace(state) != *last
}

/// A stream that sends what `look` finds: the next message, nothing new, or the end.
fn open<T, S, F>(workload: &Workload, look: F) -> Result<Messages<T>, Status>
where
    T: Send + 'static,
    S: Send + 'static,
    F: Fn(&Session, &mut Option<S>) -> Result<Option<T>, Refusal> + Send + 'static,
{
    let Workload {
        session,
        admission,
        stop,
    } = workload;
    admission.check()?;
    let permit = session.streams().try_acquire_owned();
    let open = Open {
        changes: session.changes(),
        session: session.clone(),
        admission: admission.clone(),
        stop: stop.clone(),
        last: None,
        look,
        _permit: permit.map_err(|_| Refusal::Busy)?,
    };
    Ok(Box::pin(stream::unfold(Some(open), async |open| {
        let mut open = open?;
        match open.next().await {
            Ok(message) => Some((Ok(message), Some(open))),
            Err(why) => Some((Err(why.into()), None)),
        }
    })))
}

struct Open<S, F> {
    session: Session,
    admission: Admission,
    stop: CancellationToken,
    changes: watch::Receiver<State>,
    last: Option<S>,
    look: F,
    _permit: OwnedSemaphorePermit,
}

impl<S, F> Open<S, F> {
    async fn next<T>(&mut self) -> Result<T, Refusal>
    where
        F: Fn(&Session, &mut Option<S>) -> Result<Option<T>, Refusal>,
    {
        loop {
            self.admission.check()?;
            if let Some(message) = (self.look)(&self.session, &mut self.last)? {
                return Ok(message);
            }
            let change = changed(&mut self.changes);
            tokio::select! {
                () = self.admission.ended() => return Err(Refusal::NoIdentity),
                // The session lives on: the client is to come back, not to put its identity away.
                () = self.stop.cancelled() => return Err(Refusal::Unavailable),
                change = change => change?,
            }
        }
    }
}
