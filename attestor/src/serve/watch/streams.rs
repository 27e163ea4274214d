//! Which brokers listen as which host, and whether two do that cannot have one TPM: pure.
//!
//! One host has one TPM, one TPM one broker, and a broker that starts anew leaves at most a dead connection behind, which
//! is found out within [`OVERLAP`]. Two that both go on for longer are a TPM that was copied. It must never take a broker
//! that reconnects for two.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use holdfast_protocol::orders::Instance;

/// How long two brokers of one host may seem to listen at once: longer than it takes to find a connection dead.
pub(super) const OVERLAP: Duration = Duration::from_secs(120);

/// How many brokers may listen as one host: one, and those that have died unnoticed.
const MAX_LISTENERS: usize = 4;

/// Names one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId(u64);

/// More brokers listen as one host than there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_LISTENERS} brokers listen as this host already; wait until they are found dead")]
pub(super) struct TooMany;

/// All streams; `T` is what tells one of news.
#[derive(Debug)]
pub(super) struct Streams<T> {
    hosts: BTreeMap<HostId, Vec<Listener<T>>>,
    next: u64,
}

#[derive(Debug)]
struct Listener<T> {
    id: StreamId,
    instance: Instance,
    remote: SocketAddr,
    since: Timestamp,
    twin: Twin,
    tell: T,
}

/// Whether somebody was told of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twin {
    Untold,
    Told,
}

/// Two brokers that listen as one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Twins {
    first: (Instance, SocketAddr),
    second: (Instance, SocketAddr),
    both_for: Duration,
}

impl fmt::Display for Twins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |Instance(bits): Instance| data_encoding::HEXLOWER.encode(&bits);
        write!(
            f,
            "brokers {} at {} and {} at {} have both listened for {} s: the TPM was copied, or its keys were",
            name(self.first.0),
            self.first.1,
            name(self.second.0),
            self.second.1,
            self.both_for.as_secs(),
        )
    }
}

impl<T> Default for Streams<T> {
    fn default() -> Self {
        Self {
            hosts: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<T> Streams<T> {
    /// A broker begins to listen. An older stream of the same broker is dropped for it.
    ///
    /// # Errors
    /// [`TooMany`].
    pub(super) fn open(
        &mut self,
        host: HostId,
        instance: Instance,
        remote: SocketAddr,
        now: Timestamp,
        tell: T,
    ) -> Result<StreamId, TooMany> {
        let listeners = self.hosts.entry(host).or_default();
        // It is one broker all the while, however often it reconnects.
        let before = listeners.iter().find(|other| other.instance == instance);
        let (since, twin) =
            before.map_or((now, Twin::Untold), |before| (before.since, before.twin));
        listeners.retain(|other| other.instance != instance);
        if listeners.len() >= MAX_LISTENERS {
            return Err(TooMany);
        }
        let id = StreamId(self.next);
        self.next += 1;
        listeners.push(Listener {
            id,
            instance,
            remote,
            since,
            twin,
            tell,
        });
        Ok(id)
    }

    /// A stream has ended.
    pub(super) fn close(&mut self, host: HostId, id: StreamId) {
        let Some(listeners) = self.hosts.get_mut(&host) else {
            return;
        };
        listeners.retain(|listener| listener.id != id);
        if listeners.is_empty() {
            self.hosts.remove(&host);
        }
    }

    /// The streams of one host, or all.
    pub(super) fn of(&self, host: Option<HostId>) -> impl Iterator<Item = &T> {
        let hosts = self
            .hosts
            .iter()
            .filter(move |(id, _)| host.is_none_or(|host| host == **id));
        hosts.flat_map(|(_, listeners)| listeners.iter().map(|listener| &listener.tell))
    }

    /// Two brokers that have both listened as this host for too long; each pair is told of once.
    pub(super) fn twins(&mut self, host: HostId, now: Timestamp) -> Option<Twins> {
        let listeners = self.hosts.get_mut(&host)?;
        let (first, others) = listeners.split_first_mut()?;
        let second = others.iter_mut().find(|other| {
            other.twin == Twin::Untold && now >= other.since.max(first.since) + OVERLAP
        })?;
        second.twin = Twin::Told;
        Some(Twins {
            first: (first.instance, first.remote),
            second: (second.instance, second.remote),
            both_for: now.since(second.since.max(first.since)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn host() -> HostId {
        HostId::from_random([1; 16])
    }

    fn remote() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 40_000))
    }

    #[test]
    fn two_that_go_on_are_told_of_once_and_in_words() {
        let mut streams = Streams::default();
        for instance in [1, 2] {
            let opened = streams.open(host(), Instance([instance; 16]), remote(), START, ());
            opened.unwrap();
        }
        assert_eq!(streams.twins(host(), START + OVERLAP / 2), None);
        let twins = streams.twins(host(), START + OVERLAP).unwrap().to_string();
        assert!(twins.contains("have both listened for 120 s"), "{twins}");
        assert_eq!(streams.twins(host(), START + OVERLAP * 2), None);
    }

    #[test]
    fn no_host_fills_the_table() {
        let mut streams = Streams::default();
        for instance in 0..4 {
            let opened = streams.open(host(), Instance([instance; 16]), remote(), START, ());
            opened.unwrap();
        }
        let fifth = streams.open(host(), Instance([9; 16]), remote(), START, ());
        assert_eq!(fifth, Err(TooMany));
        // One that is there may come back.
        let again = streams.open(host(), Instance([3; 16]), remote(), START, ());
        assert!(again.is_ok());
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Open(u8),
        Close(u8),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..3).prop_map(Step::Open),
            (0_u8..3).prop_map(Step::Close),
            (1_u64..200).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// The model: who listens and since when. Twins are told of only while two have listened for [`OVERLAP`], and a
        /// broker has one stream at most.
        #[test]
        fn twins_are_two_that_both_went_on(steps in prop::collection::vec(step(), 1..60)) {
            let mut streams = Streams::default();
            let mut model: BTreeMap<u8, (StreamId, Timestamp)> = BTreeMap::new();
            let mut now = START;
            for step in steps {
                match step {
                    Step::Open(broker) => {
                        let id = streams.open(host(), Instance([broker; 16]), remote(), now, broker).unwrap();
                        let since = model.get(&broker).map_or(now, |(_, since)| *since);
                        model.insert(broker, (id, since));
                    }
                    Step::Close(broker) => {
                        if let Some((id, _)) = model.remove(&broker) {
                            streams.close(host(), id);
                        }
                    }
                    Step::Wait(seconds) => now = now + Duration::from_secs(seconds),
                }
                let mut listening: Vec<u8> = streams.of(Some(host())).copied().collect();
                listening.sort_unstable();
                prop_assert_eq!(&listening, &model.keys().copied().collect::<Vec<_>>());
                let long = model.values().filter(|(_, since)| now >= *since + OVERLAP).count();
                if streams.twins(host(), now).is_some() {
                    prop_assert!(long >= 2, "{model:?}");
                }
            }
        }
    }
}
