//! Between the software stack's types and the verifier's: bytes are what both agree on.
//!
//! Whatever comes from the TPM is parsed by the same code that the attestor uses; nothing is believed because the
//! software stack parsed it.

use holdfast_proof::tpm::{
    ActiveBanks, Attest, Buffer, ClockInfo, Digest, HashAlg, MalformedStructure, Name, NvPublic,
    PcrIndex, PcrMismatch, PcrSelection, Public, Reader, Safe, Signature, Writer,
};
use holdfast_protocol::Sha256Digest;
use tss_esapi::structures as esapi;
use tss_esapi::traits::{Marshall as _, UnMarshall as _};
use tss_esapi::tss2_esys::{TPML_DIGEST, TPML_PCR_SELECTION};

use crate::error::{At as _, TpmError};

pub(crate) fn public(public: &esapi::Public) -> Result<Public, TpmError> {
    Public::parse(&public.marshall().at("TPM2_ReadPublic")?).at("TPM2_ReadPublic")
}

pub(crate) fn signature(
    signature: &esapi::Signature,
    command: &'static str,
) -> Result<Signature, TpmError> {
    Signature::parse(&signature.marshall().at(command)?).at(command)
}

pub(crate) fn to_signature(
    signature: &Signature,
    command: &'static str,
) -> Result<esapi::Signature, TpmError> {
    esapi::Signature::unmarshall(&signature.encode()).at(command)
}

pub(crate) fn attestation(
    (attest, sig): (esapi::Attest, esapi::Signature),
    command: &'static str,
) -> Result<(Attest, Signature), TpmError> {
    let attest = Attest::parse(&attest.marshall().at(command)?).at(command)?;
    Ok((attest, signature(&sig, command)?))
}

pub(crate) fn digest(digest: &Sha256Digest) -> esapi::Digest {
    esapi::Digest::from(*digest.as_bytes())
}

pub(crate) fn sha256(digest: &Digest) -> Option<Sha256Digest> {
    Sha256Digest::try_from(digest.as_bytes()).ok()
}

pub(crate) fn data(digest: &Sha256Digest) -> Result<esapi::Data, TpmError> {
    esapi::Data::from_bytes(digest.as_bytes()).at("TPM2B_DATA")
}

pub(crate) fn policy_operand(bytes: &[u8]) -> Result<esapi::Digest, TpmError> {
    esapi::Digest::from_bytes(bytes).at("TPM2B_OPERAND")
}

pub(crate) fn clock_info(time: &esapi::TimeInfo) -> ClockInfo {
    let clock = time.clock_info();
    ClockInfo {
        clock_ms: clock.clock(),
        reset_count: clock.reset_count(),
        restart_count: clock.restart_count(),
        safe: if clock.safe() { Safe::Yes } else { Safe::No },
    }
}

/// The name that the software stack's record of an object or index carries, and the one of the public area in it.
///
/// The record is what ESYS_TR_Serialize writes: handle, TPM2B_NAME, a tag, and the public area as a TPM2B.
pub(crate) fn names_in_record(record: &[u8]) -> Result<(Name, Name), MalformedStructure> {
    const STRUCTURE: &str = "IESYS_RESOURCE";
    const KEY: u32 = 1;
    const NV: u32 = 2;
    let mut reader = Reader::new(STRUCTURE, record);
    reader.u32("handle")?;
    let claimed: Buffer<{ Name::MAX }> = reader.sized("name")?;
    let claimed = Name::parse(claimed.as_bytes())?;
    let actual = match reader.u32("rsrcType")? {
        KEY => Public::parse_sized(reader.remaining())?.name(),
        NV => NvPublic::parse_sized(reader.remaining())?.name(),
        other => {
            return Err(MalformedStructure::Unsupported {
                structure: STRUCTURE,
                field: "rsrcType",
                value: other.into(),
            });
        }
    };
    Ok((claimed, actual))
}

/// The selection with its banks in order: the wrapper's own builder keeps them in a hash map, whose order is random, while
/// quotes and policies depend on it.
pub(crate) fn pcr_selection(selection: &PcrSelection) -> Result<esapi::PcrSelectionList, TpmError> {
    let mut list = TPML_PCR_SELECTION::default();
    for (entry, (alg, indices)) in list.pcrSelections.iter_mut().zip(selection.banks()) {
        let bits = indices
            .iter()
            .fold(0_u32, |bits, index| bits | 1 << index.get());
        entry.hash = alg.id();
        entry.sizeofSelect = 3;
        entry.pcrSelect = bits.to_le_bytes();
        list.count += 1;
    }
    esapi::PcrSelectionList::try_from(list).at("TPML_PCR_SELECTION")
}

/// The banks that TPM2_GetCapability told, in the bytes in which it told them.
pub(crate) fn active_banks(list: esapi::PcrSelectionList) -> Result<ActiveBanks, TpmError> {
    const COMMAND: &str = "TPM2_GetCapability";
    let list = TPML_PCR_SELECTION::from(list);
    let mut writer = Writer::new();
    writer.u32(list.count);
    for entry in list.pcrSelections.iter().take(list.count as usize) {
        let size = usize::from(entry.sizeofSelect);
        let bitmap = entry.pcrSelect.get(..size).unwrap_or_default();
        writer.u16(entry.hash).u8(entry.sizeofSelect).bytes(bitmap);
    }
    ActiveBanks::parse(&writer.finish()).at(COMMAND)
}

/// The values that one TPM2_PCR_Read returned, and what it selected.
pub(crate) fn pcr_values(
    selected: esapi::PcrSelectionList,
    digests: esapi::DigestList,
) -> Result<Vec<(PcrIndex, Digest)>, TpmError> {
    const MALFORMED: TpmError = TpmError::Unsupported {
        what: "it answers TPM2_PCR_Read with other values than it names",
    };
    let list = TPML_PCR_SELECTION::from(selected);
    let digests = TPML_DIGEST::try_from(digests).at("TPM2_PCR_Read")?;
    let mut digests = digests
        .digests
        .iter()
        .take(digests.count as usize)
        .map(|digest| digest.buffer.get(..usize::from(digest.size)));
    let mut values = Vec::new();
    for entry in list.pcrSelections.iter().take(list.count as usize) {
        let alg = HashAlg::from_id(entry.hash).ok_or(MALFORMED)?;
        let bits = u32::from_le_bytes(entry.pcrSelect);
        for index in (0..PcrIndex::COUNT).filter(|index| bits >> index & 1 == 1) {
            let bytes = digests.next().flatten().ok_or(MALFORMED)?;
            let value = Digest::new(alg, bytes).ok_or(MALFORMED)?;
            values.push((PcrIndex::new(index).ok_or(MALFORMED)?, value));
        }
    }
    Ok(values)
}

impl From<PcrMismatch> for TpmError {
    fn from(_: PcrMismatch) -> Self {
        Self::Unsupported {
            what: crate::pcr::NOT_EVERY_PCR,
        }
    }
}
