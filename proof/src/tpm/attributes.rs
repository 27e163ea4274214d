//! Object attributes (TPMA_OBJECT, Part 2 §8.3).
//!
//! Reserved bits are refused: an attribute that we do not know might weaken the ones we check.

use super::{MalformedStructure, Reader};

/// The attributes of an object.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectAttributes(u32);

impl ObjectAttributes {
    /// The object never leaves this TPM.
    pub const FIXED_TPM: Self = Self(1 << 1);
    /// A saved context dies with the next TPM reset or restart.
    pub const ST_CLEAR: Self = Self(1 << 2);
    /// The object never moves to another parent.
    pub const FIXED_PARENT: Self = Self(1 << 4);
    /// The TPM made the secret part itself.
    pub const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    /// The authValue alone authorizes use.
    pub const USER_WITH_AUTH: Self = Self(1 << 6);
    /// Administration needs the policy.
    pub const ADMIN_WITH_POLICY: Self = Self(1 << 7);
    /// Not subject to dictionary-attack lockout.
    pub const NO_DA: Self = Self(1 << 10);
    /// Duplication must be encrypted.
    pub const ENCRYPTED_DUPLICATION: Self = Self(1 << 11);
    /// Works only on structures that the TPM itself formats or recognizes.
    pub const RESTRICTED: Self = Self(1 << 16);
    /// May decrypt.
    pub const DECRYPT: Self = Self(1 << 17);
    /// May sign, or for a symmetric key encrypt.
    pub const SIGN: Self = Self(1 << 18);
    /// May sign only X.509 certificates that the TPM formats.
    pub const X509_SIGN: Self = Self(1 << 19);

    const KNOWN: u32 = 0x000f_0cf6;

    /// The attributes in `bits`; `None` if a reserved bit is set.
    pub fn from_bits(bits: u32) -> Option<Self> {
        (bits & !Self::KNOWN == 0).then_some(Self(bits))
    }

    /// The bits of TPMA_OBJECT.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// These attributes and the `other` ones.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of the `other` attributes are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of the `other` attributes is set.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether this is an attestation key: it signs only what its own TPM says, and its private part was made in that TPM
    /// and stays there. Only then does a quote or certification under it mean anything.
    pub fn is_attestation_key(self) -> bool {
        self.contains(Self::BORN_AND_BOUND.with(Self::SIGN).with(Self::RESTRICTED))
            && !self.intersects(Self::DECRYPT.with(Self::X509_SIGN))
    }

    /// Whether this is a signing key that was made in its TPM and stays there, and that signs any digest.
    pub fn is_bound_signing_key(self) -> bool {
        self.contains(Self::BORN_AND_BOUND.with(Self::SIGN))
            && !self.intersects(Self::DECRYPT.with(Self::RESTRICTED).with(Self::X509_SIGN))
    }

    /// Whether this is a storage key (an EK or SRK): restricted, decrypting, never signing, made in its TPM and bound to it.
    pub fn is_bound_storage_key(self) -> bool {
        self.contains(
            Self::BORN_AND_BOUND
                .with(Self::DECRYPT)
                .with(Self::RESTRICTED),
        ) && !self.intersects(Self::SIGN)
    }

    const BORN_AND_BOUND: Self = Self::FIXED_TPM
        .with(Self::FIXED_PARENT)
        .with(Self::SENSITIVE_DATA_ORIGIN);

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        let bits = reader.u32("objectAttributes")?;
        Self::from_bits(bits).ok_or_else(|| reader.refuse("objectAttributes", bits.into()))
    }
}

impl std::fmt::Debug for ObjectAttributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectAttributes({:#010x})", self.0)
    }
}
