//! What a human adds to one session's network: bounded, judged by the policy, on record before it begins.
//!
//! The policy may allow a widening, have the human asked, or forbid it; nothing is given in part. It must
//! never widen a session that has begun.

use std::num::NonZeroU16;

use holdfast_authorize_calls::state::Final;
use holdfast_authorize_calls::task::Authorizer;
use holdfast_authorize_calls::world::World;
use holdfast_policy::Taint;
use holdfast_protocol::call::{Caller, Channel, Effect, ToolCall, ToolName};
use holdfast_protocol::decision::DeniedBy;
use holdfast_protocol::id::CallId;
use holdfast_protocol::management::FailureKind;
use holdfast_protocol::widening::{HostName, MAX_WIDENINGS, Publish, Reach, Widening};
use serde_json::json;

use crate::ambient::random_bits;

/// A session is not widened, and so not made.
#[derive(Debug, thiserror::Error)]
pub enum NotWidened {
    /// There are too many.
    #[error("a session takes at most {MAX_WIDENINGS} of --reach, --host and --publish")]
    TooMany,
    /// A port of the session's loopback would lead to two places.
    #[error("port {0} of the session's own 127.0.0.1 is taken: it can lead to one place only")]
    Taken(NonZeroU16),
    /// Somebody said no.
    #[error("the session may not be widened: {why}")]
    Denied {
        /// Who.
        by: DeniedBy,
        /// Why.
        why: String,
    },
    /// The question cannot be put.
    #[error("the policy cannot be asked about the session's widening")]
    Unasked,
}

impl NotWidened {
    /// What kind of failure this is for the command line.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::TooMany | Self::Taken(_) => FailureKind::Usage,
            Self::Denied { by, .. } => match by {
                DeniedBy::Policy | DeniedBy::PolicyError => FailureKind::DeniedByPolicy,
                DeniedBy::Human | DeniedBy::Silence => FailureKind::DeniedByHuman,
                DeniedBy::Audit | DeniedBy::Session => FailureKind::Failed,
            },
            Self::Unasked => FailureKind::Failed,
        }
    }
}

/// Where a session's own resolver is.
const RESOLVER: NonZeroU16 = NonZeroU16::MIN.saturating_add(52);

/// The widenings of one session, in bounds.
#[derive(Clone, Debug, Default)]
pub struct Widened {
    all: Vec<Widening>,
}

impl Widened {
    /// What was wished for; `bridge` is a port that the session has already.
    pub fn read(wished: Vec<Widening>, bridge: NonZeroU16) -> Result<Self, NotWidened> {
        if wished.len() > MAX_WIDENINGS {
            return Err(NotWidened::TooMany);
        }
        let mut all: Vec<Widening> = Vec::new();
        for widening in wished {
            if !all.contains(&widening) {
                all.push(widening);
            }
        }
        let widened = Self { all };
        let mut taken = vec![bridge, RESOLVER];
        for port in widened.doors() {
            if taken.contains(&port) {
                return Err(NotWidened::Taken(port));
            }
            taken.push(port);
        }
        // What leads out with the session's rights is not to be led into from the host.
        let shown = widened
            .publishes()
            .find(|publish| taken.contains(&publish.inside));
        match shown {
            Some(publish) => Err(NotWidened::Taken(publish.inside)),
            None => Ok(widened),
        }
    }

    /// Has the policy judge them, and the human asked where it says so. On record when this returns.
    pub async fn ask(&self, authorizer: &Authorizer, caller: Caller) -> Result<(), NotWidened> {
        if self.all.is_empty() {
            return Ok(());
        }
        let id = CallId::from_random(random_bits().map_err(|_| NotWidened::Unasked)?);
        let typed: Vec<String> = self.all.iter().map(ToString::to_string).collect();
        let call = ToolCall {
            id,
            caller,
            channel: Channel::Launch,
            tool: ToolName::try_from("holdfast-run".to_owned()).map_err(|_| NotWidened::Unasked)?,
            arguments: json!({ "widen": typed }),
            cwd: "/".into(),
            effects: self
                .all
                .iter()
                .map(|widening| Effect::Widens {
                    widening: widening.clone(),
                })
                .collect(),
            received: authorizer.clock().now(),
        };
        match authorizer
            .decide(call, &World::default(), Taint::Clean)
            .await
        {
            Final::Allow { .. } => {
                authorizer.ended(id, "given".to_owned(), vec![]).await;
                Ok(())
            }
            Final::Deny { by, because } => Err(NotWidened::Denied {
                by,
                why: because.text,
            }),
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Widening] {
        &self.all
    }

    /// Hosts and ports that the session may reach though they be the host's or its network's.
    pub fn reaches(&self) -> impl Iterator<Item = &Reach> {
        self.all.iter().filter_map(|widening| match widening {
            Widening::Reach(reach) => Some(reach),
            Widening::Host(_) | Widening::Publish(_) => None,
        })
    }

    /// Ports of its own that are shown on the host.
    pub fn publishes(&self) -> impl Iterator<Item = Publish> {
        self.all.iter().filter_map(|widening| match widening {
            Widening::Publish(publish) => Some(*publish),
            Widening::Reach(_) | Widening::Host(_) => None,
        })
    }

    /// Every host that is named, with a port or without.
    pub fn names(&self) -> impl Iterator<Item = &HostName> {
        self.all.iter().filter_map(|widening| match widening {
            Widening::Reach(reach) => Some(&reach.host),
            Widening::Host(host) => Some(host),
            Widening::Publish(_) => None,
        })
    }

    /// Those that a port of the session's own loopback leads to.
    pub fn behind_doors(&self) -> impl Iterator<Item = &Reach> {
        self.reaches().filter(|reach| reach.door().is_some())
    }

    /// Those ports, in the same order.
    pub fn doors(&self) -> impl Iterator<Item = NonZeroU16> {
        self.reaches().filter_map(Reach::door)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn reach(text: &str) -> Widening {
        Widening::Reach(text.parse().unwrap())
    }

    fn read(wished: Vec<Widening>) -> Result<Widened, NotWidened> {
        Widened::read(wished, NonZeroU16::new(3128).unwrap())
    }

    #[test]
    fn only_the_hosts_own_loopback_has_doors() {
        let wished = vec![
            reach("localhost:5432"),
            reach("db.internal:5432"),
            reach("localhost:5432"),
            Widening::Host("crates.io".parse().unwrap()),
        ];
        let widened = read(wished).unwrap();
        assert_eq!(widened.all().len(), 3);
        assert_eq!(widened.reaches().count(), 2);
        let doors: Vec<u16> = widened.doors().map(NonZeroU16::get).collect();
        assert_eq!(doors, [5432]);
        assert_eq!(widened.behind_doors().count(), 1);
    }

    #[test]
    fn a_port_leads_to_one_place() {
        for wished in [
            vec![reach("localhost:3128")],
            vec![reach("localhost:53")],
            vec![Widening::Publish("3128".parse().unwrap())],
            vec![
                reach("localhost:5432"),
                Widening::Publish("8080:5432".parse().unwrap()),
            ],
            vec![reach("localhost:80"), reach("127.0.0.2:80")],
        ] {
            assert!(matches!(read(wished), Err(NotWidened::Taken(_))));
        }
        let many = (1..=33).map(|port| reach(&format!("a:{port}"))).collect();
        assert!(matches!(read(many), Err(NotWidened::TooMany)));
    }
}
