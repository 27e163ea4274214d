//! The events of one boot, as they are kept beside the PCR values that they gave: bounded, in one bank.
//!
//! The digests count as far as they replay to a quoted value ([`BootEvents::value`]); the words beside them are for people
//! alone. Nothing may be decided by them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::describe::{self, describe};
use super::record::{EventLog, MalformedLog};
use super::replay::{self, STARTUP_LOCALITY};
use crate::systemd_log::Record;
use crate::tpm::{Digest, HashAlg, PcrIndex};

/// The most events that are kept of one PCR: firmware and loaders measure some dozens.
pub const MAX_EVENTS: usize = 128;

/// The events of a boot in the order in which they came, of the PCRs that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootEvents {
    bank: HashAlg,
    locality: u8,
    events: Vec<BootEvent>,
    cut: BTreeSet<PcrIndex>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootEvent {
    /// The PCR that it went into.
    pub pcr: PcrIndex,
    /// What it says that it is: the number of its type, or of systemd's kind; no digest covers it.
    pub kind: u32,
    /// What was measured.
    pub digest: Digest,
    /// What it is about: a variable's name, a path. Printable, and empty if it says nothing.
    pub about: String,
    /// A small number that it holds.
    pub content: Option<u64>,
    /// Whether its words are what was measured.
    pub words: Words,
}

/// Whose word an event's description is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Words {
    /// They hash to the digest.
    Measured,
    /// The host's alone: what was measured is something else, such as the program that the path names.
    Claimed,
}

/// How many events each PCR has.
type Counts = BTreeMap<PcrIndex, usize>;

impl Words {
    fn of(bound: bool) -> Self {
        if bound { Self::Measured } else { Self::Claimed }
    }
}

impl BootEvent {
    /// What kind of event it says that it is, in words.
    pub fn kind_words(&self) -> &'static str {
        describe::kind(self.kind)
    }
}

impl BootEvents {
    /// The events of a log, of some PCRs, in a bank; `None` if the log has no such bank.
    ///
    /// # Errors
    /// [`MalformedLog`] if it is none.
    pub fn of(
        log: &[u8],
        bank: HashAlg,
        pcrs: &BTreeSet<PcrIndex>,
    ) -> Result<Option<Self>, MalformedLog> {
        let log = EventLog::parse(log)?;
        if !log.banks().any(|has| has == bank) {
            return Ok(None);
        }
        let mut boot = Self::without_firmware(bank);
        let mut counts = Counts::default();
        for event in log.events() {
            let event = event?;
            let Some(pcr) = event.pcr else {
                if let Some([locality]) = event.data.strip_prefix(STARTUP_LOCALITY) {
                    boot.locality = *locality;
                }
                continue;
            };
            let digest = event
                .digest(bank)
                .and_then(|digest| Digest::new(bank, digest));
            let Some(digest) = digest.filter(|_| pcrs.contains(&pcr)) else {
                continue;
            };
            let described = describe(&event);
            let event = BootEvent {
                pcr,
                kind: event.kind.word(),
                digest,
                about: described.about,
                content: described.content,
                words: Words::of(event.is_bound(bank)),
            };
            boot.keep(event, &mut counts);
        }
        Ok(Some(boot))
    }

    /// A boot of whose firmware nothing is known, in a bank.
    pub fn without_firmware(bank: HashAlg) -> Self {
        Self {
            bank,
            locality: 0,
            events: Vec::new(),
            cut: BTreeSet::new(),
        }
    }

    /// The same boot, and what systemd measured after it into some PCRs.
    #[must_use]
    pub fn then(mut self, records: &[Record], pcrs: &BTreeSet<PcrIndex>) -> Self {
        let mut counts = Counts::default();
        for event in &self.events {
            *counts.entry(event.pcr).or_default() += 1;
        }
        for record in records {
            let pcr = record.pcr().filter(|pcr| pcrs.contains(pcr));
            let (Some(pcr), Some(digest)) = (pcr, record.digest(self.bank)) else {
                continue;
            };
            let event = BootEvent {
                pcr,
                kind: record.kind.word(),
                digest: digest.clone(),
                about: describe::plain(record.about().chars()),
                content: None,
                words: Words::of(record.is_bound(self.bank)),
            };
            self.keep(event, &mut counts);
        }
        self
    }

    fn keep(&mut self, event: BootEvent, counts: &mut Counts) {
        let count = counts.entry(event.pcr).or_default();
        *count += 1;
        if *count > MAX_EVENTS {
            self.cut.insert(event.pcr);
        } else {
            self.events.push(event);
        }
    }

    /// The bank of the digests.
    pub fn bank(&self) -> HashAlg {
        self.bank
    }

    /// All of the events, in order.
    pub fn iter(&self) -> impl Iterator<Item = &BootEvent> + '_ {
        self.events.iter()
    }

    /// The events of a PCR, in order; not all of them if it had more than [`MAX_EVENTS`].
    pub fn of_pcr(&self, pcr: PcrIndex) -> impl Iterator<Item = &BootEvent> + '_ {
        self.events.iter().filter(move |event| event.pcr == pcr)
    }

    /// The value that the events give a PCR; `None` if not all of its events are here.
    pub fn value(&self, pcr: PcrIndex) -> Option<Digest> {
        let digests = self.of_pcr(pcr).map(|event| &event.digest);
        let whole = !self.cut.contains(&pcr);
        whole
            .then(|| replay::chained(self.bank, pcr, self.locality, digests))
            .flatten()
    }

    /// The same boot with every event of one digest measuring another, and the PCRs that this changes.
    pub fn with_replaced(&self, old: &Digest, new: &Digest) -> (Self, BTreeSet<PcrIndex>) {
        let mut boot = self.clone();
        let mut changed = BTreeSet::new();
        for event in &mut boot.events {
            if event.digest == *old {
                event.digest = new.clone();
                // Nobody has seen what is measured then.
                event.words = Words::Claimed;
                changed.insert(event.pcr);
            }
        }
        (boot, changed)
    }
}

/// As it is written down.
#[derive(Serialize, Deserialize)]
struct Kept {
    bank: HashAlg,
    locality: u8,
    events: Vec<KeptEvent>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    cut: BTreeSet<PcrIndex>,
}

/// PCR, type, digest, what it is about, content, whose word that is.
#[derive(Serialize, Deserialize)]
struct KeptEvent(PcrIndex, u32, String, String, Option<u64>, Words);

impl Serialize for BootEvents {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = |event: &BootEvent| {
            KeptEvent(
                event.pcr,
                event.kind,
                data_encoding::HEXLOWER.encode(event.digest.as_bytes()),
                event.about.clone(),
                event.content,
                event.words,
            )
        };
        let kept = Kept {
            bank: self.bank,
            locality: self.locality,
            events: self.events.iter().map(event).collect(),
            cut: self.cut.clone(),
        };
        kept.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BootEvents {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kept = Kept::deserialize(deserializer)?;
        let event = |KeptEvent(pcr, kind, digest, about, content, words)| {
            let digest = data_encoding::HEXLOWER.decode(digest.as_bytes()).ok()?;
            Some(BootEvent {
                pcr,
                kind,
                digest: Digest::new(kept.bank, &digest)?,
                about,
                content,
                words,
            })
        };
        let events = kept.events.into_iter().map(event).collect::<Option<_>>();
        Ok(Self {
            bank: kept.bank,
            locality: kept.locality,
            events: events
                .ok_or_else(|| serde::de::Error::custom("a digest has another length"))?,
            cut: kept.cut,
        })
    }
}
