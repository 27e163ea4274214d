//! The schemes inside a public area: storage cipher, signing or decryption scheme, KDF (Part 2 §11.1, §11.2).
//!
//! Schemes that Holdfast neither makes nor verifies are refused here, so that later code needs no case for them.

use super::{HashAlg, MalformedStructure, Reader, Writer, algorithm::NULL};

const AES: u16 = 0x0006;
const CFB: u16 = 0x0043;
const RSASSA: u16 = 0x0014;
const RSAES: u16 = 0x0015;
const RSAPSS: u16 = 0x0016;
const OAEP: u16 = 0x0017;
const ECDSA: u16 = 0x0018;
const ECDH: u16 = 0x0019;
const HMAC: u16 = 0x0005;
const KDF2: u16 = 0x0021;
const KDF1_SP800_56A: u16 = 0x0020;
const KDF1_SP800_108: u16 = 0x0022;
const MGF1: u16 = 0x0007;

/// How a storage key protects its children (TPMT_SYM_DEF_OBJECT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageCipher {
    /// Not a storage key.
    None,
    /// AES-128 in CFB mode.
    Aes128Cfb,
    /// AES-256 in CFB mode.
    Aes256Cfb,
}

impl StorageCipher {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        match reader.u16("symmetric")? {
            NULL => Ok(Self::None),
            AES => {
                let bits = reader.u16("symmetric.keyBits")?;
                let mode = reader.u16("symmetric.mode")?;
                match (bits, mode) {
                    (128, CFB) => Ok(Self::Aes128Cfb),
                    (256, CFB) => Ok(Self::Aes256Cfb),
                    (_, CFB) => Err(reader.refuse("symmetric.keyBits", bits.into())),
                    _ => Err(reader.refuse("symmetric.mode", mode.into())),
                }
            }
            other => Err(reader.refuse("symmetric", other.into())),
        }
    }

    pub(super) fn write(self, writer: &mut Writer) {
        match self {
            Self::None => writer.u16(NULL),
            Self::Aes128Cfb => writer.u16(AES).u16(128).u16(CFB),
            Self::Aes256Cfb => writer.u16(AES).u16(256).u16(CFB),
        };
    }
}

/// The scheme that an asymmetric key is bound to (TPMT_RSA_SCHEME, TPMT_ECC_SCHEME).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsymmetricScheme {
    /// Chosen at each use.
    Any,
    /// RSASSA-PKCS1-v1_5.
    RsaSsa(HashAlg),
    /// RSASSA-PSS.
    RsaPss(HashAlg),
    /// RSAES-PKCS1-v1_5.
    RsaEs,
    /// RSAES-OAEP.
    Oaep(HashAlg),
    /// ECDSA.
    Ecdsa(HashAlg),
    /// ECDH.
    Ecdh(HashAlg),
}

impl AsymmetricScheme {
    pub(super) fn read_rsa(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        match reader.u16("scheme")? {
            NULL => Ok(Self::Any),
            RSASSA => Ok(Self::RsaSsa(HashAlg::read(reader, "scheme.hashAlg")?)),
            RSAES => Ok(Self::RsaEs),
            RSAPSS => Ok(Self::RsaPss(HashAlg::read(reader, "scheme.hashAlg")?)),
            OAEP => Ok(Self::Oaep(HashAlg::read(reader, "scheme.hashAlg")?)),
            other => Err(reader.refuse("scheme", other.into())),
        }
    }

    pub(super) fn read_ecc(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        match reader.u16("scheme")? {
            NULL => Ok(Self::Any),
            ECDSA => Ok(Self::Ecdsa(HashAlg::read(reader, "scheme.hashAlg")?)),
            ECDH => Ok(Self::Ecdh(HashAlg::read(reader, "scheme.hashAlg")?)),
            other => Err(reader.refuse("scheme", other.into())),
        }
    }

    pub(super) fn write(self, writer: &mut Writer) {
        match self {
            Self::Any => writer.u16(NULL),
            Self::RsaSsa(hash) => writer.u16(RSASSA).u16(hash.id()),
            Self::RsaPss(hash) => writer.u16(RSAPSS).u16(hash.id()),
            Self::RsaEs => writer.u16(RSAES),
            Self::Oaep(hash) => writer.u16(OAEP).u16(hash.id()),
            Self::Ecdsa(hash) => writer.u16(ECDSA).u16(hash.id()),
            Self::Ecdh(hash) => writer.u16(ECDH).u16(hash.id()),
        };
    }
}

/// The KDF of an ECC key (TPMT_KDF_SCHEME).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdfScheme {
    /// None, as in every standard template.
    None,
    /// MGF1.
    Mgf1(HashAlg),
    /// The one-step KDF of SP 800-56A.
    Sp800_56a(HashAlg),
    /// KDF2 of IEEE 1363a.
    Kdf2(HashAlg),
    /// The counter-mode KDF of SP 800-108.
    Sp800_108(HashAlg),
}

impl KdfScheme {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        match reader.u16("kdf")? {
            NULL => Ok(Self::None),
            MGF1 => Ok(Self::Mgf1(HashAlg::read(reader, "kdf.hashAlg")?)),
            KDF1_SP800_56A => Ok(Self::Sp800_56a(HashAlg::read(reader, "kdf.hashAlg")?)),
            KDF2 => Ok(Self::Kdf2(HashAlg::read(reader, "kdf.hashAlg")?)),
            KDF1_SP800_108 => Ok(Self::Sp800_108(HashAlg::read(reader, "kdf.hashAlg")?)),
            other => Err(reader.refuse("kdf", other.into())),
        }
    }

    pub(super) fn write(self, writer: &mut Writer) {
        match self {
            Self::None => writer.u16(NULL),
            Self::Mgf1(hash) => writer.u16(MGF1).u16(hash.id()),
            Self::Sp800_56a(hash) => writer.u16(KDF1_SP800_56A).u16(hash.id()),
            Self::Kdf2(hash) => writer.u16(KDF2).u16(hash.id()),
            Self::Sp800_108(hash) => writer.u16(KDF1_SP800_108).u16(hash.id()),
        };
    }
}

/// What a keyed-hash object is (TPMT_KEYEDHASH_SCHEME).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyedHashScheme {
    /// Sealed data, or an HMAC key whose hash is chosen at each use.
    None,
    /// An HMAC key.
    Hmac(HashAlg),
}

impl KeyedHashScheme {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        match reader.u16("scheme")? {
            NULL => Ok(Self::None),
            HMAC => Ok(Self::Hmac(HashAlg::read(reader, "scheme.hashAlg")?)),
            other => Err(reader.refuse("scheme", other.into())),
        }
    }

    pub(super) fn write(self, writer: &mut Writer) {
        match self {
            Self::None => writer.u16(NULL),
            Self::Hmac(hash) => writer.u16(HMAC).u16(hash.id()),
        };
    }
}
