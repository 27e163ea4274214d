//! Whether a list is the one that went into a quoted PCR 10.
//!
//! The list is read after the quote, so it may have more entries than the quote covers: the prefix that gives exactly
//! the quoted value is proven, and nothing behind it. A state is small and goes on where it ended.

use aws_lc_rs::digest::{Context, digest};
use serde::{Deserialize, Serialize};

use super::PCR;
use super::allow::AllowList;
use super::known::Hashes;
use super::list::{Entry, List, MalformedList};
use crate::tpm::{Digest, HashAlg, PcrValues};

const ONES: [u8; HashAlg::MAX_DIGEST] = [0xff; HashAlg::MAX_DIGEST];
const ZEROS: [u8; HashAlg::MAX_DIGEST] = [0; HashAlg::MAX_DIGEST];

/// What the kernel extends a bank with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extension {
    /// The bank's own hash over the template data (Linux 5.8).
    Own,
    /// The SHA-1 over the template data, with zeros behind it: every bank before Linux 5.8, and later a bank whose
    /// algorithm the kernel had not loaded when IMA began.
    PaddedSha1,
}

/// Why a list does not belong to a quote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayRefused {
    /// It is no list.
    #[error(transparent)]
    Malformed(#[from] MalformedList),
    /// An entry's template hash is not that of its data.
    #[error("entry {index}, at byte {offset}: its template hash is not that of its data")]
    TemplateHash {
        /// The entry, counted from the boot.
        index: u64,
        /// Where it begins.
        offset: usize,
    },
    /// An entry went into another PCR, so that PCR 10 does not vouch for it.
    #[error(
        "entry {index}, at byte {offset}, is of pcr {pcr}: only what is measured into pcr 10 is proven"
    )]
    OtherPcr {
        /// The entry.
        index: u64,
        /// Where it begins.
        offset: usize,
        /// The PCR.
        pcr: u32,
    },
    /// The quote lacks PCR 10 of a bank that is replayed.
    #[error("pcr 10 of the bank {0:?} is not quoted")]
    NotQuoted(HashAlg),
}

/// One bank's PCR 10 as replayed so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Running {
    bank: HashAlg,
    extension: Extension,
    #[serde(with = "hex")]
    value: Vec<u8>,
}

/// How far a list was replayed. Until a quote was reached, a bank may stand here with each way to extend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    entries: u64,
    banks: Vec<Running>,
}

/// What came of replaying a list against a quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// So many of the list's entries give the quoted value; this state goes on behind them.
    Proven {
        /// The state.
        replay: Replay,
        /// How many of the entries that were read.
        entries: usize,
        /// Which of them are known.
        known: Known,
    },
    /// The list ended without giving the quoted value.
    NotReached {
        /// The state at the list's end, unproven.
        replay: Replay,
    },
}

/// Which entries of a list have, byte for byte, the data of a listed file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(Vec<bool>);

impl Known {
    /// Whether the entry is one, counted from the first that was read.
    pub(super) fn has(&self, read: usize) -> bool {
        self.0.get(read).is_some_and(|known| *known)
    }
}

impl Replay {
    /// The state at a boot, of these banks.
    pub fn start(banks: impl IntoIterator<Item = HashAlg>) -> Self {
        let running = |bank: HashAlg, extension| Running {
            bank,
            extension,
            value: vec![0; bank.digest_len()],
        };
        let mut list = Vec::new();
        for bank in banks {
            list.push(running(bank, Extension::Own));
            if bank != HashAlg::Sha1 {
                list.push(running(bank, Extension::PaddedSha1));
            }
        }
        Self {
            entries: 0,
            banks: list,
        }
    }

    /// How many entries were replayed since the boot.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The banks, each once.
    pub fn banks(&self) -> impl Iterator<Item = HashAlg> + '_ {
        let mut seen = None;
        self.banks.iter().filter_map(move |running| {
            let new = seen.replace(running.bank) != Some(running.bank);
            new.then_some(running.bank)
        })
    }

    /// The banks that are extended with padded SHA-1: whoever reads a verdict should know.
    pub fn padded(&self) -> impl Iterator<Item = HashAlg> + '_ {
        self.banks
            .iter()
            .filter(|running| running.extension == Extension::PaddedSha1)
            .map(|running| running.bank)
    }

    /// Replays `list` from here on until it gives the quoted PCR 10 of every bank. `allow` spares hashing what it lists, and
    /// changes no outcome.
    ///
    /// # Errors
    /// [`ReplayRefused`] if an entry before that is not what it should be.
    pub fn replay(
        &self,
        list: List<'_>,
        quoted: &PcrValues,
        allow: &AllowList,
    ) -> Result<Prefix, ReplayRefused> {
        // Nearly every kernel extends a bank with its own hash. Other ways cost twice as much, and come only where that one
        // does not lead to the quote.
        if let Some(own) = self.own()
            && let proven @ Prefix::Proven { .. } = own.advance(list.clone(), quoted, allow)?
        {
            return Ok(proven);
        }
        self.advance(list, quoted, allow)
    }

    /// The state in which each bank has its own hash alone, if it may have that and another.
    fn own(&self) -> Option<Self> {
        let own = |running: &&Running| running.extension == Extension::Own;
        let banks: Vec<_> = self.banks.iter().filter(own).cloned().collect();
        let state = Self {
            entries: self.entries,
            banks,
        };
        let fewer = state.banks.len() < self.banks.len();
        (fewer && state.banks().eq(self.banks())).then_some(state)
    }

    /// Goes on entry by entry until the quote is reached.
    fn advance(
        &self,
        list: List<'_>,
        quoted: &PcrValues,
        allow: &AllowList,
    ) -> Result<Prefix, ReplayRefused> {
        let wanted = self.wanted(quoted)?;
        let mut state = self.clone();
        let mut known = Known::default();
        if let Some(replay) = state.reached(&wanted) {
            return Ok(Prefix::Proven {
                replay,
                entries: 0,
                known,
            });
        }
        for (read, entry) in list.enumerate() {
            let entry = entry?;
            let listed = allow.hashes(&entry);
            known.0.push(listed.is_some());
            state.extend(&entry, listed)?;
            if let Some(replay) = state.reached(&wanted) {
                return Ok(Prefix::Proven {
                    replay,
                    entries: read + 1,
                    known,
                });
            }
        }
        Ok(Prefix::NotReached { replay: state })
    }

    fn wanted<'q>(&self, quoted: &'q PcrValues) -> Result<Vec<&'q Digest>, ReplayRefused> {
        let missing = ReplayRefused::NotQuoted;
        self.banks
            .iter()
            .map(|running| {
                super::pcr()
                    .and_then(|pcr| quoted.value(running.bank, pcr))
                    .ok_or(missing(running.bank))
            })
            .collect()
    }

    /// The state with the extensions that give the quoted value, if each bank has one.
    fn reached(&self, wanted: &[&Digest]) -> Option<Self> {
        let matches = |(running, wanted): &(&Running, &&Digest)| running.value == wanted.as_bytes();
        // The first bank decides almost always; nothing is allocated before it does.
        self.banks.iter().zip(wanted).find(matches)?;
        let banks: Vec<_> = self
            .banks
            .iter()
            .zip(wanted)
            .filter(matches)
            .map(|(running, _)| running.clone())
            .collect();
        // At the boot both ways have the value zero, and stay.
        self.banks()
            .all(|bank| banks.iter().any(|running| running.bank == bank))
            .then_some(Self {
                entries: self.entries,
                banks,
            })
    }

    fn extend(&mut self, entry: &Entry<'_>, known: Option<&Hashes>) -> Result<(), ReplayRefused> {
        let (index, offset) = (entry.index(), entry.offset());
        if entry.pcr() != u32::from(PCR) {
            let pcr = entry.pcr();
            return Err(ReplayRefused::OtherPcr { index, offset, pcr });
        }
        let over_data = |alg| match known.and_then(|known| known.of(alg)) {
            Some(known) => Hash::Known(known),
            None => Hash::Made(hash(alg, entry)),
        };
        let (alg, listed) = entry.template_hash();
        let violation = entry.is_violation();
        let hash = over_data(alg);
        if !violation && hash.as_ref() != listed {
            return Err(ReplayRefused::TemplateHash { index, offset });
        }
        let padded = |running: &Running| running.extension == Extension::PaddedSha1;
        // Made once for all banks, and not at all where the list has it.
        let sha1 = (alg != HashAlg::Sha1 && self.banks.iter().any(padded))
            .then(|| over_data(HashAlg::Sha1));
        let sha1 = sha1.as_ref().unwrap_or(&hash);
        for running in &mut self.banks {
            let bank = running.bank;
            let value = &mut running.value;
            // What the bank is extended with goes behind the value, and both are hashed at once; room for it is there
            // after the first entry.
            match running.extension {
                _ if violation => value.extend_from_slice(first(&ONES, bank.digest_len())),
                Extension::Own if bank == alg => value.extend_from_slice(hash.as_ref()),
                Extension::Own => value.extend_from_slice(over_data(bank).as_ref()),
                Extension::PaddedSha1 => {
                    value.extend_from_slice(sha1.as_ref());
                    let padding = bank.digest_len().saturating_sub(sha1.as_ref().len());
                    value.extend_from_slice(first(&ZEROS, padding));
                }
            }
            let extended = digest(bank.implementation(), value);
            value.clear();
            value.extend_from_slice(extended.as_ref());
        }
        self.entries = self.entries.saturating_add(1);
        Ok(())
    }
}

/// A hash over an entry's data.
enum Hash<'k> {
    /// As it stands with the allow list.
    Known(&'k [u8]),
    /// As it was made here.
    Made(aws_lc_rs::digest::Digest),
}

impl AsRef<[u8]> for Hash<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Known(bytes) => bytes,
            Self::Made(digest) => digest.as_ref(),
        }
    }
}

fn hash(alg: HashAlg, entry: &Entry<'_>) -> aws_lc_rs::digest::Digest {
    // Nearly every entry is one piece, and hashing that at once costs less than making a context.
    if let [data, [], []] = entry.hashed() {
        return digest(alg.implementation(), data);
    }
    let mut context = Context::new(alg.implementation());
    for part in entry.hashed() {
        context.update(part);
    }
    context.finish()
}

fn first(bytes: &[u8; HashAlg::MAX_DIGEST], count: usize) -> &[u8] {
    bytes.get(..count).unwrap_or_default()
}

/// Bytes as lowercase hex.
mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&data_encoding::HEXLOWER.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .map_err(D::Error::custom)
    }
}
