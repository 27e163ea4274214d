//! What a TPM attests (TPMS_ATTEST, Part 2 §10.12): quotes, certified keys, certified NV contents, audited sessions.
//!
//! Parsing says only what the bytes claim. They mean nothing before `PublicKey::verify` accepted the signature over
//! `as_bytes`, under a key whose attributes are those of an attestation key.

use super::{
    Buffer, ClockInfo, HashAlg, MalformedStructure, Name, PcrSelection, Reader,
    hex_serde::hex_serde,
};

const STRUCTURE: &str = "TPMS_ATTEST";
/// TPM_GENERATED_VALUE: a restricted key signs bytes that start so only if its own TPM made them.
const MAGIC: u32 = 0xff54_4347;
const ST_ATTEST_NV: u16 = 0x8014;
const ST_ATTEST_SESSION_AUDIT: u16 = 0x8016;
const ST_ATTEST_CERTIFY: u16 = 0x8017;
const ST_ATTEST_QUOTE: u16 = 0x8018;

/// A parsed attestation, with the bytes that the signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    qualified_signer: Name,
    extra_data: Buffer<{ Attest::MAX_EXTRA_DATA }>,
    clock: ClockInfo,
    firmware_version: u64,
    attested: Attested,
    raw: Vec<u8>,
}

/// What is attested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attested {
    /// PCRs, by TPM2_Quote.
    Quote(Quoted),
    /// An object, by TPM2_Certify.
    Certify(Certified),
    /// The contents of an NV index, by TPM2_NV_Certify.
    NvCertify(NvCertified),
    /// The commands of an audit session, by TPM2_GetSessionAuditDigest.
    SessionAudit(SessionAudited),
}

/// TPMS_QUOTE_INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// The PCRs that the digest covers: the only selection to believe.
    pub selection: PcrSelection,
    /// The digest of their values, by the hash of the signing scheme.
    pub pcr_digest: Buffer<{ HashAlg::MAX_DIGEST }>,
}

/// TPMS_CERTIFY_INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The name of the object.
    pub name: Name,
    /// Its name together with those of its ancestors.
    pub qualified_name: Name,
}

/// TPMS_NV_CERTIFY_INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvCertified {
    /// The name of the index.
    pub index_name: Name,
    /// Where in the index the contents start.
    pub offset: u16,
    /// The contents.
    pub contents: Buffer<2048>,
}

/// TPMS_SESSION_AUDIT_INFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionAudited {
    /// Whether the session was the only one in use since it began to audit.
    pub exclusive: Exclusive,
    /// The digest of all its commands and their answers (`crate::audit`), by the session's hash.
    pub session_digest: Buffer<{ HashAlg::MAX_DIGEST }>,
}

/// Whether commands came in between that an audit session did not see (Part 1 §17.2, exclusive audit session).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusive {
    /// Some may have come.
    No,
    /// None came.
    Yes,
}

impl Attest {
    /// The longest extraData (TPM2B_DATA), in bytes.
    pub const MAX_EXTRA_DATA: usize = 2 + HashAlg::MAX_DIGEST;

    /// The longest attestation, in bytes.
    pub const MAX: usize = 4096;

    /// Parses a TPMS_ATTEST.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedStructure> {
        if bytes.len() > Self::MAX {
            return Err(MalformedStructure::TooLong {
                structure: STRUCTURE,
                field: "attestationData",
                length: bytes.len(),
                limit: Self::MAX,
            });
        }
        let mut reader = Reader::new(STRUCTURE, bytes);
        let magic = reader.u32("magic")?;
        if magic != MAGIC {
            return Err(reader.refuse("magic", magic.into()));
        }
        let kind = reader.u16("type")?;
        let qualified_signer = Name::read(&mut reader, "qualifiedSigner")?;
        let extra_data = reader.sized("extraData")?;
        let clock = ClockInfo::read(&mut reader)?;
        let firmware_version = reader.u64("firmwareVersion")?;
        let attested = match kind {
            ST_ATTEST_QUOTE => Attested::Quote(Quoted {
                selection: PcrSelection::read(&mut reader)?,
                pcr_digest: reader.sized("pcrDigest")?,
            }),
            ST_ATTEST_CERTIFY => Attested::Certify(Certified {
                name: Name::read(&mut reader, "name")?,
                qualified_name: Name::read(&mut reader, "qualifiedName")?,
            }),
            ST_ATTEST_NV => Attested::NvCertify(NvCertified {
                index_name: Name::read(&mut reader, "indexName")?,
                offset: reader.u16("offset")?,
                contents: reader.sized("nvContents")?,
            }),
            ST_ATTEST_SESSION_AUDIT => Attested::SessionAudit(SessionAudited {
                exclusive: match reader.u8("exclusiveSession")? {
                    0 => Exclusive::No,
                    1 => Exclusive::Yes,
                    other => return Err(reader.refuse("exclusiveSession", other.into())),
                },
                session_digest: reader.sized("sessionDigest")?,
            }),
            other => return Err(reader.refuse("type", other.into())),
        };
        reader.finish()?;
        Ok(Self {
            qualified_signer,
            extra_data,
            clock,
            firmware_version,
            attested,
            raw: bytes.to_vec(),
        })
    }

    /// The bytes that the signature covers.
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// The qualified name of the signing key.
    pub fn qualified_signer(&self) -> &Name {
        &self.qualified_signer
    }

    /// What the caller of the TPM asked to be signed along.
    pub fn extra_data(&self) -> &[u8] {
        self.extra_data.as_bytes()
    }

    /// Clock and reset counters. Plain only under a key of the endorsement or platform hierarchy; obfuscated otherwise.
    pub fn clock(&self) -> ClockInfo {
        self.clock
    }

    /// The firmware version, as the vendor numbers it. Obfuscated as the counters are.
    pub fn firmware_version(&self) -> u64 {
        self.firmware_version
    }

    /// What is attested.
    pub fn attested(&self) -> &Attested {
        &self.attested
    }
}

hex_serde!(Attest, |attest| attest.as_bytes().to_vec(), Attest::parse);

impl NvCertified {
    /// The value of a counter index; `None` if this is not the whole of one.
    pub fn counter_value(&self) -> Option<u64> {
        let bytes: [u8; 8] = self.contents.as_bytes().try_into().ok()?;
        (self.offset == 0).then_some(u64::from_be_bytes(bytes))
    }
}
