//! The software state of evidence: which PCRs, their values, and their reference.
//!
//! Only the selection inside the signed quote counts; what the host says it selected never does.

use std::collections::BTreeSet;
use std::fmt::Write;

use holdfast_proof::ima;
use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrSelection, PcrValues, Quoted, pcr_digest};
use holdfast_protocol::evidence::Check;

use super::{Appraiser, Refusal};
use crate::registry::ReferencePcrs;

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

/// The values are the reference ones, where they must be. Gives those that had no reference.
pub(super) fn reference(
    appraiser: &mut Appraiser,
    supplied: &PcrValues,
    reference: &ReferencePcrs,
    blocking: &BTreeSet<PcrIndex>,
) -> Result<PcrValues, Refusal> {
    let mut learned = PcrValues::new();
    let mut blocked = String::new();
    let mut drifted = String::new();
    // PCR 10 changes with every program that runs: its list is judged, never its value.
    let steady = || {
        supplied
            .iter()
            .filter(|(index, _)| Some(*index) != ima::pcr())
    };
    for (index, value) in steady() {
        match reference.0.value(value.alg(), index) {
            // The supplied values are distinct, so this one cannot be there yet.
            None => _ = learned.insert(index, value.clone()),
            Some(expected) if expected == value => {}
            Some(expected) if blocking.contains(&index) => {
                changed(&mut blocked, index, expected, value);
            }
            Some(expected) => changed(&mut drifted, index, expected, value),
        }
    }
    if !blocked.is_empty() {
        return Err(appraiser.refused(Check::PcrReference, blocked));
    }
    if !drifted.is_empty() {
        appraiser.noted(Check::PcrReference, drifted);
    }
    if !learned.is_empty() {
        let names: BTreeSet<_> = learned
            .iter()
            .map(|(index, value)| (value.alg(), index))
            .collect();
        appraiser.noted(
            Check::PcrReference,
            format!("learned as reference: {}", list(&names)),
        );
    } else if steady().all(|(index, value)| reference.0.value(value.alg(), index) == Some(value)) {
        appraiser.passed(Check::PcrReference, "every value is its reference");
    }
    Ok(learned)
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
