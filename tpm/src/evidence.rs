//! The evidence of one attestation: quote, certified node key and certified audit counter over the same extra data.
//!
//! Nothing is judged here. What goes out is what the TPM signed, plus the PCR values that its quote covers.

use std::collections::BTreeSet;

use holdfast_proof::tpm::{
    Attest, Attested, HashAlg, PcrIndex, PcrSelection, PcrValues, Signature, pcr_digest,
};
use holdfast_protocol::Sha256Digest;
use tss_esapi::handles::KeyHandle;
use tss_esapi::structures::SignatureScheme;

use crate::banks::ProvenBanks;
use crate::engine::{Engine, attestation, data, pcr_selection};
use crate::error::{At as _, TpmError};
use crate::key::LoadedKey;
use crate::provision::Provisioned;
use crate::queue::Priority;
use crate::state::CounterRole;

/// Said of a TPM of whose banks nothing can be quoted.
const NO_PCR: &str = "it keeps none of the PCRs that are asked for in a bank that Holdfast knows; the banks may be off in \
                      the firmware's setup";

/// What the AK signed, and the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The TPMS_ATTEST, with the bytes that the signature covers.
    pub statement: Attest,
    /// The AK's signature.
    pub signature: Signature,
}

/// Which PCRs a quote covers.
#[derive(Clone, Debug)]
pub enum QuotedPcrs {
    /// These.
    Banks(PcrSelection),
    /// These of every bank that the TPM proves to be active.
    Active {
        /// The PCRs.
        indices: BTreeSet<PcrIndex>,
        /// What is quoted by a TPM that cannot prove its banks.
        unproven: PcrSelection,
    },
}

impl From<PcrSelection> for QuotedPcrs {
    fn from(selection: PcrSelection) -> Self {
        Self::Banks(selection)
    }
}

/// What a host shows to be attested.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// TPM2_Quote over the selected PCRs.
    pub quote: Attestation,
    /// The values that the quote covers.
    pub pcr_values: PcrValues,
    /// TPM2_Certify of the node key.
    pub node_key: Attestation,
    /// TPM2_NV_Certify of the audit counter.
    pub audit_counter: Attestation,
    /// Which PCR banks the TPM keeps; absent where it has no command that proves it.
    pub banks: Option<ProvenBanks>,
}

impl Provisioned {
    /// Makes the evidence for `node_key`, which has signed its certificate request before, because `extra_data` covers that.
    /// 6 commands and one for every 8 PCRs; again for quote and values, up to twice, if PCRs changed in between.
    ///
    /// # Errors
    /// As the TPM refuses; [`TpmError::Unsupported`] if a selected bank is not there or the PCRs do not hold still;
    /// [`TpmError::HierarchyAuth`] where the endorsement hierarchy has another authorization than is configured.
    pub async fn evidence(
        &self,
        node_key: &LoadedKey,
        pcrs: impl Into<QuotedPcrs>,
        extra_data: Sha256Digest,
    ) -> Result<Evidence, TpmError> {
        let pcrs = pcrs.into();
        let state = self.shared_state();
        let number = node_key.number();
        self.tpm()
            .run(Priority::Background, move |engine| {
                let ak = engine.ak(&state)?;
                let key = engine.resident_key(number)?;
                let node_key = engine.certify(ak, key, &extra_data)?;
                let audit_counter =
                    engine.certify_counter(&state, CounterRole::Audit, &extra_data)?;
                let banks = engine.prove_banks(&state, ak, &extra_data)?;
                let selection = pcrs.of(banks.as_ref());
                if selection.is_empty() {
                    return Err(TpmError::Unsupported { what: NO_PCR });
                }
                let (quote, pcr_values) = engine.quote(ak, &selection, &extra_data)?;
                Ok(Evidence {
                    quote,
                    pcr_values,
                    node_key,
                    audit_counter,
                    banks,
                })
            })
            .await
    }
}

impl QuotedPcrs {
    fn of(self, banks: Option<&ProvenBanks>) -> PcrSelection {
        match (self, banks) {
            (Self::Banks(selection), _) => selection,
            (Self::Active { indices, .. }, Some(proven)) => proven.banks.selection(&indices),
            (Self::Active { unproven, .. }, None) => unproven,
        }
    }
}

impl Attestation {
    pub(crate) fn new(
        answer: (
            tss_esapi::structures::Attest,
            tss_esapi::structures::Signature,
        ),
        command: &'static str,
    ) -> Result<Self, TpmError> {
        let (statement, signature) = attestation(answer, command)?;
        Ok(Self {
            statement,
            signature,
        })
    }
}

impl Engine {
    fn quote(
        &mut self,
        ak: KeyHandle,
        selection: &PcrSelection,
        extra_data: &Sha256Digest,
    ) -> Result<(Attestation, PcrValues), TpmError> {
        /// PCRs change while a machine boots and with every IMA entry; three tries meet a quiet moment or never will.
        const ATTEMPTS: usize = 3;
        for _ in 0..ATTEMPTS {
            let (qualifying, list) = (data(extra_data)?, pcr_selection(selection)?);
            let quote = self
                .plain(1, |context| {
                    context.quote(ak, qualifying, SignatureScheme::Null, list)
                })
                .at("TPM2_Quote")
                .and_then(|answer| Attestation::new(answer, "TPM2_Quote"))?;
            let values = self.read_pcrs(selection)?;
            let digest = pcr_digest(HashAlg::Sha256, selection, &values)?;
            if let Attested::Quote(quoted) = quote.statement.attested()
                && quoted.pcr_digest.as_bytes() == digest.as_bytes()
            {
                return Ok((quote, values));
            }
        }
        Err(TpmError::Unsupported {
            what: "its PCRs changed during every attempt to quote them",
        })
    }
}
