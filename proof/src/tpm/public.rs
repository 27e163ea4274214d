//! The public area of an object (TPMT_PUBLIC, Part 2 §12.2.4) and its name.
//!
//! The bytes as they came are kept and hashed for the name: a name must never depend on our re-encoding.

use super::{
    AsymmetricScheme, Buffer, Digest, EccCurve, EccPublicKey, HashAlg, KdfScheme, KeyedHashScheme,
    MalformedStructure, Name, ObjectAttributes, PublicKey, Reader, RsaPublicKey, StorageCipher,
    Writer, hex_serde::hex_serde,
};

const STRUCTURE: &str = "TPMT_PUBLIC";
const RSA: u16 = 0x0001;
const KEYEDHASH: u16 = 0x0008;
const ECC: u16 = 0x0023;

/// A parsed public area, with the bytes that it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    parts: PublicParts,
    raw: Buffer<{ Public::MAX }>,
}

/// What a public area says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicParts {
    /// The hash of the name and of the policy.
    pub name_alg: HashAlg,
    /// What the TPM lets be done with the object.
    pub attributes: ObjectAttributes,
    /// The policy that authorizes use; `None` means that no policy does.
    pub auth_policy: Option<Digest>,
    /// The kind of object, its parameters and its unique value.
    pub kind: KeyKind,
}

/// The parameters and unique value of an object (TPMU_PUBLIC_PARMS, TPMU_PUBLIC_ID).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// An RSA key.
    Rsa {
        /// For a storage key: how it protects its children.
        storage: StorageCipher,
        /// What it signs or decrypts with.
        scheme: AsymmetricScheme,
        /// Modulus and exponent.
        key: RsaPublicKey,
    },
    /// An ECC key.
    Ecc {
        /// For a storage key: how it protects its children.
        storage: StorageCipher,
        /// What it signs or agrees with.
        scheme: AsymmetricScheme,
        /// The KDF bound to the key.
        kdf: KdfScheme,
        /// Curve and point.
        key: EccPublicKey,
    },
    /// Sealed data or an HMAC key.
    KeyedHash {
        /// Which.
        scheme: KeyedHashScheme,
        /// The obfuscated digest of the sensitive part.
        unique: Digest,
    },
}

impl Public {
    /// The longest public area, in bytes.
    pub const MAX: usize = 1024;

    /// Parses a TPMT_PUBLIC.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedStructure> {
        let raw = Buffer::new(bytes).ok_or(MalformedStructure::TooLong {
            structure: STRUCTURE,
            field: "publicArea",
            length: bytes.len(),
            limit: Self::MAX,
        })?;
        let mut reader = Reader::new(STRUCTURE, bytes);
        let parts = PublicParts::read(&mut reader)?;
        reader.finish()?;
        Ok(Self { parts, raw })
    }

    /// Parses a TPM2B_PUBLIC.
    pub fn parse_sized(bytes: &[u8]) -> Result<Self, MalformedStructure> {
        let mut reader = Reader::new("TPM2B_PUBLIC", bytes);
        let content: Buffer<{ Self::MAX }> = reader.sized("publicArea")?;
        reader.finish()?;
        Self::parse(content.as_bytes())
    }

    /// Encodes `parts`; refused if they contradict each other.
    pub fn from_parts(parts: &PublicParts) -> Result<Self, MalformedStructure> {
        let mut writer = Writer::new();
        parts.write(&mut writer);
        // Parsing back applies every rule of `parse` to what callers make too.
        Self::parse(&writer.finish())
    }

    /// What the public area says.
    pub fn parts(&self) -> &PublicParts {
        &self.parts
    }

    /// The TPMT_PUBLIC.
    pub fn as_bytes(&self) -> &[u8] {
        self.raw.as_bytes()
    }

    /// The TPM2B_PUBLIC.
    pub fn to_sized(&self) -> Vec<u8> {
        self.raw.to_sized()
    }

    /// The object's name.
    pub fn name(&self) -> Name {
        Name::of_public(self.parts.name_alg, self.as_bytes())
    }

    /// The hash of the name and of the policy.
    pub fn name_alg(&self) -> HashAlg {
        self.parts.name_alg
    }

    /// What the TPM lets be done with the object.
    pub fn attributes(&self) -> ObjectAttributes {
        self.parts.attributes
    }

    /// The policy that authorizes use; `None` means that no policy does.
    pub fn auth_policy(&self) -> Option<&Digest> {
        self.parts.auth_policy.as_ref()
    }

    /// The kind of object, its parameters and its unique value.
    pub fn kind(&self) -> &KeyKind {
        &self.parts.kind
    }

    /// The public key; `None` for a keyed-hash object, which has none.
    pub fn key(&self) -> Option<PublicKey> {
        match &self.parts.kind {
            KeyKind::Rsa { key, .. } => Some(PublicKey::Rsa(key.clone())),
            KeyKind::Ecc { key, .. } => Some(PublicKey::Ecc(key.clone())),
            KeyKind::KeyedHash { .. } => None,
        }
    }
}

hex_serde!(Public, |public| public.as_bytes().to_vec(), Public::parse);

impl PublicParts {
    fn read(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        let object_type = reader.u16("type")?;
        let name_alg = HashAlg::read(reader, "nameAlg")?;
        let attributes = ObjectAttributes::read(reader)?;
        let auth_policy = Digest::read_optional(reader, STRUCTURE, "authPolicy", name_alg)?;
        let kind = match object_type {
            RSA => KeyKind::read_rsa(reader)?,
            ECC => KeyKind::read_ecc(reader)?,
            KEYEDHASH => KeyKind::read_keyed_hash(reader, name_alg)?,
            other => return Err(reader.refuse("type", other.into())),
        };
        Ok(Self {
            name_alg,
            attributes,
            auth_policy,
            kind,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .u16(self.kind.object_type())
            .u16(self.name_alg.id())
            .u32(self.attributes.bits());
        match &self.auth_policy {
            Some(policy) => writer.sized(policy.buffer()),
            None => writer.u16(0),
        };
        self.kind.write(writer);
    }
}

impl KeyKind {
    fn object_type(&self) -> u16 {
        match self {
            Self::Rsa { .. } => RSA,
            Self::Ecc { .. } => ECC,
            Self::KeyedHash { .. } => KEYEDHASH,
        }
    }

    fn read_rsa(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        let storage = StorageCipher::read(reader)?;
        let scheme = AsymmetricScheme::read_rsa(reader)?;
        let key = RsaPublicKey::read(reader)?;
        Ok(Self::Rsa {
            storage,
            scheme,
            key,
        })
    }

    fn read_ecc(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        let storage = StorageCipher::read(reader)?;
        let scheme = AsymmetricScheme::read_ecc(reader)?;
        let curve = EccCurve::read(reader)?;
        let kdf = KdfScheme::read(reader)?;
        let key = EccPublicKey::read_point(reader, curve)?;
        Ok(Self::Ecc {
            storage,
            scheme,
            kdf,
            key,
        })
    }

    fn read_keyed_hash(
        reader: &mut Reader<'_>,
        name_alg: HashAlg,
    ) -> Result<Self, MalformedStructure> {
        let scheme = KeyedHashScheme::read(reader)?;
        let unique = Digest::read_optional(reader, STRUCTURE, "unique", name_alg)?.ok_or(
            MalformedStructure::Inconsistent {
                structure: STRUCTURE,
                field: "unique",
            },
        )?;
        Ok(Self::KeyedHash { scheme, unique })
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Rsa {
                storage,
                scheme,
                key,
            } => {
                storage.write(writer);
                scheme.write(writer);
                key.write(writer);
            }
            Self::Ecc {
                storage,
                scheme,
                kdf,
                key,
            } => {
                storage.write(writer);
                scheme.write(writer);
                writer.u16(key.curve().id());
                kdf.write(writer);
                key.write_point(writer);
            }
            Self::KeyedHash { scheme, unique } => {
                scheme.write(writer);
                writer.sized(unique.buffer());
            }
        }
    }
}
