//! The records of a crypto-agile log, front to back (§10.2; integers little-endian).
//!
//! A length is believed only once that many bytes are there; after an error nothing is read.

use crate::tpm::{HashAlg, PcrIndex};

/// How the first record names the format (§10.4.5.1), with its terminating zero.
const SPEC_ID: &[u8] = b"Spec ID Event03\0";

/// The most banks that a log may have: the TCG's registry has fewer hash algorithms.
const MAX_ALGORITHMS: usize = 16;

/// The longest digest of any algorithm in the TCG's registry, in bytes.
const MAX_DIGEST: usize = 64;

/// The most bytes of one event: certificates and boot variables have some kilobytes, a db of Secure Boot some more.
const MAX_EVENT: usize = 1 << 20;

/// Why bytes are not an event log. The host that sent them is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedLog {
    /// The bytes end inside a record.
    #[error("the record at byte {offset} ends inside its {field}")]
    Truncated {
        /// Where the record begins.
        offset: usize,
        /// The field.
        field: &'static str,
    },
    /// A number is outside its bounds.
    #[error("the record at byte {offset}: its {field} is {value}, which cannot be")]
    Field {
        /// Where the record begins.
        offset: usize,
        /// The field.
        field: &'static str,
        /// What it is.
        value: u64,
    },
    /// The log has SHA-1 digests alone: its format is that of TPM 1.2.
    #[error("the log is not crypto-agile: its digests are sha-1, which proves nothing")]
    Sha1Only,
}

/// A log whose first record was read.
#[derive(Clone, Copy, Debug)]
pub struct EventLog<'a> {
    algorithms: Algorithms,
    records: &'a [u8],
    start: usize,
}

/// The banks of a log: identifiers and digest sizes, in the order of the first record.
#[derive(Clone, Copy, Debug)]
struct Algorithms {
    list: [(u16, usize); MAX_ALGORITHMS],
    count: usize,
}

impl Algorithms {
    fn iter(&self) -> impl Iterator<Item = (u16, usize)> + '_ {
        self.list.iter().take(self.count).copied()
    }

    fn size_of(&self, wanted: u16) -> Option<usize> {
        self.iter()
            .find(|(id, _)| *id == wanted)
            .map(|(_, size)| size)
    }
}

/// What kind of event a record says that it is (§10.4.1). The kinds that mean something here; the digest does not
/// cover this word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// EV_NO_ACTION: extends nothing.
    NoAction,
    /// EV_SEPARATOR: the firmware's part ends.
    Separator,
    /// EV_EFI_VARIABLE_DRIVER_CONFIG: a variable of Secure Boot.
    VariableDriverConfig,
    /// Another.
    Other(u32),
}

impl EventType {
    /// The word that the record has.
    pub fn word(self) -> u32 {
        match self {
            Self::NoAction => 0x0000_0003,
            Self::Separator => 0x0000_0004,
            Self::VariableDriverConfig => 0x8000_0001,
            Self::Other(word) => word,
        }
    }
}

impl From<u32> for EventType {
    fn from(word: u32) -> Self {
        match word {
            0x0000_0003 => Self::NoAction,
            0x0000_0004 => Self::Separator,
            0x8000_0001 => Self::VariableDriverConfig,
            other => Self::Other(other),
        }
    }
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The PCR that it went into; `None` for one that extends nothing.
    pub pcr: Option<PcrIndex>,
    /// What it says that it is.
    pub kind: EventType,
    /// What it says.
    pub data: &'a [u8],
    digests: &'a [u8],
    algorithms: Algorithms,
}

impl<'a> Event<'a> {
    /// Its digest in a bank.
    pub fn digest(&self, bank: HashAlg) -> Option<&'a [u8]> {
        let mut rest = self.digests;
        while let Some((id, after)) = rest.split_first_chunk() {
            let id = u16::from_le_bytes(*id);
            let (digest, after) = after.split_at_checked(self.algorithms.size_of(id)?)?;
            if id == bank.id() {
                return Some(digest);
            }
            rest = after;
        }
        None
    }

    /// Whether its data are what was measured, in a bank.
    pub fn is_bound(&self, bank: HashAlg) -> bool {
        self.digest(bank) == Some(bank.digest(self.data).as_bytes())
    }
}

impl<'a> EventLog<'a> {
    /// Reads the first record, which says what the others are like.
    ///
    /// # Errors
    /// [`MalformedLog`] if it is not there, or is of another format.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MalformedLog> {
        let mut record = Record {
            rest: bytes,
            offset: 0,
        };
        let pcr = record.u32("pcr")?;
        let kind = record.u32("type")?;
        record.take("digest", HashAlg::Sha1.digest_len())?;
        let specification = record.sized("event")?;
        if pcr != 0 || EventType::from(kind) != EventType::NoAction {
            return Err(MalformedLog::Sha1Only);
        }
        let mut fields = Record {
            rest: specification,
            offset: 0,
        };
        if fields.take("signature", SPEC_ID.len())? != SPEC_ID {
            return Err(MalformedLog::Sha1Only);
        }
        // Platform class, version, errata, size of an UINTN: nothing hangs on them.
        fields.take("version", 8)?;
        let algorithms = fields.algorithms()?;
        Ok(Self {
            algorithms,
            records: record.rest,
            start: bytes.len() - record.rest.len(),
        })
    }

    /// The banks that it has and that we know.
    pub fn banks(&self) -> impl Iterator<Item = HashAlg> + '_ {
        self.algorithms
            .iter()
            .filter_map(|(id, _)| HashAlg::from_id(id))
    }

    /// The records behind the first.
    pub fn events(&self) -> Events<'a> {
        Events {
            algorithms: self.algorithms,
            record: Record {
                rest: self.records,
                offset: self.start,
            },
        }
    }
}

/// The records of a log; after an error there are no more.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    algorithms: Algorithms,
    record: Record<'a>,
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, MalformedLog>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.record.rest.is_empty() {
            return None;
        }
        let before = self.record.rest.len();
        let event = self.record.event(&self.algorithms);
        if event.is_err() {
            self.record.rest = &[];
        }
        self.record.offset += before - self.record.rest.len();
        Some(event)
    }
}

#[cfg(test)]
impl Events<'_> {
    /// How many bytes were not read yet.
    pub(super) fn rest(&self) -> usize {
        self.record.rest.len()
    }
}

/// What is left of the log; `offset` is where the record at hand begins.
#[derive(Clone, Debug)]
struct Record<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Record<'a> {
    fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], MalformedLog> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(MalformedLog::Truncated {
                offset: self.offset,
                field,
            })?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, field: &'static str, size: usize) -> Result<u64, MalformedLog> {
        let bytes = self.take(field, size)?;
        let add = |value, byte: &u8| value << 8 | u64::from(*byte);
        Ok(bytes.iter().rev().fold(0, add))
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, MalformedLog> {
        let value = self.number(field, 4)?;
        u32::try_from(value).map_err(|_| self.refused(field, value))
    }

    /// A count or size, no more than `limit`.
    fn bounded(
        &mut self,
        field: &'static str,
        size: usize,
        limit: usize,
    ) -> Result<usize, MalformedLog> {
        let value = self.number(field, size)?;
        usize::try_from(value)
            .ok()
            .filter(|value| *value <= limit)
            .ok_or_else(|| self.refused(field, value))
    }

    fn sized(&mut self, field: &'static str) -> Result<&'a [u8], MalformedLog> {
        let size = self.bounded(field, 4, MAX_EVENT)?;
        self.take(field, size)
    }

    fn refused(&self, field: &'static str, value: u64) -> MalformedLog {
        MalformedLog::Field {
            offset: self.offset,
            field,
            value,
        }
    }

    /// The banks in the first record: each once, those that we know with the size that they have.
    fn algorithms(&mut self) -> Result<Algorithms, MalformedLog> {
        let mut algorithms = Algorithms {
            list: [(0, 0); MAX_ALGORITHMS],
            count: 0,
        };
        let count = self.bounded("number of algorithms", 4, MAX_ALGORITHMS)?;
        for _ in 0..count {
            let word = self.number("algorithm", 2)?;
            let id = u16::try_from(word).map_err(|_| self.refused("algorithm", word))?;
            let size = self.bounded("digest size", 2, MAX_DIGEST)?;
            let known = HashAlg::from_id(id).is_none_or(|known| known.digest_len() == size);
            if !known || size == 0 || algorithms.size_of(id).is_some() {
                return Err(self.refused("algorithm", word));
            }
            if let Some(place) = algorithms.list.get_mut(algorithms.count) {
                *place = (id, size);
            }
            algorithms.count += 1;
        }
        let vendor = self.bounded("size of the vendor's part", 1, usize::from(u8::MAX))?;
        self.take("vendor's part", vendor)?;
        match self.rest.len() {
            0 if algorithms.count > 0 => Ok(algorithms),
            0 => Err(self.refused("number of algorithms", 0)),
            excess => Err(self.refused("bytes behind the first event", excess as u64)),
        }
    }

    /// One record: a digest of every bank of the log, each once.
    fn event(&mut self, algorithms: &Algorithms) -> Result<Event<'a>, MalformedLog> {
        let pcr = self.u32("pcr")?;
        let kind = EventType::from(self.u32("type")?);
        // What extends nothing may name any PCR, and some firmware writes 0xffffffff.
        let index = match kind {
            EventType::NoAction => None,
            EventType::Separator | EventType::VariableDriverConfig | EventType::Other(_) => {
                let index = u8::try_from(pcr).ok().and_then(PcrIndex::new);
                Some(index.ok_or_else(|| self.refused("pcr", pcr.into()))?)
            }
        };
        let count = self.bounded("number of digests", 4, MAX_ALGORITHMS)?;
        if count != algorithms.count {
            return Err(self.refused("number of digests", count as u64));
        }
        let from = self.rest;
        let mut seen = [0_u16; MAX_ALGORITHMS];
        for place in seen.iter_mut().take(count) {
            let word = self.number("algorithm", 2)?;
            let id = u16::try_from(word).map_err(|_| self.refused("algorithm", word))?;
            let size = algorithms
                .size_of(id)
                .ok_or_else(|| self.refused("algorithm", word))?;
            self.take("digest", size)?;
            *place = id;
        }
        // As many as the log has banks, all of them its own: each is there if none is there twice.
        for (id, _) in algorithms.iter() {
            if !seen.contains(&id) {
                return Err(self.refused("algorithm that is missing", id.into()));
            }
        }
        let digests = from.get(..from.len() - self.rest.len()).unwrap_or_default();
        Ok(Event {
            pcr: index,
            kind,
            data: self.sized("event")?,
            digests,
            algorithms: *algorithms,
        })
    }
}
