//! The binary measurement list, `binary_runtime_measurements` of securityfs, entry by entry (Linux
//! `security/integrity/ima/ima_fs.c`; integers little-endian).
//!
//! Everything is borrowed. A length is believed only once that many bytes are there; after an error nothing is read.

use super::template::{self, Measured};
use crate::tpm::HashAlg;

/// The longest name of a template (`TCG_EVENT_NAME_LEN_MAX`).
const MAX_NAME: usize = 255;

/// The longest data of one template that is taken, in bytes: paths and signatures have a few kilobytes, measured
/// buffers (keys, command lines, device-mapper tables) some more.
const MAX_DATA: usize = 512 << 10;

/// The legacy template `ima` hashes its path in a field of this size.
const LEGACY_PATH: usize = 256;

/// Zeros behind a path in that field.
const PADDING: [u8; LEGACY_PATH] = [0; LEGACY_PATH];

/// Why bytes are not a measurement list. The host that sent them is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedList {
    /// The bytes end inside an entry.
    #[error("entry {index}, at byte {offset}, ends inside its {field}")]
    Truncated {
        /// The entry, counted from the boot.
        index: u64,
        /// Where it begins, from the start of what was read.
        offset: usize,
        /// The field.
        field: &'static str,
    },
    /// A length is above its limit.
    #[error("entry {index}, at byte {offset}: its {field} has {length} bytes, more than {limit}")]
    TooLong {
        /// The entry.
        index: u64,
        /// Where it begins.
        offset: usize,
        /// The field.
        field: &'static str,
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The data are not what the template says.
    #[error("entry {index}, at byte {offset}: its {field} is not what its template says")]
    Field {
        /// The entry.
        index: u64,
        /// Where it begins.
        offset: usize,
        /// The field.
        field: &'static str,
    },
}

/// Reads a list, or the rest of one from some entry on.
#[derive(Clone, Debug)]
pub struct List<'a> {
    hash: HashAlg,
    rest: &'a [u8],
    offset: usize,
    index: u64,
}

impl<'a> List<'a> {
    /// Reads `bytes`, whose first entry is number `first` of the boot. `hash` is that of the template hashes: SHA-1 in
    /// `binary_runtime_measurements`, the named one in `binary_runtime_measurements_sha256` and its like (Linux 6.10).
    pub fn new(bytes: &'a [u8], hash: HashAlg, first: u64) -> Self {
        Self {
            hash,
            rest: bytes,
            offset: 0,
            index: first,
        }
    }

    /// Where the next entry begins, from the start of what is read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    fn entry(&self) -> Result<Entry<'a>, MalformedList> {
        let mut fields = Fields {
            rest: self.rest,
            index: self.index,
            offset: self.offset,
        };
        let pcr = fields.u32("pcr")?;
        let template_hash = fields.take("template hash", self.hash.digest_len())?;
        let name = fields.sized("template name", MAX_NAME)?;
        let data = if name == template::LEGACY.as_bytes() {
            Data::Legacy {
                digest: fields.take("digest", HashAlg::Sha1.digest_len())?,
                path: fields.sized("path", LEGACY_PATH - 1)?,
            }
        } else {
            Data::Fields(fields.sized("template data", MAX_DATA)?)
        };
        Ok(Entry {
            index: self.index,
            offset: self.offset,
            length: self.rest.len() - fields.rest.len(),
            hash: self.hash,
            pcr,
            template_hash,
            name,
            data,
        })
    }
}

impl<'a> Iterator for List<'a> {
    type Item = Result<Entry<'a>, MalformedList>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.entry();
        match &entry {
            Ok(entry) => {
                self.rest = self.rest.get(entry.length..).unwrap_or_default();
                self.offset += entry.length;
                self.index = self.index.saturating_add(1);
            }
            Err(_) => self.rest = &[],
        }
        Some(entry)
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    index: u64,
    offset: usize,
    length: usize,
    hash: HashAlg,
    pcr: u32,
    template_hash: &'a [u8],
    name: &'a [u8],
    data: Data<'a>,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data<'a> {
    /// The template `ima`, which alone has no length.
    Legacy { digest: &'a [u8], path: &'a [u8] },
    /// Every other template: fields behind their lengths.
    Fields(&'a [u8]),
}

impl<'a> Entry<'a> {
    /// Its number, counted from the boot.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Where it begins, from the start of what was read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.length
    }

    /// The PCR that it went into.
    pub fn pcr(&self) -> u32 {
        self.pcr
    }

    /// The name of its template, or its format where it has none.
    pub fn template(&self) -> &'a [u8] {
        self.name
    }

    /// The template hash as it stands in the list, and its algorithm.
    pub fn template_hash(&self) -> (HashAlg, &'a [u8]) {
        (self.hash, self.template_hash)
    }

    /// Whether the kernel could not vouch for what it measured: somebody had the file open to write it. Its template
    /// hash is zero then, and the PCR was extended by ones.
    pub fn is_violation(&self) -> bool {
        self.template_hash.iter().all(|byte| *byte == 0)
    }

    /// The bytes that the kernel hashes, in order.
    pub(super) fn hashed(&self) -> [&'a [u8]; 3] {
        match self.data {
            Data::Legacy { digest, path } => {
                let padding = PADDING.get(path.len()..).unwrap_or_default();
                [digest, path, padding]
            }
            Data::Fields(data) => [data, &[], &[]],
        }
    }

    /// The template data, but for the legacy template, which has none in one piece.
    pub(super) fn data(&self) -> Option<&'a [u8]> {
        match self.data {
            Data::Legacy { .. } => None,
            Data::Fields(data) => Some(data),
        }
    }

    /// What was measured; `None` where the template is not one that we know.
    ///
    /// # Errors
    /// [`MalformedList::Field`] if the data are not what the template says.
    pub fn measured(&self) -> Result<Option<Measured<'a>>, MalformedList> {
        let malformed = |field| MalformedList::Field {
            index: self.index,
            offset: self.offset,
            field,
        };
        match self.data {
            Data::Legacy { digest, path } => Ok(Some(Measured::legacy(digest, path))),
            Data::Fields(data) => template::measured(self.name, data).map_err(malformed),
        }
    }
}

/// The fields of one entry, front to back.
struct Fields<'a> {
    rest: &'a [u8],
    index: u64,
    offset: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], MalformedList> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(MalformedList::Truncated {
                index: self.index,
                offset: self.offset,
                field,
            })?;
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, MalformedList> {
        let bytes = self.take(field, 4)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn sized(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], MalformedList> {
        let length = self.u32(field)? as usize;
        if length > limit {
            return Err(MalformedList::TooLong {
                index: self.index,
                offset: self.offset,
                field,
                length,
                limit,
            });
        }
        self.take(field, length)
    }
}
