//! NV indices: handle, attributes, public area and name (Part 2 §13).
//!
//! A name here says what the index *is*; it never says what the index holds.

use super::{Digest, HashAlg, MalformedStructure, Name, Reader, Writer, hex_serde::hex_serde};

const STRUCTURE: &str = "TPMS_NV_PUBLIC";

/// The handle of an NV index: 0x01 in its highest byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NvIndex(u32);

impl NvIndex {
    /// The index with this `handle`; `None` if the handle is not one of an NV index.
    pub const fn new(handle: u32) -> Option<Self> {
        if handle >> 24 == 0x01 {
            Some(Self(handle))
        } else {
            None
        }
    }

    /// The handle.
    pub const fn handle(self) -> u32 {
        self.0
    }
}

impl std::fmt::Debug for NvIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// What an index holds (TPM_NT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NvIndexType {
    /// Opaque data.
    Ordinary,
    /// A counter of 8 bytes that only increments.
    Counter,
    /// 64 bits that can only be set.
    Bits,
    /// A digest that is only extended.
    Extend,
    /// A PIN that counts its failures.
    PinFail,
    /// A PIN that counts its uses.
    PinPass,
}

/// The attributes of an index (TPMA_NV, Part 2 §13.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NvAttributes(u32);

impl NvAttributes {
    /// The owner may write.
    pub const OWNER_WRITE: Self = Self(1 << 1);
    /// The authValue authorizes writing.
    pub const AUTH_WRITE: Self = Self(1 << 2);
    /// The policy authorizes writing.
    pub const POLICY_WRITE: Self = Self(1 << 3);
    /// Deletion needs the policy.
    pub const POLICY_DELETE: Self = Self(1 << 10);
    /// The owner may read.
    pub const OWNER_READ: Self = Self(1 << 17);
    /// The authValue authorizes reading.
    pub const AUTH_READ: Self = Self(1 << 18);
    /// The policy authorizes reading.
    pub const POLICY_READ: Self = Self(1 << 19);
    /// Not subject to dictionary-attack lockout.
    pub const NO_DA: Self = Self(1 << 25);
    /// Kept in RAM between orderly shutdowns.
    pub const ORDERLY: Self = Self(1 << 26);
    /// Has been written at least once.
    pub const WRITTEN: Self = Self(1 << 29);

    const KNOWN: u32 = 0xfe0f_fcff;
    const TYPE_SHIFT: u32 = 4;

    /// The attributes of an index of `kind` and no others.
    pub const fn of(kind: NvIndexType) -> Self {
        let kind: u32 = match kind {
            NvIndexType::Ordinary => 0,
            NvIndexType::Counter => 1,
            NvIndexType::Bits => 2,
            NvIndexType::Extend => 4,
            NvIndexType::PinFail => 8,
            NvIndexType::PinPass => 9,
        };
        Self(kind << Self::TYPE_SHIFT)
    }

    /// The attributes in `bits`; `None` if a reserved bit is set or the index type is unknown.
    pub fn from_bits(bits: u32) -> Option<Self> {
        let known = bits & !Self::KNOWN == 0 && Self::kind_of(bits).is_some();
        known.then_some(Self(bits))
    }

    /// The bits of TPMA_NV.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// What the index holds.
    pub fn kind(self) -> NvIndexType {
        // Every constructor has checked the type; ordinary is the one that proves nothing.
        Self::kind_of(self.0).unwrap_or(NvIndexType::Ordinary)
    }

    /// These attributes and the `other` ones; `other` must not name an index type.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | (other.0 & !(0xf << Self::TYPE_SHIFT)))
    }

    /// Whether all of the `other` attributes are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn kind_of(bits: u32) -> Option<NvIndexType> {
        match (bits >> Self::TYPE_SHIFT) & 0xf {
            0 => Some(NvIndexType::Ordinary),
            1 => Some(NvIndexType::Counter),
            2 => Some(NvIndexType::Bits),
            4 => Some(NvIndexType::Extend),
            8 => Some(NvIndexType::PinFail),
            9 => Some(NvIndexType::PinPass),
            _ => None,
        }
    }
}

impl std::fmt::Debug for NvAttributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NvAttributes({:#010x})", self.0)
    }
}

/// The public area of an index (TPMS_NV_PUBLIC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvPublic {
    /// Its handle.
    pub index: NvIndex,
    /// The hash of the name and of the policy.
    pub name_alg: HashAlg,
    /// What may be done with it, and by whom.
    pub attributes: NvAttributes,
    /// The policy that authorizes use; `None` means that no policy does.
    pub auth_policy: Option<Digest>,
    /// The size of its data, in bytes.
    pub data_size: u16,
}

impl NvPublic {
    /// Parses a TPMS_NV_PUBLIC.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedStructure> {
        let mut reader = Reader::new(STRUCTURE, bytes);
        let handle = reader.u32("nvIndex")?;
        let index = NvIndex::new(handle).ok_or_else(|| reader.refuse("nvIndex", handle.into()))?;
        let name_alg = HashAlg::read(&mut reader, "nameAlg")?;
        let bits = reader.u32("attributes")?;
        let attributes = NvAttributes::from_bits(bits)
            .ok_or_else(|| reader.refuse("attributes", bits.into()))?;
        let auth_policy = Digest::read_optional(&mut reader, STRUCTURE, "authPolicy", name_alg)?;
        let data_size = reader.u16("dataSize")?;
        reader.finish()?;
        Ok(Self {
            index,
            name_alg,
            attributes,
            auth_policy,
            data_size,
        })
    }

    /// Parses a TPM2B_NV_PUBLIC.
    pub fn parse_sized(bytes: &[u8]) -> Result<Self, MalformedStructure> {
        let mut reader = Reader::new("TPM2B_NV_PUBLIC", bytes);
        let content: super::Buffer<128> = reader.sized("nvPublic")?;
        reader.finish()?;
        Self::parse(content.as_bytes())
    }

    /// The TPMS_NV_PUBLIC.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .u32(self.index.handle())
            .u16(self.name_alg.id())
            .u32(self.attributes.bits());
        match &self.auth_policy {
            Some(policy) => writer.sized(policy.buffer()),
            None => writer.u16(0),
        };
        writer.u16(self.data_size);
        writer.finish()
    }

    /// The index's name. It changes when the index is first written, because `WRITTEN` is one of the attributes.
    pub fn name(&self) -> Name {
        Name::of_public(self.name_alg, &self.encode())
    }
}

hex_serde!(NvPublic, NvPublic::encode, NvPublic::parse);
