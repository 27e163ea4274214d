//! `host reference`: what a host's boot is held to, and an operator's decision about another.
//!
//! It must never approve a boot that the operator may not have seen: a proposal is named by what is in it.

use std::fmt::Write;

use clap::Subcommand;
use holdfast_proof::event_log::BootEvent;
use holdfast_proof::tpm::{Digest, PcrIndex, PcrValues};
use holdfast_protocol::id::HostId;
use serde_json::{Value, json};

use super::Problem;
use super::host::{changed, unknown};
use super::render::{self, Form};
use super::update::{Update, predicted};
use crate::config::Config;
use crate::group::GroupName;
use crate::reference::{
    Boot, Explained, KeptBoot, PcrDiff, ProposalId, References, change_words, diff, event_words,
    hex, told,
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
        #[arg(required_unless_present = "group", conflicts_with = "group")]
        id: Option<HostId>,
        /// All hosts of a group instead; of all of them or of none.
        #[arg(long)]
        group: Option<GroupName>,
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

pub(super) async fn run(
    command: &Reference,
    registry: &SqlStore,
    config: &Config,
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
        Reference::Accept { id, group, update } => {
            if let Some(group) = group {
                without_canaries(config, group)?;
            }
            accept(registry, *id, group.as_ref(), update, form).await
        }
        Reference::Predict { id, update } => {
            let values = predicted(&kept(registry, *id).await?, update)?;
            told_values(&values, form)
        }
    }
}

/// All at once is what canaries are there to prevent.
fn without_canaries(config: &Config, group: &GroupName) -> Result<(), Problem> {
    let canary = config
        .group
        .get(group)
        .and_then(|group| group.canary.as_ref());
    canary.map_or(Ok(()), |canary| {
        Err(Problem::usage(
            format!("the group `{group}` takes updates by its canaries `{canary}` first"),
            format!("`rollout start {group}` with the same values; one host alone goes by its id"),
        ))
    })
}

async fn accept(
    registry: &SqlStore,
    id: Option<HostId>,
    group: Option<&GroupName>,
    update: &Update,
    form: Form,
) -> Result<(), Problem> {
    let hosts = match (id, group) {
        (Some(id), _) => vec![id],
        (None, group) => {
            let hosts = registry.hosts().await?.into_iter();
            let of_group = hosts.filter(|host| group.is_some() && host.group.as_ref() == group);
            of_group.map(|host| host.id).collect()
        }
    };
    if hosts.is_empty() {
        return Err(Problem::failed(
            "no host is in that group",
            "`host group` puts one into it",
        ));
    }
    // All of them first, so that none is accepted where one cannot be.
    let mut accepted = Vec::new();
    for id in hosts {
        let values = predicted(&kept(registry, id).await?, update);
        accepted.push((id, values.map_err(|problem| problem.of_host(id))?));
    }
    for (id, values) in &accepted {
        registry.accept_ahead(*id, values, now()).await?;
    }
    match form {
        Form::Json => {
            let host = |(id, values): &(HostId, PcrValues)| json!({ "id": id, "values": value_list(values) });
            render::json(&json!({
                "state": "accepted ahead",
                "hosts": accepted.iter().map(host).collect::<Vec<_>>(),
            }))
        }
        Form::Text => {
            let mut text = String::new();
            for (id, values) in &accepted {
                // Writing to a string does not fail.
                let _ = write!(text, "{id}: accepted ahead, all together:");
                write_values(&mut text, values);
                text.push('\n');
            }
            render::text(text.trim_end())
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

fn told_values(values: &PcrValues, form: Form) -> Result<(), Problem> {
    match form {
        Form::Json => render::json(&json!({ "state": "predicted", "values": value_list(values) })),
        Form::Text => {
            let mut text = "predicted, all together:".to_owned();
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
