//! Writes logs, right ones and others.

use std::collections::BTreeMap;

use crate::tpm::{Digest, HashAlg};

/// EFI_GLOBAL_VARIABLE.
pub(super) const SECURE_BOOT: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];

/// UEFI_VARIABLE_DATA.
pub(super) fn variable(guid: [u8; 16], name: &str, data: &[u8]) -> Vec<u8> {
    let name: Vec<u16> = name.encode_utf16().collect();
    let mut bytes = guid.to_vec();
    bytes.extend((name.len() as u64).to_le_bytes());
    bytes.extend((data.len() as u64).to_le_bytes());
    name.iter()
        .for_each(|character| bytes.extend(character.to_le_bytes()));
    bytes.extend(data);
    bytes
}

pub(super) struct Builder {
    banks: Vec<HashAlg>,
    records: Vec<u8>,
}

impl Builder {
    pub(super) fn new(banks: &[HashAlg]) -> Self {
        Self {
            banks: banks.to_vec(),
            records: Vec::new(),
        }
    }

    /// An event whose digests are those of its data.
    pub(super) fn measure(self, pcr: u32, kind: u32, data: &[u8]) -> Self {
        self.forge(pcr, kind, data, data)
    }

    /// An event that measured something else than it says.
    pub(super) fn forge(self, pcr: u32, kind: u32, measured: &[u8], said: &[u8]) -> Self {
        self.record(pcr, kind, said, |bank| Some(bank.digest(measured)))
    }

    /// The same in one bank alone.
    pub(super) fn forge_in(
        self,
        forged: HashAlg,
        pcr: u32,
        kind: u32,
        measured: &[u8],
        said: &[u8],
    ) -> Self {
        self.record(pcr, kind, said, |bank| {
            Some(bank.digest(if bank == forged { measured } else { said }))
        })
    }

    /// An event that lacks a bank's digest.
    pub(super) fn lacking(self, lacks: HashAlg, pcr: u32, kind: u32, data: &[u8]) -> Self {
        self.record(pcr, kind, data, |bank| {
            (bank != lacks).then(|| bank.digest(data))
        })
    }

    fn record(
        mut self,
        pcr: u32,
        kind: u32,
        data: &[u8],
        digest: impl Fn(HashAlg) -> Option<Digest>,
    ) -> Self {
        let digests: Vec<Digest> = self.banks.iter().filter_map(|bank| digest(*bank)).collect();
        let records = &mut self.records;
        records.extend(pcr.to_le_bytes());
        records.extend(kind.to_le_bytes());
        records.extend(u32::try_from(digests.len()).unwrap().to_le_bytes());
        for digest in digests {
            records.extend(digest.alg().id().to_le_bytes());
            records.extend(digest.as_bytes());
        }
        records.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        records.extend(data);
        self
    }

    /// The records without the first.
    pub(super) fn records(self) -> Vec<u8> {
        self.records
    }

    /// The whole log.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut specification = b"Spec ID Event03\0".to_vec();
        specification.extend([0, 0, 0, 0, 0, 2, 0, 2]);
        specification.extend(u32::try_from(self.banks.len()).unwrap().to_le_bytes());
        for bank in &self.banks {
            specification.extend(bank.id().to_le_bytes());
            specification.extend(u16::try_from(bank.digest_len()).unwrap().to_le_bytes());
        }
        specification.push(0);
        let mut bytes = 0_u32.to_le_bytes().to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend([0; 20]);
        bytes.extend(u32::try_from(specification.len()).unwrap().to_le_bytes());
        bytes.extend(specification);
        bytes.extend(&self.records);
        bytes
    }

    /// All PCRs of both banks after a start, by the specification.
    pub(super) fn start() -> BTreeMap<(HashAlg, u8), Digest> {
        let mut values = BTreeMap::new();
        for bank in [HashAlg::Sha256, HashAlg::Sha384] {
            for pcr in 0..24 {
                let byte = if (17..=22).contains(&pcr) { 0xff } else { 0 };
                let value = Digest::new(bank, &vec![byte; bank.digest_len()]).unwrap();
                values.insert((bank, pcr), value);
            }
        }
        values
    }
}
