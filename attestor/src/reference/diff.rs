//! What one boot measured otherwise than another, PCR by PCR and event by event.

use std::collections::BTreeSet;

use holdfast_proof::event_log::{BootEvent, BootEvents};
use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrValues};

use super::Boot;

/// How one PCR differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrDiff {
    /// The PCR.
    pub pcr: PcrIndex,
    /// Its value before, if it had one.
    pub from: Option<Digest>,
    /// Its value after.
    pub to: Option<Digest>,
    /// Whether the events say all of it.
    pub explained: Explained,
    /// The events that differ, in their order.
    pub changes: Vec<Change>,
}

/// Whether events say why a value changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explained {
    /// The events give both values: what differs between them is all that changed.
    Whole,
    /// They do not give both values: something that is not among them was measured, too.
    Partly,
    /// There are none.
    Not,
}

/// One event that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It came instead of another of its kind.
    Replaced {
        /// The one before.
        from: BootEvent,
        /// The one after.
        to: BootEvent,
    },
    /// It came in addition.
    Added(BootEvent),
    /// It did not come any more.
    Removed(BootEvent),
}

/// What `to` measured otherwise than `from`.
pub fn diff(from: &Boot, to: &Boot) -> Vec<PcrDiff> {
    let values = [&from.values, &to.values];
    let indices: BTreeSet<PcrIndex> = values
        .iter()
        .flat_map(|values| values.iter().map(|(index, _)| index))
        .collect();
    // A bank that only one of them has says nothing of a change, where they have another in common.
    let differs = |index: &PcrIndex| {
        let of_index = |(found, _): &(PcrIndex, &Digest)| found == index;
        let before = from.values.iter().filter(of_index);
        let mut both = before
            .filter_map(|(_, before)| Some((before, to.values.value(before.alg(), *index)?)))
            .peekable();
        both.peek().is_none() || both.any(|(before, after)| before != after)
    };
    indices
        .into_iter()
        .filter(differs)
        .map(|index| of_pcr(from, to, index))
        .collect()
}

fn of_pcr(from: &Boot, to: &Boot, pcr: PcrIndex) -> PcrDiff {
    let events = to.events.as_ref();
    let bank = bank_of(
        pcr,
        events.map(BootEvents::bank),
        [&to.values, &from.values],
    );
    let value = |boot: &Boot| bank.and_then(|bank| boot.values.value(bank, pcr).cloned());
    let (before, after) = (value(from), value(to));
    let (explained, changes) = match (&from.events, events) {
        (Some(old), Some(new)) if Some(old.bank()) == bank && Some(new.bank()) == bank => {
            let changes = changes(
                &old.of_pcr(pcr).collect::<Vec<_>>(),
                &new.of_pcr(pcr).collect::<Vec<_>>(),
            );
            let whole = old.value(pcr) == before && new.value(pcr) == after;
            match (whole, changes.is_empty()) {
                (true, _) => (Explained::Whole, changes),
                (false, false) => (Explained::Partly, changes),
                (false, true) => (Explained::Not, changes),
            }
        }
        (Some(_) | None, Some(_) | None) => (Explained::Not, Vec::new()),
    };
    PcrDiff {
        pcr,
        from: before,
        to: after,
        explained,
        changes,
    }
}

/// The bank to speak of: that of the events, where the PCR was quoted in it; else one that both boots have and that changed,
/// SHA-1 last.
fn bank_of(pcr: PcrIndex, events: Option<HashAlg>, values: [&PcrValues; 2]) -> Option<HashAlg> {
    let quoted: Vec<HashAlg> = values
        .into_iter()
        .flat_map(|values| values.iter())
        .filter(|(index, _)| *index == pcr)
        .map(|(_, value)| value.alg())
        .collect();
    let [to, from] = values;
    let first = quoted.iter().copied().min_by_key(|bank| {
        let (before, after) = (from.value(*bank, pcr), to.value(*bank, pcr));
        let single = before.is_none() || after.is_none();
        (single, before == after, *bank == HashAlg::Sha1)
    });
    events.filter(|bank| quoted.contains(bank)).or(first)
}

/// The shortest way from one list of events to another.
fn changes(from: &[&BootEvent], to: &[&BootEvent]) -> Vec<Change> {
    // For each place in both lists, how many events the rests have in common. The lists are bounded.
    let mut common: Vec<Vec<u16>> = vec![vec![0; to.len() + 1]];
    for old in from.iter().rev() {
        let mut row = vec![0_u16];
        let below = common.last().map(Vec::as_slice).unwrap_or_default();
        let pairs = below.iter().rev().zip(below.iter().rev().skip(1));
        for (new, (diagonal, beneath)) in to.iter().rev().zip(pairs) {
            let best = if old.digest == new.digest {
                diagonal + 1
            } else {
                (*beneath).max(row.last().copied().unwrap_or(0))
            };
            row.push(best);
        }
        row.reverse();
        common.push(row);
    }
    common.reverse();
    let common = |i: usize, j: usize| {
        let row = common.get(i);
        row.and_then(|row| row.get(j)).copied().unwrap_or(0)
    };
    let (mut i, mut j) = (0, 0);
    let mut changes = Vec::new();
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    loop {
        match (from.get(i), to.get(j)) {
            (Some(old), Some(new)) if old.digest == new.digest => {
                settle(&mut changes, &mut removed, &mut added);
                i += 1;
                j += 1;
            }
            (Some(old), new) if new.is_none() || common(i + 1, j) >= common(i, j + 1) => {
                removed.push((*old).clone());
                i += 1;
            }
            (_, Some(new)) => {
                added.push((*new).clone());
                j += 1;
            }
            (_, None) => break,
        }
    }
    settle(&mut changes, &mut removed, &mut added);
    changes
}

/// What went and what came in one place: those of one kind are taken as one that was replaced, in their order.
fn settle(changes: &mut Vec<Change>, removed: &mut Vec<BootEvent>, added: &mut Vec<BootEvent>) {
    for from in removed.drain(..) {
        let same = |to: &&BootEvent| to.kind == from.kind && to.about == from.about;
        let place = added
            .iter()
            .position(|to| same(&to))
            .or_else(|| added.iter().position(|to| to.kind == from.kind));
        match place {
            Some(place) => {
                let to = added.remove(place);
                changes.push(Change::Replaced { from, to });
            }
            None => changes.push(Change::Removed(from)),
        }
    }
    changes.extend(added.drain(..).map(Change::Added));
}
