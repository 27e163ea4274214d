//! Which values an update will give, where the kept events say all that went into them.

use std::collections::BTreeSet;

use holdfast_proof::tpm::{Digest, PcrIndex, PcrValues};

use super::Boot;

/// Why values cannot be predicted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpredictable {
    /// There are no events to replay.
    #[error("no events of the host's reference boot are kept")]
    NoEvents,
    /// No event has a digest.
    #[error("no event of the reference boot has the digest {digest:?}")]
    NoSuchEvent {
        /// The digest.
        digest: Digest,
    },
    /// What is replayed is not what is held to.
    #[error("the kept events do not give the reference value of PCR {}: something else is measured into it, too", pcr.get())]
    Incomplete {
        /// The PCR.
        pcr: PcrIndex,
    },
}

/// The values of the PCRs that change if events have other digests.
///
/// # Errors
/// [`Unpredictable`] if the events do not give the reference values as they are: then nothing is known of the new ones.
pub fn predict(
    reference: Option<&Boot>,
    replacements: &[(Digest, Digest)],
) -> Result<PcrValues, Unpredictable> {
    let boot = reference.ok_or(Unpredictable::NoEvents)?;
    let events = boot.events.as_ref().ok_or(Unpredictable::NoEvents)?;
    let mut after = events.clone();
    let mut changed = BTreeSet::new();
    for (old, new) in replacements {
        let (next, pcrs) = after.with_replaced(old, new);
        if pcrs.is_empty() {
            let digest = old.clone();
            return Err(Unpredictable::NoSuchEvent { digest });
        }
        after = next;
        changed.extend(pcrs);
    }
    let mut values = PcrValues::new();
    for pcr in changed {
        let incomplete = Unpredictable::Incomplete { pcr };
        let before = events.value(pcr);
        if before.is_none() || before.as_ref() != boot.values.value(events.bank(), pcr) {
            return Err(incomplete);
        }
        // Each PCR comes once.
        let _ = values.insert(pcr, after.value(pcr).ok_or(incomplete)?);
    }
    Ok(values)
}
