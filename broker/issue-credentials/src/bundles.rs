//! The bundle of this host's trust domain, and those of the others that it federates with.
//!
//! An SVID is judged by the bundle of its own trust domain and by no other: one trust domain must never vouch for another.

use std::collections::BTreeMap;

use holdfast_protocol::id::TrustDomain;
use prost::bytes::Bytes;

use crate::bundle::Bundle;

/// All bundles that are served and used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundles {
    own: Bundle,
    federated: BTreeMap<TrustDomain, Bundle>,
}

impl Bundles {
    /// None is known yet.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// These. What is given for this host's own trust domain among the others is not used.
    pub fn new(own: Bundle, federated: BTreeMap<TrustDomain, Bundle>) -> Self {
        Self { own, federated }
    }

    /// Of this host's trust domain.
    pub(crate) fn own(&self) -> &Bundle {
        &self.own
    }

    /// Of a trust domain, seen from a session of `own`; `None` where it is not federated with.
    pub(crate) fn of(&self, own: &TrustDomain, wanted: &TrustDomain) -> Option<&Bundle> {
        if wanted == own {
            Some(&self.own)
        } else {
            self.federated.get(wanted)
        }
    }

    /// A part of the bundles of the others than `own`, by the SPIFFE IDs of their trust domains, where they have it.
    pub(crate) fn federated(
        &self,
        own: &TrustDomain,
        part: impl Fn(&Bundle) -> Option<Bytes>,
    ) -> BTreeMap<String, Bytes> {
        let others = self.federated.iter().filter(|(name, _)| *name != own);
        others
            .filter_map(|(name, bundle)| Some((name.id(), part(bundle)?)))
            .collect()
    }
}
