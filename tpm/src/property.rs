//! What the TPM says about itself: its clock, its lockout, and what is loaded in it.
//!
//! Read anew each time: the wrapper's own reader caches properties that change.

use holdfast_proof::tpm::ClockInfo;
use tss_esapi::constants::{CapabilityType, PropertyTag};
use tss_esapi::handles::TpmHandle;
use tss_esapi::structures::CapabilityData;

use crate::engine::{Engine, clock_info};
use crate::error::{At as _, TpmError};
use crate::owner::Tpm;
use crate::queue::Priority;

/// The first transient object's handle (TPM 2.0 Library, Part 2, §7.2, `TPM_HT_TRANSIENT`).
const TRANSIENT: u32 = 0x8000_0000;

/// Asks for loaded sessions of every kind (Part 2, §7.2, `TPM_HT_LOADED_SESSION`).
const LOADED_SESSION: u32 = 0x0200_0000;

pub(crate) const OTHER_ANSWER: TpmError = TpmError::Unsupported {
    what: "it answers TPM2_GetCapability with something else",
};

impl Tpm {
    /// Clock and reset counters, unsigned. 1 command.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn clock(&self) -> Result<ClockInfo, TpmError> {
        self.run(Priority::Interactive, Engine::clock).await
    }

    /// How many failures count toward the lockout that would stop everybody's protected objects. 1 command.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn lockout_counter(&self) -> Result<u32, TpmError> {
        self.run(Priority::Background, |engine| {
            let tag = PropertyTag::LockoutCounter;
            let (answer, _) = engine
                .context
                .execute_without_session(|context| {
                    context.get_capability(CapabilityType::TpmProperties, tag.into(), 1)
                })
                .at("TPM2_GetCapability")?;
            let CapabilityData::TpmProperties(properties) = answer else {
                return Err(OTHER_ANSWER);
            };
            properties
                .into_iter()
                .find(|property| property.property() == tag)
                .map(|property| property.value())
                .ok_or(OTHER_ANSWER)
        })
        .await
    }

    /// How many transient objects are loaded. Behind a resource manager, only ours. 1 command.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn transient_handles(&self) -> Result<usize, TpmError> {
        self.run(Priority::Background, |engine| {
            Ok(engine.handles(TRANSIENT)?.len())
        })
        .await
    }

    /// How many sessions are loaded. Behind a resource manager, only ours. 1 command.
    ///
    /// # Errors
    /// As the TPM refuses.
    pub async fn loaded_sessions(&self) -> Result<usize, TpmError> {
        self.run(Priority::Background, |engine| {
            Ok(engine.handles(LOADED_SESSION)?.len())
        })
        .await
    }
}

impl Engine {
    pub(crate) fn clock(&mut self) -> Result<ClockInfo, TpmError> {
        let time = self
            .context
            .execute_without_session(|context| context.read_clock())
            .at("TPM2_ReadClock")?;
        Ok(clock_info(&time))
    }

    /// Flushes every transient object and every loaded session, whoever made it.
    pub(crate) fn flush_all(&mut self) -> Result<(), TpmError> {
        for kind in [TRANSIENT, LOADED_SESSION] {
            for handle in self.handles(kind)? {
                let left = self
                    .context
                    .execute_without_session(|context| context.tr_from_tpm_public(handle))
                    .at("ESYS_TR_FromTPMPublic")?;
                self.flush(left)?;
            }
        }
        Ok(())
    }

    /// The handles of one kind that the TPM holds.
    fn handles(&mut self, first: u32) -> Result<Vec<TpmHandle>, TpmError> {
        let (answer, _) = self
            .context
            .execute_without_session(|context| {
                context.get_capability(CapabilityType::Handles, first, 64)
            })
            .at("TPM2_GetCapability")?;
        let CapabilityData::Handles(handles) = answer else {
            return Err(OTHER_ANSWER);
        };
        Ok(handles.into_inner())
    }
}
