//! `host reference`: what a host's boot is held to, and an operator's decision about another.
//!
//! It must never approve a boot that the operator may not have seen: a proposal is named by what is in it.

use std::fmt::Write;
use std::str::FromStr;

use clap::{Args, Subcommand};
use holdfast_proof::event_log::BootEvent;
use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrValues};
use holdfast_protocol::id::HostId;
use serde_json::{Value, json};

use super::Problem;
use super::host::{changed, unknown};
use super::render::{self, Form};
use crate::reference::{
    Boot, Explained, KeptBoot, PcrDiff, ProposalId, References, change_words, diff, event_words,
    hex, predict, told,
};
use crate::rfc3339;
use crate::serve::now;
use crate::store::sql::SqlStore;
use crate::store::{Approval, ReferenceStore, Store};

/// What a host's boot is held to.
#[derive(Debug, Subcommand)]
pub enum Reference {
    /// Show the reference, the one before it, what is proposed and what is accepted ahead.
    Show {
        /// The host's id.
        id: HostId,
    },
    /// Tell in words what the proposed boot measured otherwise than the reference.
    Diff {
        /// The host's id.
        id: HostId,
    },
    /// Make the proposed boot the reference; the one that was is kept for `rollback`.
    Approve {
        /// The host's id.
        id: HostId,
        /// The proposal that you have seen, as `diff` names it.
        proposal: ProposalId,
    },
    /// Drop the proposed boot: the host stays refused while it boots so, and this boot is not proposed again.
    Reject {
        /// The host's id.
        id: HostId,
        /// The proposal that you have seen, as `diff` names it.
        proposal: ProposalId,
    },
    /// Hold the host to the reference before again, and ask it for a new attestation.
    Rollback {
        /// The host's id.
        id: HostId,
    },
    /// Accept an update ahead of time: once the host shows all of these values together, they are its reference.
    Accept {
        /// The host's id.
        id: HostId,
        #[command(flatten)]
        update: Update,
    },
    /// Tell which PCR values an update would give, and accept nothing.
    Predict {
        /// The host's id.
        id: HostId,
        #[command(flatten)]
        update: Update,
    },
}

/// What an update changes.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Update {
    /// The bank of the values.
    #[arg(long, value_enum, default_value = "sha256")]
    bank: Bank,
    /// The value that a PCR will have.
    #[arg(long, value_name = "N=HEX", value_delimiter = ',')]
    pcr: Vec<PcrValue>,
    /// An event of the reference boot that will have another digest: the values are replayed from the host's kept events.
    #[arg(long, value_name = "OLDHEX=NEWHEX", value_delimiter = ',')]
    replace_event: Vec<Replacement>,
}

/// A bank that an update may be told in.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Bank {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Bank {
    fn alg(self) -> HashAlg {
        match self {
            Self::Sha256 => HashAlg::Sha256,
            Self::Sha384 => HashAlg::Sha384,
            Self::Sha512 => HashAlg::Sha512,
        }
    }
}

/// `N=HEX`.
#[derive(Clone, Debug)]
struct PcrValue(PcrIndex, Vec<u8>);

impl FromStr for PcrValue {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "is a PCR's number, `=`, and its value in hex";
        let (index, value) = text.split_once('=').ok_or(wrong)?;
        let index = index.parse().ok().and_then(PcrIndex::new).ok_or(wrong)?;
        Ok(Self(index, bytes(value).ok_or(wrong)?))
    }
}

/// `OLDHEX=NEWHEX`.
#[derive(Clone, Debug)]
struct Replacement(Vec<u8>, Vec<u8>);

impl FromStr for Replacement {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "is an event's digest in hex, `=`, and the one that comes instead";
        let (old, new) = text.split_once('=').ok_or(wrong)?;
        Ok(Self(bytes(old).ok_or(wrong)?, bytes(new).ok_or(wrong)?))
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(hex.as_bytes())
        .ok()
}

pub(super) async fn run(
    command: &Reference,
    registry: &SqlStore,
    form: Form,
) -> Result<(), Problem> {
    match command {
        Reference::Show { id } => show(&kept(registry, *id).await?, form),
        Reference::Diff { id } => compare(*id, &kept(registry, *id).await?, form),
        Reference::Approve { id, proposal } => {
            kept(registry, *id).await?;
            let approval = registry.approve_boot(*id, *proposal, now()).await?;
            decided(*id, approval, "approved", form)?;
            // It may wait for long before it tries again by itself.
            registry.ask_reattest(*id, now()).await?;
            Ok(())
        }
        Reference::Reject { id, proposal } => {
            kept(registry, *id).await?;
            let approval = registry.reject_boot(*id, *proposal).await?;
            decided(*id, approval, "rejected", form)
        }
        Reference::Rollback { id } => {
            let found = registry.roll_back(*id, now()).await?;
            if found == crate::store::Found::Unchanged {
                return Err(Problem::failed(
                    format!("the host {id} had no reference before this one"),
                    "`host reference show` tells what is kept",
                ));
            }
            // What it runs now may be what the operator takes back.
            registry.ask_reattest(*id, now()).await?;
            changed(*id, found, "held to its reference before", form)
        }
        Reference::Accept { id, update } => {
            let values = predicted(&kept(registry, *id).await?, update)?;
            registry.accept_ahead(*id, &values, now()).await?;
            told_ahead(&values, "accepted ahead", form)
        }
        Reference::Predict { id, update } => {
            let values = predicted(&kept(registry, *id).await?, update)?;
            told_ahead(&values, "predicted", form)
        }
    }
}

async fn kept(registry: &SqlStore, id: HostId) -> Result<References, Problem> {
    registry.references(id).await?.ok_or_else(|| unknown(id))
}

fn decided(id: HostId, approval: Approval, what: &str, form: Form) -> Result<(), Problem> {
    match (approval, form) {
        (Approval::Gone, _) => Err(Problem::failed(
            format!("the host {id} has no such proposal, or another by now"),
            format!("look again: `holdfast-attestor host reference diff {id}`"),
        )),
        (Approval::Done, Form::Json) => render::json(&json!({ "id": id, "proposal": what })),
        (Approval::Done, Form::Text) => render::text(&format!("{id}: the proposed boot is {what}")),
    }
}

/// The values that an update gives: those that are named, and those that follow from the host's events.
fn predicted(kept: &References, update: &Update) -> Result<PcrValues, Problem> {
    let bank = update.bank.alg();
    let digest = |bytes: &[u8]| {
        Digest::new(bank, bytes).ok_or_else(|| {
            Problem::usage(
                format!("a value or digest is not as long as those of {bank:?}"),
                "name its bank with --bank",
            )
        })
    };
    let mut replacements = Vec::new();
    for Replacement(old, new) in &update.replace_event {
        replacements.push((digest(old)?, digest(new)?));
    }
    let boot = kept.current.as_ref().map(|kept| &kept.boot);
    let mut values = PcrValues::new();
    for PcrValue(index, value) in &update.pcr {
        if !values.insert(*index, digest(value)?) {
            let twice = format!("PCR {} is named twice", index.get());
            return Err(Problem::usage(twice, "name one value for each"));
        }
    }
    if !replacements.is_empty() {
        let predicted = predict(boot, &replacements).map_err(|why| {
            Problem::failed(
                why.to_string(),
                "`host reference show` tells the kept events; values from elsewhere go in with --pcr",
            )
        })?;
        for (index, value) in predicted.iter() {
            if !values.insert(index, value.clone()) {
                let both = format!(
                    "PCR {} is named by its value and by its events",
                    index.get()
                );
                return Err(Problem::usage(both, "leave one of them out"));
            }
        }
    }
    let strange = values.iter().find(|(index, value)| {
        boot.is_none_or(|boot| boot.values.value(value.alg(), *index).is_none())
    });
    if let Some((index, _)) = strange {
        return Err(Problem::failed(
            format!(
                "the host has no reference for PCR {} of {bank:?}",
                index.get()
            ),
            "only what it is held to can change; `host reference show` lists it",
        ));
    }
    Ok(values)
}

fn told_ahead(values: &PcrValues, what: &str, form: Form) -> Result<(), Problem> {
    match form {
        Form::Json => render::json(&json!({ "state": what, "values": value_list(values) })),
        Form::Text => {
            let mut text = format!("{what}, all together:");
            write_values(&mut text, values);
            render::text(&text)
        }
    }
}

fn compare(id: HostId, kept: &References, form: Form) -> Result<(), Problem> {
    let Some(proposed) = &kept.proposed else {
        return match form {
            Form::Json => render::json(&json!({ "id": id, "proposal": null, "pcrs": [] })),
            Form::Text => render::text(&format!("{id} has no boot that waits for approval")),
        };
    };
    let none = Boot::default();
    let current = kept.current.as_ref().map_or(&none, |kept| &kept.boot);
    let diffs = diff(current, &proposed.boot);
    let name = proposed.boot.name();
    match form {
        Form::Json => render::json(&json!({
            "id": id,
            "proposal": name,
            "at": rfc3339(proposed.at),
            "pcrs": diffs.iter().map(diff_json).collect::<Vec<_>>(),
        })),
        Form::Text => render::text(&format!(
            "{id} showed another boot at {at}\n\n{told}\n* what was measured is the digest; the name is the host's word\n\n\
             to accept it: holdfast-attestor host reference approve {id} {name}",
            at = rfc3339(proposed.at),
            told = told(&diffs),
        )),
    }
}

fn show(kept: &References, form: Form) -> Result<(), Problem> {
    let sets = [
        ("reference", &kept.current),
        ("previous", &kept.previous),
        ("proposed", &kept.proposed),
        ("ahead", &kept.ahead),
    ];
    match form {
        Form::Json => {
            let members =
                sets.map(|(name, set)| (name.to_owned(), json!(set.as_ref().map(set_json))));
            render::json(&Value::Object(members.into_iter().collect()))
        }
        Form::Text => {
            let mut text = String::new();
            for (name, set) in sets {
                let Some(KeptBoot { at, boot }) = set else {
                    continue;
                };
                // Writing to a string does not fail.
                let _ = write!(text, "{name}, since {}", rfc3339(*at));
                write_values(&mut text, &boot.values);
                for event in events(boot) {
                    let (pcr, words) = (event.pcr.get(), event_words(event));
                    let _ = write!(text, "\n  event of pcr {pcr:<2} {words}");
                    // The whole digest is what `--replace-event` takes.
                    let _ = write!(text, "\n    {}", hex(&event.digest));
                }
                text.push('\n');
            }
            if text.is_empty() {
                text.push_str("nothing is kept: the host has not been attested\n");
            }
            render::text(text.trim_end())
        }
    }
}

fn events(boot: &Boot) -> impl Iterator<Item = &BootEvent> {
    boot.events.iter().flat_map(|events| events.iter())
}

fn write_values(text: &mut String, values: &PcrValues) {
    for (index, value) in values.iter() {
        let bank = bank_name(value);
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {bank} pcr {:<2} {}", index.get(), hex(value));
    }
}

fn bank_name(value: &Digest) -> String {
    format!("{:?}", value.alg()).to_lowercase()
}

fn set_json(set: &KeptBoot) -> Value {
    json!({
        "at": rfc3339(set.at),
        "name": set.boot.name(),
        "values": value_list(&set.boot.values),
        "events": events(&set.boot).map(event_json).collect::<Vec<_>>(),
    })
}

fn value_list(values: &PcrValues) -> Vec<Value> {
    let value = |(index, value): (PcrIndex, &Digest)| json!({ "bank": bank_name(value), "pcr": index.get(), "value": hex(value) });
    values.iter().map(value).collect()
}

fn event_json(event: &BootEvent) -> Value {
    json!({
        "pcr": event.pcr.get(),
        "type": event.kind,
        "digest": hex(&event.digest),
        "about": event.about,
        "content": event.content,
        "words": event.words,
    })
}

fn diff_json(diff: &PcrDiff) -> Value {
    json!({
        "pcr": diff.pcr.get(),
        "from": diff.from.as_ref().map(hex),
        "to": diff.to.as_ref().map(hex),
        "explained": match diff.explained {
            Explained::Whole => "whole",
            Explained::Partly => "partly",
            Explained::Not => "not",
        },
        "changes": diff.changes.iter().map(change_words).collect::<Vec<_>>(),
    })
}
