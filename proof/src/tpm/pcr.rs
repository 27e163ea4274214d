//! PCR selections and values (Part 2 §10.6, §10.9.7) and the digest that a quote or policy makes of them.
//!
//! A digest is never made from values that do not match the selection exactly, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Digest, HashAlg, MalformedStructure, Reader, Writer, hex_serde::hex_serde};

const STRUCTURE: &str = "TPML_PCR_SELECTION";

/// The number of a PCR, 0 to 23.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "u8", into = "u8")]
pub struct PcrIndex(u8);

impl PcrIndex {
    /// How many PCRs a bank has (PC Client Platform TPM Profile §4.6).
    pub const COUNT: u8 = 24;

    /// The PCR of this number; `None` if a bank has no such PCR.
    pub const fn new(index: u8) -> Option<Self> {
        if index < Self::COUNT {
            Some(Self(index))
        } else {
            None
        }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for PcrIndex {
    type Error = &'static str;

    fn try_from(index: u8) -> Result<Self, Self::Error> {
        Self::new(index).ok_or("a PCR has a number from 0 to 23")
    }
}

impl From<PcrIndex> for u8 {
    fn from(index: PcrIndex) -> Self {
        index.0
    }
}

/// Which PCRs of which banks, in the order of the banks. Banks of which nothing is selected are left out, so that two
/// selections are equal exactly when they select the same PCRs in the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PcrSelection(Vec<(HashAlg, BTreeSet<PcrIndex>)>);

impl PcrSelection {
    const MAX_BANKS: usize = 16;
    const BITMAP: usize = 3;

    /// Selects nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Selects `indices` of one bank.
    pub fn of(alg: HashAlg, indices: impl IntoIterator<Item = PcrIndex>) -> Self {
        Self::none().with(alg, indices)
    }

    /// Adds `indices` of a bank, at the end if the bank is new.
    #[must_use]
    pub fn with(mut self, alg: HashAlg, indices: impl IntoIterator<Item = PcrIndex>) -> Self {
        let indices: BTreeSet<_> = indices.into_iter().collect();
        match self.0.iter_mut().find(|(bank, _)| *bank == alg) {
            Some((_, selected)) => selected.extend(indices),
            None if indices.is_empty() => {}
            None => self.0.push((alg, indices)),
        }
        self
    }

    /// Parses a TPML_PCR_SELECTION.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedStructure> {
        let mut reader = Reader::new(STRUCTURE, bytes);
        let selection = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(selection)
    }

    /// The TPML_PCR_SELECTION, with bitmaps of 3 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// The selected PCRs, in the order in which a TPM hashes them.
    pub fn iter(&self) -> impl Iterator<Item = (HashAlg, PcrIndex)> + '_ {
        self.0
            .iter()
            .flat_map(|(alg, indices)| indices.iter().map(|index| (*alg, *index)))
    }

    /// The banks and what is selected of each.
    pub fn banks(&self) -> impl Iterator<Item = (HashAlg, &BTreeSet<PcrIndex>)> + '_ {
        self.0.iter().map(|(alg, indices)| (*alg, indices))
    }

    /// Whether nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        let mut selection = Self::none();
        for (bank, indices) in read_list(reader)? {
            match HashAlg::from_id(bank) {
                Some(alg) => selection = selection.with(alg, indices),
                // A bank that we do not know and of which nothing is selected says nothing.
                None if indices.is_empty() => {}
                None => return Err(reader.refuse("hash", bank.into())),
            }
        }
        Ok(selection)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        // At most four algorithms exist, and a bank stands here once.
        writer.u32(self.0.len() as u32);
        for (alg, indices) in &self.0 {
            writer.u16(alg.id()).u8(Self::BITMAP as u8);
            let bits = indices
                .iter()
                .fold(0_u32, |bits, index| bits | 1 << index.0);
            let [low, middle, high, _] = bits.to_le_bytes();
            writer.bytes(&[low, middle, high]);
        }
    }
}

hex_serde!(PcrSelection, PcrSelection::encode, PcrSelection::parse);

/// The banks of a TPML_PCR_SELECTION, also those that we do not know, and what is selected of each.
pub(super) fn read_list(
    reader: &mut Reader<'_>,
) -> Result<Vec<(u16, BTreeSet<PcrIndex>)>, MalformedStructure> {
    let count = reader.u32("count")? as usize;
    if count > PcrSelection::MAX_BANKS {
        return Err(MalformedStructure::TooLong {
            structure: STRUCTURE,
            field: "count",
            length: count,
            limit: PcrSelection::MAX_BANKS,
        });
    }
    let mut seen = BTreeSet::new();
    let mut banks = Vec::new();
    for _ in 0..count {
        let bank = reader.u16("hash")?;
        if !seen.insert(bank) {
            return Err(MalformedStructure::Inconsistent {
                structure: STRUCTURE,
                field: "hash",
            });
        }
        banks.push((bank, read_bitmap(reader)?));
    }
    Ok(banks)
}

fn read_bitmap(reader: &mut Reader<'_>) -> Result<BTreeSet<PcrIndex>, MalformedStructure> {
    let size = reader.u8("sizeofSelect")?;
    if !(1..=4).contains(&size) {
        return Err(reader.refuse("sizeofSelect", size.into()));
    }
    let bitmap = reader.take("pcrSelect", size.into())?;
    let mut indices = BTreeSet::new();
    for (byte, base) in bitmap.iter().zip((0_u8..).step_by(8)) {
        for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
            let index = base + bit;
            let index =
                PcrIndex::new(index).ok_or_else(|| reader.refuse("pcrSelect", index.into()))?;
            indices.insert(index);
        }
    }
    Ok(indices)
}

/// Values of PCRs; each is as long as its bank's digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PcrValues(BTreeMap<(HashAlg, PcrIndex), Digest>);

impl PcrValues {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the value of PCR `index` in the bank of the digest's algorithm; `false` if it was there already (and stays).
    #[must_use = "a value given twice must be refused"]
    pub fn insert(&mut self, index: PcrIndex, value: Digest) -> bool {
        let key = (value.alg(), index);
        if self.0.contains_key(&key) {
            return false;
        }
        self.0.insert(key, value);
        true
    }

    /// The value of a PCR, if it is here.
    pub fn value(&self, alg: HashAlg, index: PcrIndex) -> Option<&Digest> {
        self.0.get(&(alg, index))
    }

    /// All values, by bank and number.
    pub fn iter(&self) -> impl Iterator<Item = (PcrIndex, &Digest)> + '_ {
        self.0.iter().map(|((_, index), value)| (*index, value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The supplied PCR values are not those that the selection names. Whoever supplied them is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PcrMismatch {
    /// Selected, but no value was supplied.
    #[error("PCR {} of {alg:?} is selected but its value is missing", index.get())]
    Missing {
        /// The bank.
        alg: HashAlg,
        /// The PCR.
        index: PcrIndex,
    },
    /// A value was supplied that is not selected, so that nothing vouches for it.
    #[error("a value was supplied for PCR {} of {alg:?}, which is not selected", index.get())]
    Unselected {
        /// The bank.
        alg: HashAlg,
        /// The PCR.
        index: PcrIndex,
    },
}

/// The digest over the selected PCRs as TPM2_Quote and TPM2_PolicyPCR make it: with `hash`, which is the hash of the
/// signing scheme or of the policy, over the values in the order of the selection.
pub fn pcr_digest(
    hash: HashAlg,
    selection: &PcrSelection,
    values: &PcrValues,
) -> Result<Digest, PcrMismatch> {
    let selected: BTreeSet<_> = selection.iter().collect();
    if let Some((alg, index)) = values.0.keys().find(|key| !selected.contains(*key)) {
        return Err(PcrMismatch::Unselected {
            alg: *alg,
            index: *index,
        });
    }
    let mut concatenation = Vec::new();
    for (alg, index) in selection.iter() {
        let value = values
            .value(alg, index)
            .ok_or(PcrMismatch::Missing { alg, index })?;
        concatenation.extend_from_slice(value.as_bytes());
    }
    Ok(hash.digest(&concatenation))
}
