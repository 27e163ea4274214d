//! The bundles that an attestor gives a host: its own trust domain's, and those of the others that it federates with.
//!
//! What is parsed here is bounded and told apart by trust domain; certificates and keys are read by whoever serves them. A
//! trust domain that stands twice is an error, never the later of the two.

use std::collections::BTreeMap;

use crate::id::TrustDomain;
use crate::wire::attestor::{Bundle, FederatedBundle};
use crate::wire::{WireError, bounded};

/// The most trust domains that one may federate with.
pub const MAX_FEDERATED: usize = 16;

/// The most X.509 authorities, and the most JWT keys, of one trust domain.
pub const MAX_KEYS: usize = 64;

/// The largest bundle of one trust domain, in bytes.
pub const MAX_BUNDLE: usize = 256 * 1024;

/// The largest answer with all of them, in bytes.
pub const MAX_MESSAGE: usize = (MAX_FEDERATED + 1) * (2 * MAX_BUNDLE + 1024);

/// What vouches for the SVIDs of one trust domain, not yet read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustBundle {
    /// Its X.509 authorities, DER.
    pub x509_authorities: Vec<Vec<u8>>,
    /// The keys of its JWT-SVIDs: a JWK set (RFC 7517 §5).
    pub jwks: String,
}

/// All bundles that an attestor gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundles {
    /// Of its own trust domain.
    pub own: TrustBundle,
    /// Of those that it federates with.
    pub federated: BTreeMap<TrustDomain, TrustBundle>,
}

impl TrustBundle {
    fn parse(x509_authorities: Vec<Vec<u8>>, jwks: String) -> Result<Self, WireError> {
        let size = x509_authorities.iter().map(Vec::len).sum();
        for (field, size, limit) in [
            ("x509_authorities", x509_authorities.len(), MAX_KEYS),
            ("x509_authorities", size, MAX_BUNDLE),
        ] {
            if size > limit {
                return Err(WireError::TooLarge { field, size, limit });
            }
        }
        let jwks = bounded("jwks", jwks.into_bytes(), MAX_BUNDLE)?;
        Ok(Self {
            x509_authorities,
            jwks: String::from_utf8(jwks).map_err(|_| WireError::Range("jwks"))?,
        })
    }
}

impl TryFrom<Bundle> for Bundles {
    type Error = WireError;

    fn try_from(message: Bundle) -> Result<Self, WireError> {
        let Bundle {
            x509_authorities,
            jwks,
            federated,
        } = message;
        if federated.len() > MAX_FEDERATED {
            return Err(WireError::TooLarge {
                field: "federated",
                size: federated.len(),
                limit: MAX_FEDERATED,
            });
        }
        let mut others = BTreeMap::new();
        for bundle in federated {
            let FederatedBundle {
                trust_domain,
                x509_authorities,
                jwks,
            } = bundle;
            let wrong = || WireError::Range("federated.trust_domain");
            let name: TrustDomain = trust_domain.parse().map_err(|_| wrong())?;
            let bundle = TrustBundle::parse(x509_authorities, jwks)?;
            if others.insert(name, bundle).is_some() {
                return Err(wrong());
            }
        }
        Ok(Self {
            own: TrustBundle::parse(x509_authorities, jwks)?,
            federated: others,
        })
    }
}

impl From<Bundles> for Bundle {
    fn from(bundles: Bundles) -> Self {
        let Bundles { own, federated } = bundles;
        let federated = federated.into_iter().map(|(name, bundle)| FederatedBundle {
            trust_domain: name.to_string(),
            x509_authorities: bundle.x509_authorities,
            jwks: bundle.jwks,
        });
        Self {
            x509_authorities: own.x509_authorities,
            jwks: own.jwks,
            federated: federated.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use prost::Message;

    use super::*;

    fn bundles() -> Bundles {
        let bundle = |n: u8| TrustBundle {
            x509_authorities: vec![vec![n; 3]],
            jwks: format!("{{\"keys\":[{n}]}}"),
        };
        Bundles {
            own: bundle(1),
            federated: [("a.example", 2), ("b.example", 3)]
                .map(|(name, n)| (name.parse().unwrap(), bundle(n)))
                .into(),
        }
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let sent = Bundle::from(bundles());
        let bytes = sent.encode_to_vec();
        assert_eq!(
            Bundles::try_from(Bundle::decode(&*bytes).unwrap()).unwrap(),
            bundles()
        );
        // An attestor that federates with nobody, or is older than that.
        let alone = Bundle {
            federated: Vec::new(),
            ..sent
        };
        assert!(Bundles::try_from(alone).unwrap().federated.is_empty());
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let change = |change: fn(&mut Bundle)| {
            let mut message = Bundle::from(bundles());
            change(&mut message);
            Bundles::try_from(message).unwrap_err().to_string()
        };
        let doubled = change(|message| {
            let first = message.federated.first().unwrap().clone();
            message.federated.push(first);
        });
        assert!(doubled.contains("federated.trust_domain"), "{doubled}");
        let nameless =
            change(|message| message.federated.first_mut().unwrap().trust_domain.clear());
        assert!(nameless.contains("federated.trust_domain"), "{nameless}");
        let many = change(|message| {
            let first = message.federated.first().unwrap().clone();
            message.federated = vec![first; MAX_FEDERATED + 1];
        });
        assert!(many.contains("`federated` has 17"), "{many}");
        let large = change(|message| message.jwks = "x".repeat(MAX_BUNDLE + 1));
        assert!(large.contains("`jwks`"), "{large}");
        let large =
            change(|message| message.x509_authorities = vec![vec![0; MAX_BUNDLE / 2 + 1]; 2]);
        assert!(large.contains("`x509_authorities`"), "{large}");
        let many = change(|message| message.x509_authorities = vec![vec![0]; MAX_KEYS + 1]);
        assert!(many.contains("`x509_authorities` has 65"), "{many}");
    }
}
