//! Whether the PCRs are still what was quoted: looked at from time to time, since a TPM tells nobody.
//!
//! What is found here proves nothing; it only says that it is time to prove it anew.

use std::time::Duration;

use holdfast_proof::ima;
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
            let last = at_rest(quoted);
            match self.tpm.tpm().read_pcrs(selection(&last)).await {
                Ok(found) if found != last && self.told.as_ref() != Some(&found) => {
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

/// The PCRs that change only when the machine does. The kernel extends that of the measurement list with every program
/// that it has not seen: what is new there is shown at the next attestation, and is no reason for one.
fn at_rest(quoted: &PcrValues) -> PcrValues {
    let mut values = PcrValues::new();
    for (index, value) in quoted.iter() {
        if Some(index) != ima::pcr() {
            // No index comes twice.
            let _ = values.insert(index, value.clone());
        }
    }
    values
}

fn selection(values: &PcrValues) -> PcrSelection {
    values
        .iter()
        .fold(PcrSelection::none(), |selection, (index, value)| {
            selection.with(value.alg(), [index])
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex};

    use super::*;

    #[test]
    fn what_the_kernel_measures_all_the_time_is_not_looked_at() {
        let mut quoted = PcrValues::new();
        for index in [7, 10, 11] {
            let value = Digest::new(HashAlg::Sha256, &[index; 32]).unwrap();
            assert!(quoted.insert(PcrIndex::new(index).unwrap(), value));
        }
        let looked_at: Vec<u8> = at_rest(&quoted)
            .iter()
            .map(|(index, _)| index.get())
            .collect();
        assert_eq!(looked_at, [7, 11]);
    }
}
