//! The records, front to back: a JSON text sequence (RFC 7464), each an object much like those of the TCG's Canonical Event
//! Log Format in JSON (systemd `src/shared/measurement-log.c`).
//!
//! Fields that we do not know are passed over. A last record that was not written to its end is none: systemd appends.

use serde::Deserialize;
use serde_json::Value;

use super::Kind;
use crate::tpm::{Digest, HashAlg, PcrIndex};

/// The sign that begins a record (RFC 7464 §2.2).
const RECORD_SEPARATOR: u8 = 0x1e;

/// The most bytes of one record: most have some hundreds.
pub const MAX_RECORD: usize = 64 * 1024;

/// The most records of one log; a boot has some dozens that go into PCRs.
pub const MAX_RECORDS: usize = 4096;

/// The most digests of one record: the TCG's registry has fewer hash algorithms.
const MAX_DIGESTS: usize = 16;

/// Why bytes are not such a log. The host that sent them is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {number}: {flaw}")]
pub struct MalformedLog {
    /// The record's number, the first being 0.
    pub number: usize,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Its first byte is not the one that begins a record.
    #[error("it does not begin as a record of a json text sequence")]
    Beginning,
    /// It is not ended by a line feed, and another follows.
    #[error("it was not written to its end")]
    Unended,
    /// It is longer than any.
    #[error("it has more than {MAX_RECORD} bytes")]
    TooLong,
    /// There are more than in any log.
    #[error("a log has at most {MAX_RECORDS}")]
    TooMany,
    /// It is not a JSON object with the fields that it has to have.
    #[error("it is no json object of a measurement")]
    Json,
    /// It names a PCR that does not exist.
    #[error("there is no pcr {0}")]
    Pcr(u64),
    /// It names a PCR and an NV index.
    #[error("it names both a pcr and an nv index")]
    Both,
    /// It has more digests than there are algorithms.
    #[error("it has more than {MAX_DIGESTS} digests")]
    Digests,
    /// A digest is not as long as its algorithm's.
    #[error("its digest of {0:?} is not one in hex")]
    Digest(HashAlg),
    /// Two digests are of one algorithm.
    #[error("it has two digests of {0:?}")]
    Twice(HashAlg),
}

/// What a record's digests went into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// A PCR.
    Pcr(PcrIndex),
    /// Something else, such as an NvPCR: no PCR was extended.
    Elsewhere,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was extended.
    pub measured: Measured,
    /// What it says that it is.
    pub kind: Kind,
    /// What it says that was measured; empty if it says nothing.
    text: String,
    /// One of a bank; none of SHA-1, nor of banks that we do not know.
    digests: Vec<Digest>,
}

impl Record {
    /// Its digest in a bank.
    pub fn digest(&self, bank: HashAlg) -> Option<&Digest> {
        self.digests.iter().find(|digest| digest.alg() == bank)
    }

    /// The PCR that it went into, if one.
    pub fn pcr(&self) -> Option<PcrIndex> {
        match self.measured {
            Measured::Pcr(pcr) => Some(pcr),
            Measured::Elsewhere => None,
        }
    }

    /// Whether what it says is what was measured, in a bank.
    pub fn is_bound(&self, bank: HashAlg) -> bool {
        self.measures(bank, &self.text)
    }

    /// Whether it measures a text, in a bank.
    pub fn measures(&self, bank: HashAlg, text: &str) -> bool {
        self.digest(bank) == Some(&bank.digest(text.as_bytes()))
    }

    /// Whether each of its digests is of a text.
    pub fn is_all(&self, text: &str) -> bool {
        let mut digests = self.digests.iter();
        digests.all(|digest| digest.alg().digest(text.as_bytes()) == *digest)
    }

    /// What it is about, as the host wrote it: neither short nor printable.
    pub fn about(&self) -> &str {
        self.kind.about(&self.text)
    }

    fn parse(json: &[u8]) -> Result<Self, Flaw> {
        let raw: Raw = serde_json::from_slice(json).map_err(|_| Flaw::Json)?;
        let measured = match (raw.pcr, raw.nv_index) {
            (Some(_), Some(_)) => return Err(Flaw::Both),
            (Some(pcr), None) => {
                let index = u8::try_from(pcr).ok().and_then(PcrIndex::new);
                Measured::Pcr(index.ok_or(Flaw::Pcr(pcr))?)
            }
            (None, _) => Measured::Elsewhere,
        };
        if raw.digests.len() > MAX_DIGESTS {
            return Err(Flaw::Digests);
        }
        let mut digests: Vec<Digest> = Vec::new();
        for RawDigest { hash_alg, digest } in raw.digests {
            let bank = match hash_alg.as_str() {
                "sha1" => HashAlg::Sha1,
                "sha256" => HashAlg::Sha256,
                "sha384" => HashAlg::Sha384,
                "sha512" => HashAlg::Sha512,
                // What others have proves nothing.
                _ => continue,
            };
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digest.as_bytes());
            let digest = bytes.ok().and_then(|bytes| Digest::new(bank, &bytes));
            let digest = digest.ok_or(Flaw::Digest(bank))?;
            if digests.iter().any(|has| has.alg() == bank) {
                return Err(Flaw::Twice(bank));
            }
            digests.push(digest);
        }
        let content = raw.content.filter(|_| raw.content_type == "systemd");
        let field = |name| {
            let content = content.as_ref()?;
            content.get(name)?.as_str()
        };
        Ok(Self {
            measured,
            kind: field("eventType").map_or(Kind::Other, Kind::spelled),
            text: field("string").unwrap_or_default().to_owned(),
            digests,
        })
    }
}

/// A record as it is written.
#[derive(Deserialize)]
struct Raw {
    pcr: Option<u64>,
    nv_index: Option<u64>,
    digests: Vec<RawDigest>,
    #[serde(default)]
    content_type: Value,
    content: Option<Value>,
}

#[derive(Deserialize)]
struct RawDigest {
    #[serde(rename = "hashAlg")]
    hash_alg: String,
    digest: String,
}

/// The records of a log, each with the bytes that it was read from; after an error there are no more.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Records<'a> {
    /// The records of these bytes, however many they are.
    pub fn new(log: &'a [u8]) -> Self {
        Self {
            rest: log,
            number: 0,
        }
    }

    fn take(&mut self) -> Result<Option<(Record, &'a [u8])>, Flaw> {
        let Some((first, after)) = self.rest.split_first() else {
            return Ok(None);
        };
        if *first != RECORD_SEPARATOR {
            return Err(Flaw::Beginning);
        }
        let length = after.iter().position(|byte| *byte == RECORD_SEPARATOR);
        let whole = length.map_or(self.rest.len(), |length| length + 1);
        let (bytes, rest) = self.rest.split_at_checked(whole).ok_or(Flaw::Beginning)?;
        self.rest = rest;
        let Some((_, json)) = bytes.split_first().filter(|_| bytes.ends_with(b"\n")) else {
            return if rest.is_empty() {
                Ok(None)
            } else {
                Err(Flaw::Unended)
            };
        };
        if json.len() > MAX_RECORD {
            return Err(Flaw::TooLong);
        }
        Ok(Some((Record::parse(json)?, bytes)))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(Record, &'a [u8]), MalformedLog>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.number;
        let taken = self.take();
        self.number = number.saturating_add(1);
        if taken.is_err() {
            self.rest = &[];
        }
        taken
            .map_err(|flaw| MalformedLog { number, flaw })
            .transpose()
    }
}

/// All records of a log.
///
/// # Errors
/// [`MalformedLog`] if it is none, or has too many.
pub fn parse(log: &[u8]) -> Result<Vec<Record>, MalformedLog> {
    let mut records = Vec::new();
    for record in Records::new(log) {
        if records.len() >= MAX_RECORDS {
            return Err(MalformedLog {
                number: MAX_RECORDS,
                flaw: Flaw::TooMany,
            });
        }
        records.push(record?.0);
    }
    Ok(records)
}
