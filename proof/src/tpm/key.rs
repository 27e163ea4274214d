//! Public keys that a TPM holds the private part of, and what their signatures prove.
//!
//! Verification here never falls back: an algorithm pair that is not listed is refused, and SHA-1 is in no pair.

use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

use super::{
    Buffer, EccCurve, HashAlg, MalformedStructure, Reader, RsaPadding, Signature, Writer, spki,
};

/// Why a signature is refused. Whoever sent the signature or chose the key is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefused {
    /// The signature is not one of this message under this key.
    #[error("the signature does not verify")]
    Wrong,
    /// Key, scheme and hash are not a combination that Holdfast accepts.
    #[error("this combination of key, scheme and hash is not accepted")]
    Unsupported,
}

/// An asymmetric public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// ECC on P-256 or P-384.
    Ecc(EccPublicKey),
    /// RSA with 2048 or 3072 bits.
    Rsa(RsaPublicKey),
}

impl PublicKey {
    /// Verifies `signature` over `message`, which is hashed here with the signature's hash.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureRefused> {
        match (self, signature) {
            (Self::Ecc(key), Signature::Ecdsa(signature)) => {
                key.verify_der(message, signature.hash(), &signature.to_der())
            }
            (Self::Rsa(key), Signature::Rsa(signature)) => key.verify(
                message,
                signature.hash(),
                signature.padding(),
                signature.as_bytes(),
            ),
            (Self::Ecc(_), Signature::Rsa(_)) | (Self::Rsa(_), Signature::Ecdsa(_)) => {
                Err(SignatureRefused::Unsupported)
            }
        }
    }

    /// Parses a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), DER. `None` if it is malformed or not a key that is accepted.
    pub fn from_spki_der(der: &[u8]) -> Option<Self> {
        spki::decode(der)
    }

    /// The SubjectPublicKeyInfo, DER.
    pub fn to_spki_der(&self) -> Vec<u8> {
        spki::encode(self)
    }
}

/// A point on a curve, not yet known to lie on it: a point that does not verifies nothing and agrees with nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct EccPublicKey {
    curve: EccCurve,
    /// SEC 1 §2.3.3, uncompressed: 04 ‖ x ‖ y.
    point: Vec<u8>,
}

impl EccPublicKey {
    /// A key from its coordinates, big-endian; leading zeros may be missing. `None` if one is too long.
    pub fn new(curve: EccCurve, x: &[u8], y: &[u8]) -> Option<Self> {
        let mut point = vec![0x04];
        for coordinate in [x, y] {
            let missing = curve.coordinate_len().checked_sub(coordinate.len())?;
            point.extend(std::iter::repeat_n(0, missing));
            point.extend_from_slice(coordinate);
        }
        Some(Self { curve, point })
    }

    /// A key from its uncompressed SEC 1 form.
    pub fn from_sec1(curve: EccCurve, point: &[u8]) -> Option<Self> {
        let (tag, coordinates) = point.split_first()?;
        if *tag != 0x04 || coordinates.len() != 2 * curve.coordinate_len() {
            return None;
        }
        Some(Self {
            curve,
            point: point.to_vec(),
        })
    }

    /// The curve.
    pub fn curve(&self) -> EccCurve {
        self.curve
    }

    /// The uncompressed SEC 1 form.
    pub fn to_sec1(&self) -> &[u8] {
        &self.point
    }

    /// The x and y coordinates, big-endian, at the curve's full length.
    pub fn coordinates(&self) -> (&[u8], &[u8]) {
        let coordinates = self.point.get(1..).unwrap_or_default();
        coordinates
            .split_at_checked(self.curve.coordinate_len())
            .unwrap_or_default()
    }

    /// Verifies an ECDSA signature in ASN.1 DER form (RFC 3279 §2.2.3).
    pub fn verify_der(
        &self,
        message: &[u8],
        hash: HashAlg,
        signature: &[u8],
    ) -> Result<(), SignatureRefused> {
        let algorithm = match (self.curve, hash) {
            (EccCurve::P256, HashAlg::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (EccCurve::P256, HashAlg::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
            (EccCurve::P384, HashAlg::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
            (EccCurve::P384, HashAlg::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
            (EccCurve::P256 | EccCurve::P384, HashAlg::Sha1 | HashAlg::Sha512) => {
                return Err(SignatureRefused::Unsupported);
            }
        };
        UnparsedPublicKey::new(algorithm, &self.point)
            .verify(message, signature)
            .map_err(|_| SignatureRefused::Wrong)
    }

    /// Reads a TPMS_ECC_POINT on `curve`.
    pub(super) fn read_point(
        reader: &mut Reader<'_>,
        curve: EccCurve,
    ) -> Result<Self, MalformedStructure> {
        let x: Buffer<48> = reader.sized("unique.x")?;
        let y: Buffer<48> = reader.sized("unique.y")?;
        Self::new(curve, x.as_bytes(), y.as_bytes()).ok_or(MalformedStructure::Inconsistent {
            structure: "TPMS_ECC_POINT",
            field: "x or y",
        })
    }

    /// Writes a TPMS_ECC_POINT.
    pub(crate) fn write_point(&self, writer: &mut Writer) {
        let (x, y) = self.coordinates();
        for coordinate in [x, y] {
            writer.sized(&Buffer::<48>::new(coordinate).unwrap_or_default());
        }
    }
}

impl std::fmt::Debug for EccPublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = data_encoding::HEXLOWER.encode(&self.point);
        write!(f, "{:?}:{hex}", self.curve)
    }
}

/// An RSA public key of 2048 or 3072 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaPublicKey {
    /// Big-endian, its highest bit set, so never shorter than the key.
    modulus: Buffer<384>,
    exponent: u32,
}

impl RsaPublicKey {
    /// The exponent that a TPM writes as 0.
    pub const DEFAULT_EXPONENT: u32 = 65_537;

    /// A key from its big-endian modulus. `None` if it has not 2048 or 3072 bits, or if the exponent is even or below 3.
    pub fn new(modulus: &[u8], exponent: u32) -> Option<Self> {
        let full = modulus.first().is_some_and(|first| first & 0x80 != 0);
        if !matches!(modulus.len(), 256 | 384)
            || !full
            || exponent < 3
            || exponent.is_multiple_of(2)
        {
            return None;
        }
        Some(Self {
            modulus: Buffer::new(modulus)?,
            exponent,
        })
    }

    /// The modulus, big-endian, without leading zeros.
    pub fn modulus(&self) -> &[u8] {
        self.modulus.as_bytes()
    }

    /// The public exponent.
    pub fn exponent(&self) -> u32 {
        self.exponent
    }

    /// Verifies an RSA signature over `message`.
    pub fn verify(
        &self,
        message: &[u8],
        hash: HashAlg,
        padding: RsaPadding,
        signature: &[u8],
    ) -> Result<(), SignatureRefused> {
        let parameters = match (padding, hash) {
            (RsaPadding::Pkcs1, HashAlg::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (RsaPadding::Pkcs1, HashAlg::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (RsaPadding::Pkcs1, HashAlg::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (RsaPadding::Pss, HashAlg::Sha256) => &signature::RSA_PSS_2048_8192_SHA256,
            (RsaPadding::Pss, HashAlg::Sha384) => &signature::RSA_PSS_2048_8192_SHA384,
            (RsaPadding::Pss, HashAlg::Sha512) => &signature::RSA_PSS_2048_8192_SHA512,
            (RsaPadding::Pkcs1 | RsaPadding::Pss, HashAlg::Sha1) => {
                return Err(SignatureRefused::Unsupported);
            }
        };
        let exponent = self.exponent.to_be_bytes();
        let leading_zeros = exponent.iter().take_while(|byte| **byte == 0).count();
        RsaPublicKeyComponents {
            n: self.modulus(),
            e: exponent.get(leading_zeros..).unwrap_or_default(),
        }
        .verify(parameters, message, signature)
        .map_err(|_| SignatureRefused::Wrong)
    }

    /// Reads `keyBits`, `exponent` and the modulus of a public area.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        let bits = reader.u16("keyBits")?;
        let exponent = match reader.u32("exponent")? {
            0 => Self::DEFAULT_EXPONENT,
            // The TPM spells 65537 as 0; the other spelling would name the same key twice.
            Self::DEFAULT_EXPONENT => {
                return Err(reader.refuse("exponent", Self::DEFAULT_EXPONENT.into()));
            }
            other => other,
        };
        let modulus: Buffer<384> = reader.sized("unique")?;
        Self::new(modulus.as_bytes(), exponent)
            .filter(|key| key.bits() == bits)
            .ok_or(MalformedStructure::Inconsistent {
                structure: "TPMT_PUBLIC",
                field: "keyBits, exponent or unique",
            })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        let exponent = match self.exponent {
            Self::DEFAULT_EXPONENT => 0,
            other => other,
        };
        writer.u16(self.bits()).u32(exponent).sized(&self.modulus);
    }

    fn bits(&self) -> u16 {
        if self.modulus().len() == 384 {
            3072
        } else {
            2048
        }
    }
}
