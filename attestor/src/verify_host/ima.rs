//! The kernel's measurement list: whether it went into the quoted PCR 10, and whether what it names may run.
//!
//! Only the signed resetCount says which boot a list is of. What lies behind the proven prefix counts for nothing and
//! comes again with the next evidence.

use std::collections::BTreeSet;

use holdfast_proof::ima::{self, Finding, Findings, Known, List, Prefix, Replay};
use holdfast_proof::tpm::{HashAlg, PcrValues};
use holdfast_protocol::evidence::{Check, Evidence, ImaEnd, ImaList};
use holdfast_protocol::wire::attestor::ImaWanted;

use super::structure::Parsed;
use super::{Appraiser, EvidencePolicy, ImaPolicy, Refusal, Required};
use crate::registry::ImaState;

/// How many findings stand in an appraisal, in words; the others are counted.
const SHOWN: usize = 8;

/// A list that belongs to the quote, before anybody looked at what it names.
#[derive(Debug)]
pub(super) struct Replayed<'e> {
    list: &'e ImaList,
    /// How many of the list's entries are to be judged.
    entries: usize,
    /// Those of them that need no judging.
    known: Known,
    state: ImaState,
}

/// Which part of a host's list is asked for.
pub(crate) fn wanted(policy: &EvidencePolicy, last: Option<&ImaState>) -> Option<ImaWanted> {
    if policy.ima == ImaPolicy::Off {
        return None;
    }
    // Which banks are active is not known before the evidence. They change with a boot alone, and its list begins anew.
    let quoted: Option<BTreeSet<HashAlg>> = match &policy.required {
        Required::Active(_) => None,
        Required::Banks(selection) => Some(selection.banks().map(|(bank, _)| bank).collect()),
    };
    let usable = last
        .filter(|last| was_judged(policy, last))
        .filter(|last| quoted.is_none_or(|quoted| covers(&quoted, last)));
    Some(usable.map_or_else(ImaWanted::default, |last| ImaWanted {
        reset_count: last.boot,
        first: last.next().entries(),
    }))
}

/// Whether nothing that was only recorded would pass for what was judged.
fn was_judged(policy: &EvidencePolicy, last: &ImaState) -> bool {
    last.unjustified == 0 || !matches!(policy.ima, ImaPolicy::Enforce(_))
}

/// Whether the next list may go on from `last`: each of its banks is still quoted. One that is quoted in addition, because
/// policy asks for more than it did, is proven from the next boot on.
fn covers(quoted: &BTreeSet<HashAlg>, last: &ImaState) -> bool {
    let mut banks = last.proven.banks();
    banks.all(|bank| quoted.contains(&bank))
        && last.proven.banks().any(|bank| bank != HashAlg::Sha1)
}

/// The banks of which PCR 10 is quoted.
fn banks(quoted: &PcrValues) -> BTreeSet<HashAlg> {
    let ten = quoted
        .iter()
        .filter(|(index, _)| Some(*index) == ima::pcr());
    ten.map(|(_, value)| value.alg()).collect()
}

/// The list goes on where the last one ended and gives the quoted PCR 10.
pub(super) fn replay<'e>(
    appraiser: &mut Appraiser,
    evidence: &'e Evidence,
    parsed: &Parsed,
    policy: &EvidencePolicy,
    last: Option<&ImaState>,
) -> Result<Option<Replayed<'e>>, Refusal> {
    let measurable = match &policy.ima {
        ImaPolicy::Off => return Ok(None),
        ImaPolicy::Record(measurable) | ImaPolicy::Enforce(measurable) => measurable,
    };
    let Some(list) = &evidence.ima else {
        let absent = "the host sent no measurement list: its kernel has no ima, or its broker cannot \
                      read it";
        unmeasured(appraiser, &policy.ima, absent)?;
        return Ok(None);
    };
    let boot = parsed.quote.attest.clock().reset_count;
    let quoted = banks(&parsed.pcrs);
    let state = last
        .filter(|last| last.boot == boot && was_judged(policy, last) && covers(&quoted, last))
        .cloned()
        .unwrap_or_else(|| ImaState {
            boot,
            proven: Replay::start(quoted),
            ahead: None,
            unjustified: 0,
        });
    let from = state.next();
    if list.first != from.entries() {
        return Err(appraiser.refused(
            Check::ImaReplay,
            format!(
                "the list begins with entry {}, entry {} of the boot {boot} was asked for",
                list.first,
                from.entries()
            ),
        ));
    }
    match from.replay(read(list), &parsed.pcrs, &measurable.allow) {
        // A kernel that measures begins with the boot aggregate. Without it anything may have run, whatever the list says.
        Ok(Prefix::Proven { replay, .. }) if replay.entries() == 0 => {
            let empty = "pcr 10 was never extended: the host's kernel measures nothing";
            unmeasured(appraiser, &policy.ima, empty)?;
            Ok(None)
        }
        Ok(Prefix::Proven {
            replay,
            entries,
            known,
        }) => {
            let padded: Vec<HashAlg> = replay.padded().collect();
            let how = if padded.is_empty() {
                String::new()
            } else {
                format!("; {padded:?} is extended with padded sha-1, as kernels do that lack its hash")
            };
            appraiser.passed(
                Check::ImaReplay,
                format!("{entries} new entries, {} in all, give pcr 10{how}", replay.entries()),
            );
            let state = ImaState {
                proven: replay,
                ahead: None,
                ..state
            };
            Ok(Some(Replayed {
                list,
                entries,
                known,
                state,
            }))
        }
        Ok(Prefix::NotReached { replay }) if list.end == ImaEnd::Cut => {
            let state = ImaState {
                ahead: Some(replay),
                ..state
            };
            Ok(Some(Replayed {
                list,
                entries: usize::MAX,
                known: Known::default(),
                state,
            }))
        }
        Ok(Prefix::NotReached { replay }) => Err(restart(
            appraiser.refused(
                Check::ImaReplay,
                format!(
                    "no prefix of the {} entries gives the quoted pcr 10: one was changed, added or left out",
                    replay.entries()
                ),
            ),
            state,
        )),
        Err(error) => Err(restart(appraiser.refused(Check::ImaReplay, error), state)),
    }
}

/// A host that shows no measurement at all.
fn unmeasured(appraiser: &mut Appraiser, policy: &ImaPolicy, why: &str) -> Result<(), Refusal> {
    if matches!(policy, ImaPolicy::Enforce(_)) {
        return Err(appraiser.refused(Check::ImaReplay, why));
    }
    appraiser.noted(Check::ImaReplay, why);
    Ok(())
}

/// What was never proven is forgotten with the refusal, so that a host that mends itself can start over.
fn restart(refusal: Refusal, state: ImaState) -> Refusal {
    let ima = state.ahead.is_some().then_some(ImaState {
        ahead: None,
        ..state
    });
    Refusal { ima, ..refusal }
}

/// What was measured is listed or signed. Gives the state to be kept.
pub(super) fn policy(
    appraiser: &mut Appraiser,
    replayed: Option<Replayed<'_>>,
    parsed: &Parsed,
    policy: &ImaPolicy,
) -> Result<Option<ImaState>, Refusal> {
    let Some(Replayed {
        list,
        entries,
        known,
        state,
    }) = replayed
    else {
        return Ok(None);
    };
    let (measurable, enforced) = match policy {
        ImaPolicy::Off => return Ok(None),
        ImaPolicy::Record(measurable) => (measurable, false),
        ImaPolicy::Enforce(measurable) => (measurable, true),
    };
    let findings = match measurable.judge(read(list), entries, &known, &parsed.pcrs) {
        Ok(findings) => findings,
        Err(error) => return Err(appraiser.refused(Check::ImaPolicy, error)),
    };
    if findings.unjustified > 0 && enforced {
        return Err(appraiser.refused(Check::ImaPolicy, words(&findings)));
    }
    for finding in findings.first.iter().take(SHOWN) {
        appraiser.noted(Check::ImaPolicy, finding);
    }
    let more = findings.unjustified.saturating_sub(SHOWN as u64);
    if more > 0 {
        appraiser.noted(Check::ImaPolicy, format!("and {more} more"));
    }
    if findings.unjustified == 0 {
        let Findings {
            judged,
            signed,
            excluded,
            violations,
            ..
        } = findings;
        appraiser.passed(
            Check::ImaPolicy,
            format!("{judged} judged: {signed} signed, {excluded} excluded ({violations} of them violations), the others listed"),
        );
    }
    let state = ImaState {
        unjustified: state.unjustified.saturating_add(findings.unjustified),
        ..state
    };
    if let Some(ahead) = &state.ahead {
        let behind = format!(
            "the list is longer than one attestation takes: {} entries so far, the quote covers more",
            ahead.entries()
        );
        if enforced {
            let refusal = appraiser.refused(Check::ImaReplay, behind);
            return Err(Refusal {
                ima: Some(state),
                ..refusal
            });
        }
        appraiser.noted(Check::ImaReplay, behind);
    }
    Ok(Some(state))
}

fn read(list: &ImaList) -> List<'_> {
    List::new(&list.entries, HashAlg::Sha1, list.first)
}

/// The findings in as many words as a detail holds.
fn words(findings: &Findings) -> String {
    let first = findings.first.first().map(Finding::to_string);
    let first = first.unwrap_or_default();
    match findings.unjustified {
        0 | 1 => first,
        several => format!("{several} entries are not right; {first}"),
    }
}
