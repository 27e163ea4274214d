//! The software state of evidence: which PCRs, their values, and their reference.
//!
//! Only the selection inside the signed quote counts; what the host says it selected never does.

use std::collections::BTreeSet;
use std::fmt::Write;

use holdfast_proof::event_log::{BootEvents, Replayed};
use holdfast_proof::ima;
use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrSelection, PcrValues, Quoted, pcr_digest};
use holdfast_protocol::evidence::Check;

use super::{Appraiser, EvidencePolicy, Learning, Refusal, Unexplained, Update};
use crate::reference::Boot;
use crate::registry::{EventsKept, Host, ReferencePcrs};
use crate::rollout::{Leave, Showing};

/// The signed selection is the required one, and exactly its values were supplied.
pub(super) fn selection(
    appraiser: &mut Appraiser,
    quoted: &Quoted,
    supplied: &PcrValues,
    required: &PcrSelection,
) -> Result<(), Refusal> {
    let signed: BTreeSet<_> = quoted.selection.iter().collect();
    let wanted: BTreeSet<_> = required.iter().collect();
    let shown: BTreeSet<_> = supplied
        .iter()
        .map(|(index, value)| (value.alg(), index))
        .collect();
    if signed != wanted {
        return Err(appraiser.refused(
            Check::PcrSelection,
            format!("signed is {}, required is {}", list(&signed), list(&wanted)),
        ));
    }
    if shown != signed {
        return Err(appraiser.refused(
            Check::PcrSelection,
            format!("signed is {}, supplied is {}", list(&signed), list(&shown)),
        ));
    }
    appraiser.passed(Check::PcrSelection, list(&signed));
    Ok(())
}

/// The signed digest is that of the supplied values.
pub(super) fn digest(
    appraiser: &mut Appraiser,
    quoted: &Quoted,
    supplied: &PcrValues,
    hash: HashAlg,
) -> Result<(), Refusal> {
    let computed = match pcr_digest(hash, &quoted.selection, supplied) {
        Ok(computed) => computed,
        Err(error) => return Err(appraiser.refused(Check::PcrDigest, error)),
    };
    let signed = quoted.pcr_digest.as_bytes();
    if computed.as_bytes() != signed {
        return Err(appraiser.refused(
            Check::PcrDigest,
            format!(
                "signed is {}, the supplied values give {}",
                hex(signed),
                hex(computed.as_bytes())
            ),
        ));
    }
    appraiser.passed(Check::PcrDigest, hex(signed));
    Ok(())
}

/// How evidence stands to its host's reference.
pub(super) struct Held {
    /// Values that had none.
    pub(super) learned: PcrValues,
    /// The boot's events, if it is the reference boot and they are not kept.
    pub(super) events: Option<BootEvents>,
    /// Whether an update was seen.
    pub(super) update: Update,
    /// How it stands to its host's rollout.
    pub(super) showing: Showing,
}

/// The values are the reference ones, where they must be.
pub(super) fn reference(
    appraiser: &mut Appraiser,
    supplied: &PcrValues,
    (log, replayed): (&[u8], Option<&Replayed>),
    host: &Host,
    policy: &EvidencePolicy,
) -> Result<Held, Refusal> {
    let showing = showing(appraiser, supplied, log, host)?;
    let offered = host.rollout.as_ref().map(|offer| &offer.values);
    let ahead = match showing {
        Showing::Taken => offered,
        Showing::Other | Showing::Kept => {
            Some(&host.ahead).filter(|ahead| is_updated(supplied, ahead))
        }
    };
    let updated = ahead.is_some();
    let expected = |alg, index| {
        let ahead = ahead.and_then(|ahead| ahead.0.value(alg, index));
        ahead.or_else(|| host.reference.0.value(alg, index))
    };
    // Only a log whose events give the new value says what changed.
    let asks = |index: PcrIndex, value: &Digest| {
        let given = replayed.and_then(|replayed| replayed.values.value(value.alg(), index));
        policy.unexplained == Unexplained::Ask && given != Some(value)
    };
    let mut learned = PcrValues::new();
    let mut blocked = String::new();
    let mut drifted = String::new();
    for (index, value) in steady(supplied) {
        match expected(value.alg(), index) {
            // The supplied values are distinct, so this one cannot be there yet.
            None => _ = learned.insert(index, value.clone()),
            Some(expected) if expected == value => {}
            Some(expected) if policy.blocking.contains(&index) || asks(index, value) => {
                changed(&mut blocked, index, expected, value);
            }
            Some(expected) => changed(&mut drifted, index, expected, value),
        }
    }
    let proposed = |refusal| proposed(refusal, supplied, log);
    if !blocked.is_empty() {
        return Err(proposed(appraiser.refused(Check::PcrReference, blocked)));
    }
    if !learned.is_empty() && policy.learning == Learning::Propose {
        let names = list(&named(&learned));
        let detail = format!("an operator has to approve the first values of {names}");
        return Err(proposed(
            appraiser.refused(Check::ReferenceApproval, detail),
        ));
    }
    let drifts = !drifted.is_empty();
    if drifts {
        appraiser.noted(Check::PcrReference, drifted);
    }
    if updated {
        let detail = "it is the update that was accepted ahead: this boot is the reference now";
        appraiser.noted(Check::PcrReference, detail);
    }
    if !learned.is_empty() {
        appraiser.noted(
            Check::PcrReference,
            format!("learned as reference: {}", list(&named(&learned))),
        );
    } else if !drifts && !updated {
        appraiser.passed(Check::PcrReference, "every value is its reference");
    }
    let news = !learned.is_empty() || host.events == EventsKept::No;
    if updated {
        let Boot { values, events } = boot(supplied, log);
        return Ok(Held {
            learned: PcrValues::new(),
            events,
            update: Update::Seen(values),
            showing,
        });
    }
    let events = (news && !drifts).then(|| boot(supplied, log).events);
    Ok(Held {
        learned,
        events: events.flatten(),
        update: Update::Unseen,
        showing,
    })
}

/// How evidence stands to its host's rollout. Values that the host may not show yet are a refusal, whether or not the PCRs
/// block: an update comes in its turn.
fn showing(
    appraiser: &mut Appraiser,
    supplied: &PcrValues,
    log: &[u8],
    host: &Host,
) -> Result<Showing, Refusal> {
    let Some(offer) = &host.rollout else {
        return Ok(Showing::Other);
    };
    if !is_updated(supplied, &offer.values) {
        return Ok(Showing::Other);
    }
    // What an operator has let this one host have it has.
    if is_updated(&host.reference.0, &offer.values) || is_updated(supplied, &host.ahead) {
        return Ok(Showing::Kept);
    }
    let why = match offer.leave {
        Leave::Given => return Ok(Showing::Taken),
        Leave::NotYet => "it is ahead of its rollout: its canaries have to run the update first",
        Leave::Braked => "it is ahead of its rollout, which was stopped by failures",
    };
    let detail = format!("{why} (`rollout show {}`)", offer.rollout);
    let refusal = appraiser.refused(Check::PcrReference, detail);
    Err(proposed(refusal, supplied, log))
}

fn proposed(mut refusal: Refusal, supplied: &PcrValues, log: &[u8]) -> Refusal {
    refusal.proposal = Some(Box::new(boot(supplied, log)));
    refusal
}

/// An update is seen when all of its values are: one that comes in part is none.
fn is_updated(supplied: &PcrValues, ahead: &ReferencePcrs) -> bool {
    let seen =
        |(index, value): (PcrIndex, &Digest)| supplied.value(value.alg(), index) == Some(value);
    !ahead.0.is_empty() && ahead.iter().all(seen)
}

/// What the evidence proves of the boot. Its log was replayed before, so that it has events.
fn boot(supplied: &PcrValues, log: &[u8]) -> Boot {
    let mut values = PcrValues::new();
    for (index, value) in steady(supplied) {
        // The supplied values are distinct.
        let _ = values.insert(index, value.clone());
    }
    let pcrs = values.iter().map(|(index, _)| index).collect();
    let bank = values
        .iter()
        .map(|(_, value)| value.alg())
        .find(|bank| *bank != HashAlg::Sha1);
    let events = bank.and_then(|bank| BootEvents::of(log, bank, &pcrs).ok());
    Boot {
        values,
        events: events.flatten(),
    }
}

/// PCR 10 changes with every program that runs: its list is judged, never its value.
fn steady(supplied: &PcrValues) -> impl Iterator<Item = (PcrIndex, &Digest)> {
    supplied
        .iter()
        .filter(|(index, _)| Some(*index) != ima::pcr())
}

fn named(values: &PcrValues) -> BTreeSet<(HashAlg, PcrIndex)> {
    let names = values.iter().map(|(index, value)| (value.alg(), index));
    names.collect()
}

fn changed(text: &mut String, index: PcrIndex, expected: &Digest, found: &Digest) {
    let separator = if text.is_empty() { "" } else { "; " };
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "{separator}pcr {} is {}, its reference is {}",
        index.get(),
        hex(found.as_bytes()),
        hex(expected.as_bytes())
    );
}

fn list(pcrs: &BTreeSet<(HashAlg, PcrIndex)>) -> String {
    let mut text = String::new();
    let mut bank = None;
    for (alg, index) in pcrs {
        if bank == Some(alg) {
            let _ = write!(text, ",{}", index.get());
        } else {
            let separator = if bank.is_none() { "" } else { " " };
            let name = format!("{alg:?}").to_lowercase();
            let _ = write!(text, "{separator}{name}:{}", index.get());
            bank = Some(alg);
        }
    }
    if text.is_empty() {
        text.push_str("nothing");
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
