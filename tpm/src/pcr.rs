//! PCR values.
//!
//! Holdfast only reads PCRs; it extends one where a caller measures something itself, and resets none.

use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrSelection, PcrValues};
use tss_esapi::handles::PcrHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{Digest as EsapiDigest, DigestValues};

use crate::engine::{Engine, pcr_selection, pcr_values};
use crate::error::{At as _, TpmError};
use crate::owner::Tpm;
use crate::queue::Priority;

/// Said of a selection that the TPM cannot serve whole.
pub(crate) const NOT_EVERY_PCR: &str =
    "it does not keep every PCR that is asked for; the bank may be off in the firmware's setup";

impl Tpm {
    /// The values of the selected PCRs. One command for every 8.
    ///
    /// # Errors
    /// [`TpmError::Unsupported`] if a selected bank or PCR is not there.
    pub async fn read_pcrs(&self, selection: PcrSelection) -> Result<PcrValues, TpmError> {
        self.run(Priority::Background, move |engine| {
            engine.read_pcrs(&selection)
        })
        .await
    }

    /// Extends a PCR with digests, each in its bank; with none in the others. 1 command. What is sealed to this PCR does not
    /// open afterwards.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn extend_pcr(
        &self,
        index: PcrIndex,
        digests: impl IntoIterator<Item = Digest>,
    ) -> Result<(), TpmError> {
        let digests: Vec<Digest> = digests.into_iter().collect();
        self.run(Priority::Background, move |engine| {
            const COMMAND: &str = "TPM2_PCR_Extend";
            let handle = PcrHandle::try_from(u32::from(index.get())).at(COMMAND)?;
            let mut values = DigestValues::new();
            for digest in digests {
                let bank = HashingAlgorithm::try_from(digest.alg().id()).at(COMMAND)?;
                let digest = EsapiDigest::from_bytes(digest.as_bytes()).at(COMMAND)?;
                values.set(bank, digest);
            }
            engine
                .plain(1, |context| context.pcr_extend(handle, values))
                .at(COMMAND)
        })
        .await
    }
}

impl Engine {
    pub(crate) fn read_pcrs(&mut self, selection: &PcrSelection) -> Result<PcrValues, TpmError> {
        let mut values = PcrValues::new();
        let mut missing: Vec<(HashAlg, PcrIndex)> = selection.iter().collect();
        while !missing.is_empty() {
            let wanted = missing
                .iter()
                .fold(PcrSelection::none(), |wanted, (alg, index)| {
                    wanted.with(*alg, [*index])
                });
            let list = pcr_selection(&wanted)?;
            let (_, selected, digests) = self
                .context
                .execute_without_session(|context| context.pcr_read(list))
                .at("TPM2_PCR_Read")?;
            let before = missing.len();
            for (index, value) in pcr_values(selected, digests)? {
                missing.retain(|wanted| *wanted != (value.alg(), index));
                // A value that nobody asked for is not kept; one that comes twice does not replace the first.
                if selection.iter().any(|asked| asked == (value.alg(), index)) {
                    let _ = values.insert(index, value);
                }
            }
            if missing.len() == before {
                return Err(TpmError::Unsupported {
                    what: NOT_EVERY_PCR,
                });
            }
        }
        Ok(values)
    }
}
