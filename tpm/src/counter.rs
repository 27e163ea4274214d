//! The two NV counters: the revocation epoch and the audit counter.
//!
//! An increment is never repeated by itself: a caller that does not know whether it happened reads the counter.

use holdfast_protocol::Sha256Digest;
use tss_esapi::interface_types::reserved_handles::NvAuth;
use tss_esapi::structures::SignatureScheme;

use crate::engine::{Engine, data};
use crate::error::{At as _, TpmError};
use crate::evidence::Attestation;
use crate::provision::Provisioned;
use crate::queue::Priority;
use crate::state::{CounterRole, TpmState};

impl Provisioned {
    /// The value of a counter. 1 command.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn read_counter(&self, role: CounterRole) -> Result<u64, TpmError> {
        let state = self.shared_state();
        self.tpm()
            .run(Priority::Interactive, move |engine| {
                engine.read_counter(&state, role)
            })
            .await
    }

    /// Increments a counter, and gives its new value. 2 commands and one write of the TPM's flash: the caller keeps the
    /// daily budget. An error does not say that the counter stands where it stood.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn increment(&self, role: CounterRole) -> Result<u64, TpmError> {
        let state = self.shared_state();
        // Revocation and approval wait for it.
        self.tpm()
            .run(Priority::Approval, move |engine| {
                let index = engine.counter(&state, role)?;
                engine
                    .plain(1, |context| {
                        context.nv_increment(NvAuth::NvIndex(index), index)
                    })
                    .at("TPM2_NV_Increment")?;
                engine.read_counter(&state, role)
            })
            .await
    }

    /// Certifies the value of a counter by the AK over `extra_data`. 1 command.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn certify_counter(
        &self,
        role: CounterRole,
        extra_data: Sha256Digest,
    ) -> Result<Attestation, TpmError> {
        let state = self.shared_state();
        self.tpm()
            .run(Priority::Interactive, move |engine| {
                engine.certify_counter(&state, role, &extra_data)
            })
            .await
    }
}

impl Engine {
    pub(crate) fn read_counter(
        &mut self,
        state: &TpmState,
        role: CounterRole,
    ) -> Result<u64, TpmError> {
        let index = self.counter(state, role)?;
        let value = self
            .plain(1, |context| {
                context.nv_read(NvAuth::NvIndex(index), index, 8, 0)
            })
            .at("TPM2_NV_Read")?;
        let bytes: [u8; 8] = value
            .as_bytes()
            .try_into()
            .map_err(|_| TpmError::Unsupported {
                what: "one of its counters does not have 8 bytes",
            })?;
        Ok(u64::from_be_bytes(bytes))
    }

    pub(crate) fn certify_counter(
        &mut self,
        state: &TpmState,
        role: CounterRole,
        extra_data: &Sha256Digest,
    ) -> Result<Attestation, TpmError> {
        let ak = self.ak(state)?;
        let index = self.counter(state, role)?;
        let qualifying = data(extra_data)?;
        self.plain(2, |context| {
            context.nv_certify(
                ak,
                NvAuth::NvIndex(index),
                index,
                qualifying,
                SignatureScheme::Null,
                8,
                0,
            )
        })
        .at("TPM2_NV_Certify")
        .and_then(|answer| Attestation::new(answer, "TPM2_NV_Certify"))
    }
}
