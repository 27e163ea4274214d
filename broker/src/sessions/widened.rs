//! What a human adds to one session, in bounds.
//!
//! It must never take the command line's word for what is lent: that is known by the descriptors.

use std::num::NonZeroU16;

use holdfast_protocol::decision::DeniedBy;
use holdfast_protocol::management::FailureKind;
use holdfast_protocol::widening::{HostName, MAX_WIDENINGS, Publish, Reach, Widening};

/// A session is not widened, and so not made.
#[derive(Debug, thiserror::Error)]
pub enum NotWidened {
    /// There are too many.
    #[error("a session takes at most {MAX_WIDENINGS} of --reach, --host and --publish")]
    TooMany,
    /// A port of the session's loopback would lead to two places.
    #[error("port {0} of the session's own 127.0.0.1 is taken: it can lead to one place only")]
    Taken(NonZeroU16),
    /// What is lent comes as a descriptor, and is known by it.
    #[error("`{0}` is no widening by itself: what is lent comes with a descriptor")]
    Lent(Widening),
    /// There are too many.
    #[error("a session takes at most {MAX_LIFTED} lifted guards")]
    Lifted,
    /// Somebody said no.
    #[error("the session may not be widened: {why}")]
    Denied {
        /// Who.
        by: DeniedBy,
        /// Why.
        why: String,
    },
    /// Its human has taken the question back, or gone.
    #[error("interrupted: the question was taken back, and there is no session")]
    Withdrawn,
    /// This host may not act any more.
    #[error("this host was stopped while the question waited, and no session was made")]
    Held,
    /// The broker is stopping.
    #[error("the broker is stopping, and no session was made")]
    Stopping,
    /// The question cannot be put.
    #[error("the policy cannot be asked about the session's widening")]
    Unasked,
}

impl NotWidened {
    /// What kind of failure this is for the command line.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::TooMany | Self::Taken(_) | Self::Lent(_) | Self::Lifted => FailureKind::Usage,
            Self::Denied { by, .. } => match by {
                DeniedBy::Policy | DeniedBy::PolicyError => FailureKind::DeniedByPolicy,
                DeniedBy::Human | DeniedBy::Silence => FailureKind::DeniedByHuman,
                DeniedBy::Audit | DeniedBy::Session => FailureKind::Failed,
            },
            Self::Held => FailureKind::NotAttested,
            Self::Withdrawn | Self::Stopping | Self::Unasked => FailureKind::Failed,
        }
    }

    /// What the human can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Denied {
                by: DeniedBy::Policy | DeniedBy::PolicyError,
                ..
            } => "leave the flag out, or ask whoever keeps this host's policy",
            Self::Denied {
                by: DeniedBy::Human,
                ..
            } => "leave out what was denied",
            Self::Denied {
                by: DeniedBy::Silence,
                ..
            } => "start it again, and answer in the tray or with `holdfast approvals`",
            Self::Denied {
                by: DeniedBy::Audit | DeniedBy::Session,
                ..
            }
            | Self::Unasked => "see holdfastd's log",
            Self::Withdrawn => "start it again when it is wanted",
            Self::Held => "see `holdfast status`",
            Self::Stopping => "start it again when holdfastd runs",
            Self::TooMany | Self::Taken(_) | Self::Lent(_) | Self::Lifted => {
                "see `holdfast run --help` for --reach, --host, --publish and --unguard"
            }
        }
    }
}

/// The most guards that are lifted: as many as a project has at the most.
const MAX_LIFTED: usize = 48;

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
        let lifted = (wished.iter())
            .filter(|widening| matches!(widening, Widening::Unguard(_)))
            .count();
        if lifted > MAX_LIFTED {
            return Err(NotWidened::Lifted);
        }
        if wished.len() - lifted > MAX_WIDENINGS {
            return Err(NotWidened::TooMany);
        }
        let mut all: Vec<Widening> = Vec::new();
        for widening in wished {
            if matches!(widening, Widening::Read(_) | Widening::Write(_)) {
                return Err(NotWidened::Lent(widening));
            }
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

    /// With what is known by the descriptors.
    pub fn with(mut self, known: impl IntoIterator<Item = Widening>) -> Self {
        for widening in known {
            if !self.all.contains(&widening) {
                self.all.push(widening);
            }
        }
        self
    }

    /// All of them.
    pub fn all(&self) -> &[Widening] {
        &self.all
    }

    /// Hosts and ports that the session may reach though they be the host's or its network's.
    pub fn reaches(&self) -> impl Iterator<Item = &Reach> {
        self.all.iter().filter_map(|widening| match widening {
            Widening::Reach(reach) => Some(reach),
            Widening::Host(_)
            | Widening::Publish(_)
            | Widening::Read(_)
            | Widening::Write(_)
            | Widening::Unguard(_) => None,
        })
    }

    /// Ports of its own that are shown on the host.
    pub fn publishes(&self) -> impl Iterator<Item = Publish> {
        self.all.iter().filter_map(|widening| match widening {
            Widening::Publish(publish) => Some(*publish),
            Widening::Reach(_)
            | Widening::Host(_)
            | Widening::Read(_)
            | Widening::Write(_)
            | Widening::Unguard(_) => None,
        })
    }

    /// Every host that is named, with a port or without.
    pub fn names(&self) -> impl Iterator<Item = &HostName> {
        self.all.iter().filter_map(|widening| match widening {
            Widening::Reach(reach) => Some(&reach.host),
            Widening::Host(host) => Some(host),
            Widening::Publish(_)
            | Widening::Read(_)
            | Widening::Write(_)
            | Widening::Unguard(_) => None,
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
        let lent = vec!["--rw /srv".parse().unwrap()];
        assert!(matches!(read(lent), Err(NotWidened::Lent(_))));
        let lifted = (0..49).map(|n| format!("--unguard {n}").parse().unwrap());
        assert!(matches!(read(lifted.collect()), Err(NotWidened::Lifted)));
        let many = (1..=33).map(|port| reach(&format!("a:{port}"))).collect();
        assert!(matches!(read(many), Err(NotWidened::TooMany)));
    }
}
