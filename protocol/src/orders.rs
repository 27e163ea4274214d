//! What an attestor tells a host that listens: whether it may go on, and whether it is to attest anew.
//!
//! Each message is the whole state, never a change to one, so that a stream that broke has lost nothing once the next one
//! has begun. What is parsed here is bounded and not yet acted on.

use std::time::Duration;

use crate::wire::attestor::{HostOrders, WatchRequest};
use crate::wire::{WireError, bounded};
use crate::{Sha256Digest, Timestamp};

/// The longest reason, in bytes.
pub const MAX_WHY: usize = 1024;

/// The longest silence that an attestor may announce.
const MAX_SILENCE: Duration = Duration::from_secs(3600);

/// The largest message of a stream, in bytes.
pub const MAX_MESSAGE: usize = MAX_WHY + 256;

/// Which run of a broker listens: random bits, drawn at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(pub [u8; 16]);

/// Whether a host may have identities, as its attestor tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostStanding {
    /// It may.
    Active,
    /// It may not until an operator lets it.
    Banned {
        /// In the operator's words; empty where policy keeps them.
        why: String,
    },
    /// It may not, ever again.
    Revoked {
        /// In the operator's words; empty where policy keeps them.
        why: String,
    },
}

/// All that an attestor has to say to one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders {
    /// Whether it may go on.
    pub standing: HostStanding,
    /// When an operator asked for a new attestation, if one did.
    pub reattest: Option<Timestamp>,
    /// Names the rules that its evidence is judged by.
    pub policy: Sha256Digest,
    /// Names the bundles that it gives, where it says which.
    pub bundles: Option<Sha256Digest>,
    /// The attestor says something again within this time; its silence means that the stream is dead.
    pub next_within: Duration,
}

impl From<Instance> for WatchRequest {
    fn from(Instance(bits): Instance) -> Self {
        Self {
            instance: bits.to_vec(),
        }
    }
}

impl TryFrom<WatchRequest> for Instance {
    type Error = WireError;

    fn try_from(WatchRequest { instance }: WatchRequest) -> Result<Self, WireError> {
        instance
            .try_into()
            .map(Self)
            .map_err(|_| WireError::Range("instance"))
    }
}

impl From<Orders> for HostOrders {
    fn from(orders: Orders) -> Self {
        let Orders {
            standing,
            reattest,
            policy,
            bundles,
            next_within,
        } = orders;
        let (standing, why) = match standing {
            HostStanding::Active => ("active", String::new()),
            HostStanding::Banned { why } => ("banned", why),
            HostStanding::Revoked { why } => ("revoked", why),
        };
        Self {
            standing: standing.to_owned(),
            why: shortened(why),
            reattest: reattest.map_or(0, Timestamp::as_millis),
            policy: policy.as_bytes().to_vec(),
            bundles: bundles.map_or_else(Vec::new, |bundles| bundles.as_bytes().to_vec()),
            next_within: u32::try_from(next_within.as_secs()).unwrap_or(u32::MAX),
        }
    }
}

impl TryFrom<HostOrders> for Orders {
    type Error = WireError;

    fn try_from(message: HostOrders) -> Result<Self, WireError> {
        let HostOrders {
            standing,
            why,
            reattest,
            policy,
            next_within,
            bundles,
        } = message;
        let bundles = (!bundles.is_empty()).then(|| bundles.try_into().map(Sha256Digest::new));
        let why = String::from_utf8(bounded("why", why.into_bytes(), MAX_WHY)?)
            .map_err(|_| WireError::Range("why"))?;
        let next_within = Duration::from_secs(next_within.into());
        if next_within.is_zero() || next_within > MAX_SILENCE {
            return Err(WireError::Range("next_within"));
        }
        Ok(Self {
            standing: match standing.as_str() {
                "active" => HostStanding::Active,
                "banned" => HostStanding::Banned { why },
                "revoked" => HostStanding::Revoked { why },
                _ => return Err(WireError::Range("standing")),
            },
            reattest: (reattest > 0).then(|| Timestamp::from_millis(reattest)),
            policy: Sha256Digest::new(policy.try_into().map_err(|_| WireError::Range("policy"))?),
            bundles: bundles
                .transpose()
                .map_err(|_| WireError::Range("bundles"))?,
            next_within,
        })
    }
}

/// The beginning of a reason that is too long, cut between characters.
fn shortened(mut why: String) -> String {
    if why.len() > MAX_WHY {
        let end = (0..=MAX_WHY).rev().find(|at| why.is_char_boundary(*at));
        why.truncate(end.unwrap_or(0));
    }
    why
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn standing() -> impl Strategy<Value = HostStanding> {
        prop_oneof![
            Just(HostStanding::Active),
            "\\PC{0,200}".prop_map(|why| HostStanding::Banned { why }),
            "\\PC{0,200}".prop_map(|why| HostStanding::Revoked { why }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_is_read(
            standing in standing(),
            reattest in proptest::option::of(1_u64..1 << 50),
            policy: [u8; 32],
            bundles: Option<[u8; 32]>,
            seconds in 1_u64..3600,
        ) {
            let orders = Orders {
                standing,
                reattest: reattest.map(Timestamp::from_millis),
                policy: Sha256Digest::new(policy),
                bundles: bundles.map(Sha256Digest::new),
                next_within: Duration::from_secs(seconds),
            };
            prop_assert_eq!(Orders::try_from(HostOrders::from(orders.clone())).unwrap(), orders);
        }

        #[test]
        fn a_long_reason_is_cut_and_still_read(why in "\\PC{300,600}") {
            let sent = HostOrders::from(Orders {
                standing: HostStanding::Revoked { why: why.clone() },
                ..orders()
            });
            let Orders { standing: HostStanding::Revoked { why: read }, .. } = Orders::try_from(sent).unwrap() else {
                return Err(TestCaseError::fail("another standing"));
            };
            prop_assert!(why.starts_with(&read) && read.len() <= MAX_WHY);
        }
    }

    fn orders() -> Orders {
        Orders {
            standing: HostStanding::Active,
            reattest: None,
            policy: Sha256Digest::new([7; 32]),
            bundles: None,
            next_within: Duration::from_secs(20),
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let good = HostOrders::from(orders());
        let cases: [(&str, HostOrders); 6] = [
            (
                "standing",
                HostOrders {
                    standing: "paroled".to_owned(),
                    ..good.clone()
                },
            ),
            (
                "why",
                HostOrders {
                    why: "x".repeat(MAX_WHY + 1),
                    ..good.clone()
                },
            ),
            (
                "policy",
                HostOrders {
                    policy: vec![0; 31],
                    ..good.clone()
                },
            ),
            (
                "bundles",
                HostOrders {
                    bundles: vec![0; 31],
                    ..good.clone()
                },
            ),
            (
                "next_within",
                HostOrders {
                    next_within: 0,
                    ..good.clone()
                },
            ),
            (
                "next_within",
                HostOrders {
                    next_within: 3601,
                    ..good
                },
            ),
        ];
        for (field, message) in cases {
            let error = Orders::try_from(message).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
        let request = WatchRequest {
            instance: vec![0; 15],
        };
        assert!(Instance::try_from(request).is_err());
    }
}
