//! The byte level of TPM structures: big-endian integers and 16-bit length-prefixed buffers (TCG TPM 2.0 Part 2 §4, §10.4).
//!
//! Nothing here may allocate by a length that the peer names before that many bytes are really there, nor read on
//! after an error.

use super::MalformedStructure;

/// Reads one structure from untrusted bytes, front to back.
#[derive(Debug)]
pub struct Reader<'a> {
    structure: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts to read `bytes` as a `structure` (its TCG name, used in errors).
    pub fn new(structure: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            structure,
            rest: bytes,
        }
    }

    /// The next `count` bytes, which are the `field`.
    pub fn take(
        &mut self,
        field: &'static str,
        count: usize,
    ) -> Result<&'a [u8], MalformedStructure> {
        let (taken, rest) =
            self.rest
                .split_at_checked(count)
                .ok_or(MalformedStructure::Truncated {
                    structure: self.structure,
                    field,
                })?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], MalformedStructure> {
        let (taken, rest) =
            self.rest
                .split_first_chunk::<N>()
                .ok_or(MalformedStructure::Truncated {
                    structure: self.structure,
                    field,
                })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A UINT8.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, MalformedStructure> {
        Ok(u8::from_be_bytes(self.array(field)?))
    }

    /// A UINT16.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, MalformedStructure> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    /// A UINT32.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, MalformedStructure> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    /// A UINT64.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, MalformedStructure> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }

    /// The content of a `TPM2B_…` of at most `MAX` bytes.
    pub fn sized<const MAX: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<Buffer<MAX>, MalformedStructure> {
        let length = usize::from(self.u16(field)?);
        if length > MAX {
            return Err(MalformedStructure::TooLong {
                structure: self.structure,
                field,
                length,
                limit: MAX,
            });
        }
        Ok(Buffer(self.take(field, length)?.to_vec()))
    }

    /// Ends the structure: whatever follows it is refused, because two readers must never disagree about its end.
    pub fn finish(self) -> Result<(), MalformedStructure> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(MalformedStructure::Trailing {
                structure: self.structure,
                excess: self.rest.len(),
            })
        }
    }

    /// What has not been read yet.
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// An error that says which value of `field` is refused.
    pub(crate) fn refuse(&self, field: &'static str, value: u64) -> MalformedStructure {
        MalformedStructure::Unsupported {
            structure: self.structure,
            field,
            value,
        }
    }
}

/// Writes one structure.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty structure.
    pub fn new() -> Self {
        Self::default()
    }

    /// A UINT8.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A UINT16.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A UINT32.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A UINT64.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Bytes as they are, without a length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A `TPM2B_…`.
    pub fn sized<const MAX: usize>(&mut self, buffer: &Buffer<MAX>) -> &mut Self {
        self.u16(buffer.length()).bytes(buffer.as_bytes())
    }

    /// The finished bytes.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// Bytes that fit a `TPM2B_…` of at most `MAX` bytes, which is at most 65,535.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Buffer<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Buffer<MAX> {
    const FITS_A_UINT16: () = assert!(MAX <= 0xffff, "a TPM2B has a 16-bit length");

    /// Copies `bytes`; `None` if they are longer than `MAX`.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= MAX).then(|| Self(bytes.to_vec()))
    }

    /// The bytes, without their length.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes behind their 16-bit length, as a `TPM2B_…`.
    pub fn to_sized(&self) -> Vec<u8> {
        Writer::new().sized(self).finish()
    }

    fn length(&self) -> u16 {
        // Every constructor bounds the length by MAX, and MAX is bounded when this is compiled.
        let () = Self::FITS_A_UINT16;
        self.0.len() as u16
    }
}
