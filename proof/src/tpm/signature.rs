//! Signatures as a TPM writes them (TPMT_SIGNATURE, Part 2 §11.3.4).
//!
//! This module carries signatures; whether one is right is for `PublicKey` alone to say.

use super::{Buffer, HashAlg, MalformedStructure, Reader, Writer, hex_serde::hex_serde};

const STRUCTURE: &str = "TPMT_SIGNATURE";
const RSASSA: u16 = 0x0014;
const RSAPSS: u16 = 0x0016;
const ECDSA: u16 = 0x0018;

/// A signature with its scheme and hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// ECDSA.
    Ecdsa(EcdsaSignature),
    /// RSASSA-PKCS1-v1_5 or RSASSA-PSS.
    Rsa(RsaSignature),
}

/// An ECDSA signature: two integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcdsaSignature {
    hash: HashAlg,
    r: Buffer<48>,
    s: Buffer<48>,
}

/// An RSA signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaSignature {
    hash: HashAlg,
    padding: RsaPadding,
    bytes: Buffer<384>,
}

/// How an RSA signature is padded (RFC 8017 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaPadding {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1,
    /// RSASSA-PSS with a salt as long as the hash, as TPMs make it since library revision 1.59.
    Pss,
}

impl Signature {
    /// Parses a TPMT_SIGNATURE.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedStructure> {
        let mut reader = Reader::new(STRUCTURE, bytes);
        let scheme = reader.u16("sigAlg")?;
        let signature = match scheme {
            ECDSA => Self::Ecdsa(EcdsaSignature {
                hash: HashAlg::read(&mut reader, "hash")?,
                r: reader.sized("signatureR")?,
                s: reader.sized("signatureS")?,
            }),
            RSASSA | RSAPSS => Self::Rsa(RsaSignature {
                hash: HashAlg::read(&mut reader, "hash")?,
                padding: if scheme == RSASSA {
                    RsaPadding::Pkcs1
                } else {
                    RsaPadding::Pss
                },
                bytes: reader.sized("sig")?,
            }),
            other => return Err(reader.refuse("sigAlg", other.into())),
        };
        reader.finish()?;
        Ok(signature)
    }

    /// The TPMT_SIGNATURE.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Self::Ecdsa(EcdsaSignature { hash, r, s }) => {
                writer.u16(ECDSA).u16(hash.id()).sized(r).sized(s);
            }
            Self::Rsa(RsaSignature {
                hash,
                padding,
                bytes,
            }) => {
                let scheme = match padding {
                    RsaPadding::Pkcs1 => RSASSA,
                    RsaPadding::Pss => RSAPSS,
                };
                writer.u16(scheme).u16(hash.id()).sized(bytes);
            }
        }
        writer.finish()
    }

    /// The signature as X.509, CMS and TLS carry it: DER for ECDSA (RFC 3279 §2.2.3), the plain bytes for RSA.
    pub fn to_x509(&self) -> Vec<u8> {
        match self {
            Self::Ecdsa(signature) => signature.to_der(),
            Self::Rsa(signature) => signature.as_bytes().to_vec(),
        }
    }
}

hex_serde!(Signature, Signature::encode, Signature::parse);

impl EcdsaSignature {
    /// A signature from its integers, big-endian. `None` if one is longer than P-384 allows.
    pub fn new(hash: HashAlg, r: &[u8], s: &[u8]) -> Option<Self> {
        Some(Self {
            hash,
            r: Buffer::new(r)?,
            s: Buffer::new(s)?,
        })
    }

    /// The hash of the message.
    pub fn hash(&self) -> HashAlg {
        self.hash
    }

    /// The signature as ECDSA-Sig-Value, DER: minimal integers, whatever padding the TPM wrote.
    pub fn to_der(&self) -> Vec<u8> {
        let mut content = Vec::new();
        for integer in [&self.r, &self.s] {
            push_integer(&mut content, integer.as_bytes());
        }
        // Two integers of at most 48 bytes and their headers stay below 128, the limit of DER's short length form.
        let mut der = vec![0x30, content.len() as u8];
        der.extend_from_slice(&content);
        der
    }
}

impl RsaSignature {
    /// The hash of the message.
    pub fn hash(&self) -> HashAlg {
        self.hash
    }

    /// The padding.
    pub fn padding(&self) -> RsaPadding {
        self.padding
    }

    /// The signature's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }
}

fn push_integer(der: &mut Vec<u8>, big_endian: &[u8]) {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    let magnitude = big_endian.get(zeros..).unwrap_or_default();
    let needs_zero = magnitude.first().is_none_or(|first| first & 0x80 != 0);
    let length = magnitude.len() + usize::from(needs_zero);
    der.extend_from_slice(&[0x02, length as u8]);
    if needs_zero {
        der.push(0);
    }
    der.extend_from_slice(magnitude);
}
