//! Which PCR banks a TPM keeps, as TPM2_GetCapability tells them (TPM_CAP_PCRS, Part 2 §6.12, §10.9.7).
//!
//! Parsing says only what the bytes claim; `crate::audit` says which statement of the TPM vouches for them.

use std::collections::{BTreeMap, BTreeSet};

use super::pcr::read_list;
use super::{HashAlg, MalformedStructure, PcrIndex, PcrSelection, Reader};

/// The active banks, with the bytes in which the TPM told them. A bank of which the TPM keeps no PCR is not active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveBanks {
    known: BTreeMap<HashAlg, BTreeSet<PcrIndex>>,
    unknown: BTreeSet<u16>,
    raw: Vec<u8>,
}

impl ActiveBanks {
    /// Parses the TPML_PCR_SELECTION of the answer.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedStructure> {
        let mut reader = Reader::new("TPML_PCR_SELECTION", bytes);
        let (mut known, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for (bank, indices) in read_list(&mut reader)? {
            match HashAlg::from_id(bank) {
                _ if indices.is_empty() => {}
                Some(alg) => _ = known.insert(alg, indices),
                None => _ = unknown.insert(bank),
            }
        }
        reader.finish()?;
        Ok(Self {
            known,
            unknown,
            raw: bytes.to_vec(),
        })
    }

    /// The bytes that were parsed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Those of the `wanted` PCRs that each bank keeps. It leaves out banks whose algorithm Holdfast does not know.
    pub fn selection(&self, wanted: &BTreeSet<PcrIndex>) -> PcrSelection {
        let banks = self.known.iter();
        banks.fold(PcrSelection::none(), |all, (alg, kept)| {
            all.with(*alg, kept.intersection(wanted).copied())
        })
    }

    /// The banks whose algorithm Holdfast knows.
    pub fn known(&self) -> impl Iterator<Item = HashAlg> + '_ {
        self.known.keys().copied()
    }

    /// The TPM_ALG_ID of each active bank whose algorithm Holdfast does not know.
    pub fn unknown(&self) -> impl Iterator<Item = u16> + '_ {
        self.unknown.iter().copied()
    }
}
