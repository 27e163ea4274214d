//! Whether the PCRs are still what was quoted: looked at from time to time, since a TPM tells nobody.
//!
//! What is found here proves nothing; it only says that it is time to prove it anew.

use std::time::Duration;

use holdfast_proof::tpm::{PcrSelection, PcrValues};
use holdfast_protocol::words::with_causes;
use holdfast_tpm::Provisioned;
use tokio::time::{Interval, MissedTickBehavior};

/// Looks at the PCRs of one TPM.
pub(crate) struct PcrWatch {
    tpm: Provisioned,
    looks: Interval,
    /// The change that was told last: it is told once, also where the new quote is refused.
    told: Option<PcrValues>,
}

impl PcrWatch {
    pub(crate) fn new(tpm: Provisioned, interval: Duration) -> Self {
        let mut looks = tokio::time::interval(interval);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            tpm,
            looks,
            told: None,
        }
    }

    /// Waits until a PCR has another value than was quoted. Dropping the future loses nothing.
    pub(crate) async fn changed(&mut self, quoted: &Option<PcrValues>) {
        loop {
            self.looks.tick().await;
            let Some(quoted) = quoted else { continue };
            match self.tpm.tpm().read_pcrs(selection(quoted)).await {
                Ok(found) if found != *quoted && self.told.as_ref() != Some(&found) => {
                    self.told = Some(found);
                    return;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = with_causes(&error), "the PCRs cannot be looked at");
                }
            }
        }
    }
}

fn selection(values: &PcrValues) -> PcrSelection {
    values
        .iter()
        .fold(PcrSelection::none(), |selection, (index, value)| {
            selection.with(value.alg(), [index])
        })
}
