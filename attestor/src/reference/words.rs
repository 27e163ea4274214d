//! Boots in words, for operators.
//!
//! Every text of an event was made printable and short where the log was read; nothing else of the host's comes in here.

use std::fmt::Write;

use holdfast_proof::event_log::{BootEvent, Words};
use holdfast_proof::tpm::Digest;

use super::{Change, Explained, PcrDiff};

/// How much of a digest is shown beside words.
const SHOWN_DIGEST: usize = 16;

/// What differs, a line for each event.
pub(crate) fn told(diffs: &[PcrDiff]) -> String {
    let mut text = String::new();
    for diff in diffs {
        let PcrDiff {
            pcr,
            from,
            to,
            explained,
            changes,
        } = diff;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "PCR {}: {} → {}",
            pcr.get(),
            value(from.as_ref()),
            value(to.as_ref())
        );
        for change in changes {
            let _ = writeln!(text, "  {}", change_words(change));
        }
        let remark = match explained {
            Explained::Whole => continue,
            Explained::Partly => {
                "these events do not explain all of it: something else was measured, too"
            }
            Explained::Not if from.is_none() => "it had no reference",
            Explained::Not => "no event log explains it",
        };
        let _ = writeln!(text, "  {remark}");
    }
    text
}

/// One change, in words.
pub(crate) fn change_words(change: &Change) -> String {
    match change {
        Change::Added(event) => format!("added: {}", event_words(event)),
        Change::Removed(event) => format!("removed: {}", event_words(event)),
        Change::Replaced { from, to } if label(from) == label(to) => {
            match (from.content, to.content) {
                (Some(old), Some(new)) if old != new => format!("{} {old} → {new}", label(to)),
                _ => format!(
                    "{} digest {} → {}",
                    label(to),
                    short(&from.digest),
                    short(&to.digest)
                ),
            }
        }
        Change::Replaced { from, to } => format!("{} → {}", event_words(from), event_words(to)),
    }
}

/// One event, in words.
pub(crate) fn event_words(event: &BootEvent) -> String {
    match event.content {
        Some(content) => format!("{} {content}", label(event)),
        None => format!("{} digest {}", label(event), short(&event.digest)),
    }
}

/// What the event is about. A star marks what is the host's word alone.
fn label(event: &BootEvent) -> String {
    let star = match event.words {
        Words::Measured => "",
        Words::Claimed => "*",
    };
    match event.about.as_str() {
        "" => event.kind_words().to_owned(),
        about if event.kind_words() == "variable" => format!("`{about}`{star}"),
        about => format!("{} `{about}`{star}", event.kind_words()),
    }
}

fn value(value: Option<&Digest>) -> String {
    value.map_or_else(|| "nothing".to_owned(), short)
}

fn short(digest: &Digest) -> String {
    let mut text = hex(digest);
    text.truncate(SHOWN_DIGEST);
    text.push('…');
    text
}

/// A digest, whole.
pub(crate) fn hex(digest: &Digest) -> String {
    data_encoding::HEXLOWER.encode(digest.as_bytes())
}
