//! Names: what a TPM calls an entity when it authorizes or certifies it (Part 1 §16).
//!
//! A name must never be built from a caller's claim where the public area itself is at hand: hash that.

use super::{Buffer, Digest, HashAlg, MalformedStructure, Reader, hex_serde::hex_serde};

const STRUCTURE: &str = "TPM2B_NAME";

/// The name of an entity: `nameAlg ‖ digest of its public area`, or the handle of an entity that has no public area.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Buffer<{ Name::MAX }>);

impl Name {
    /// The longest name, in bytes.
    pub const MAX: usize = 2 + HashAlg::MAX_DIGEST;

    /// TPM_RH_OWNER.
    pub fn owner() -> Self {
        Self::of_handle(0x4000_0001)
    }

    /// TPM_RH_ENDORSEMENT, which authorizes the use of an EK.
    pub fn endorsement() -> Self {
        Self::of_handle(0x4000_000b)
    }

    /// The name of a permanent handle, a PCR or a session: the handle itself.
    pub fn of_handle(handle: u32) -> Self {
        Self(Buffer::new(&handle.to_be_bytes()).unwrap_or_default())
    }

    /// The name of an object or NV index with this `public` area.
    pub fn of_public(name_alg: HashAlg, public: &[u8]) -> Self {
        let mut bytes = name_alg.id().to_be_bytes().to_vec();
        bytes.extend_from_slice(name_alg.digest(public).as_bytes());
        Self(Buffer::new(&bytes).unwrap_or_default())
    }

    /// Parses the content of a TPM2B_NAME.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedStructure> {
        let mut reader = Reader::new(STRUCTURE, bytes);
        if bytes.len() == 4 {
            return Ok(Self::of_handle(reader.u32("handle")?));
        }
        let alg = HashAlg::read(&mut reader, "nameAlg")?;
        if Digest::new(alg, reader.remaining()).is_none() {
            return Err(MalformedStructure::Inconsistent {
                structure: STRUCTURE,
                field: "digest",
            });
        }
        Ok(Self(Buffer::new(bytes).unwrap_or_default()))
    }

    pub(super) fn read(
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<Self, MalformedStructure> {
        let bytes: Buffer<{ Self::MAX }> = reader.sized(field)?;
        Self::parse(bytes.as_bytes())
    }

    /// The bytes, without a length.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The name as a TPM2B_NAME.
    pub fn to_sized(&self) -> Vec<u8> {
        self.0.to_sized()
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(self.as_bytes()))
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Name({self})")
    }
}

hex_serde!(Name, |name| name.as_bytes().to_vec(), Name::parse);
