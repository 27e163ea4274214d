//! The software state of evidence: which PCRs, their values, and their reference.
//!
//! Only the selection inside the signed quote counts; what the host says it selected never does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use holdfast_proof::event_log::BootEvents;
use holdfast_proof::ima;
use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrSelection, PcrValues, Quoted, pcr_digest};
use holdfast_protocol::evidence::Check;

use super::systemd_log::Logs;
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
    logs: &Logs<'_>,
    host: &Host,
    policy: &EvidencePolicy,
) -> Result<Held, Refusal> {
    let showing = showing(appraiser, supplied, logs, host)?;
    let offered = host.rollout.as_ref().map(|offer| &offer.values);
    let ahead = match showing {
        Showing::Taken => offered,
        Showing::Other | Showing::Kept => {
            Some(&host.ahead).filter(|ahead| is_updated(supplied, ahead))
        }
    };
    let updated = ahead.is_some();
    let expected = |alg, index| {
        match ahead {
            // An update is told in one bank. What it gives in the others is not their reference from before.
            Some(ahead) if ahead.iter().any(|(changed, _)| changed == index) => {
                ahead.0.value(alg, index)
            }
            Some(_) | None => host.reference.0.value(alg, index),
        }
    };
    // What other banks, which have a reference, say of a PCR that has none in its own.
    let elsewhere = |index: PcrIndex| {
        let others = supplied
            .iter()
            .filter(|(other, value)| *other == index && value.alg() != HashAlg::Sha1);
        let held = others.filter_map(|(_, value)| Some((expected(value.alg(), index)?, value)));
        held.fold(Elsewhere::Unknown, |said, (expected, value)| match said {
            Elsewhere::Unknown | Elsewhere::Same if expected == value => Elsewhere::Same,
            Elsewhere::Unknown | Elsewhere::Same | Elsewhere::Changed => Elsewhere::Changed,
        })
    };
    // Only logs whose events give the new value say what changed.
    let asks = |index: PcrIndex, value: &Digest| {
        policy.unexplained == Unexplained::Ask && !logs.give(index, value)
    };
    let mut learned = PcrValues::new();
    let mut first = BTreeSet::new();
    let mut blocked = Changes::default();
    let mut drifted = Changes::default();
    for (index, value) in steady(supplied) {
        match (expected(value.alg(), index), elsewhere(index)) {
            // It is of another boot than the reference, which is told of the bank that has one.
            (None, Elsewhere::Changed) => {}
            // The reference boot, in a bank that was not quoted before. Supplied values are distinct: it is not there yet.
            (None, Elsewhere::Same) => _ = learned.insert(index, value.clone()),
            (None, Elsewhere::Unknown) => {
                first.insert((value.alg(), index));
                let _ = learned.insert(index, value.clone());
            }
            (Some(expected), _) if expected == value => {}
            (Some(expected), _) if policy.blocking.contains(&index) || asks(index, value) => {
                blocked.add(index, expected, value);
            }
            (Some(expected), _) => drifted.add(index, expected, value),
        }
    }
    let proposed = |refusal| proposed(refusal, supplied, logs);
    if !blocked.is_empty() {
        return Err(proposed(appraiser.refused(Check::PcrReference, blocked)));
    }
    if !first.is_empty() && policy.learning == Learning::Propose {
        let names = list(&first);
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
    if !learned.is_empty() && !updated {
        appraiser.noted(
            Check::PcrReference,
            format!("learned as reference: {}", list(&named(&learned))),
        );
    } else if !drifts && !updated {
        appraiser.passed(Check::PcrReference, "every value is its reference");
    }
    let news = !learned.is_empty() || host.events == EventsKept::No;
    if updated {
        let Boot { values, events } = boot(supplied, logs);
        return Ok(Held {
            learned: PcrValues::new(),
            events,
            update: Update::Seen(values),
            showing,
        });
    }
    let events = (news && !drifts).then(|| boot(supplied, logs).events);
    Ok(Held {
        learned,
        events: events.flatten(),
        update: Update::Unseen,
        showing,
    })
}

/// What other banks say of a PCR.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Elsewhere {
    /// None has a reference.
    Unknown,
    /// It has its reference value in all of them.
    Same,
    /// It has another in one.
    Changed,
}

/// PCRs that have not their reference values.
#[derive(Default)]
struct Changes(BTreeMap<PcrIndex, Vec<(Digest, Digest)>>);

impl Changes {
    fn add(&mut self, index: PcrIndex, expected: &Digest, found: &Digest) {
        let change = (expected.clone(), found.clone());
        self.0.entry(index).or_default().push(change);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Changes {
    /// One line is for people: of a PCR's banks it has the values of one, and names the others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (index, changes) in &self.0 {
            let strong = changes
                .iter()
                .find(|(_, found)| found.alg() != HashAlg::Sha1);
            let Some((expected, found)) = strong.or(changes.first()) else {
                continue;
            };
            write!(
                f,
                "{separator}pcr {} is {}, its reference is {}",
                index.get(),
                hex(found.as_bytes()),
                hex(expected.as_bytes())
            )?;
            let banks = changes.iter().map(|(_, found)| name(found.alg()));
            let banks: Vec<_> = banks.collect();
            if banks.len() > 1 {
                write!(f, " (changed in {})", banks.join(", "))?;
            }
            separator = "; ";
        }
        Ok(())
    }
}

/// How evidence stands to its host's rollout. Values that the host may not show yet are a refusal, whether or not the PCRs
/// block: an update comes in its turn.
fn showing(
    appraiser: &mut Appraiser,
    supplied: &PcrValues,
    logs: &Logs<'_>,
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
    Err(proposed(refusal, supplied, logs))
}

fn proposed(mut refusal: Refusal, supplied: &PcrValues, logs: &Logs<'_>) -> Refusal {
    refusal.proposal = Some(Box::new(boot(supplied, logs)));
    refusal
}

/// An update is seen when all of its values are: one that comes in part is none.
fn is_updated(supplied: &PcrValues, ahead: &ReferencePcrs) -> bool {
    let seen =
        |(index, value): (PcrIndex, &Digest)| supplied.value(value.alg(), index) == Some(value);
    !ahead.0.is_empty() && ahead.iter().all(seen)
}

/// What the evidence proves of the boot. Its logs were replayed before, so that it has events.
fn boot(supplied: &PcrValues, logs: &Logs<'_>) -> Boot {
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
    Boot {
        values,
        events: bank.and_then(|bank| logs.events(bank, &pcrs)),
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

fn list(pcrs: &BTreeSet<(HashAlg, PcrIndex)>) -> String {
    let mut text = String::new();
    let mut bank = None;
    for (alg, index) in pcrs {
        if bank == Some(alg) {
            let _ = write!(text, ",{}", index.get());
        } else {
            let separator = if bank.is_none() { "" } else { " " };
            let _ = write!(text, "{separator}{}:{}", name(*alg), index.get());
            bank = Some(alg);
        }
    }
    if text.is_empty() {
        text.push_str("nothing");
    }
    text
}

fn name(bank: HashAlg) -> String {
    format!("{bank:?}").to_lowercase()
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
