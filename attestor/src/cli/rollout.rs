//! `rollout`: an update that is accepted ahead for a group, by its canaries first.
//!
//! It must never begin one whose canaries could not stop it: a group without canaries has none.

mod words;

use std::num::NonZeroU32;
use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::render::{self, Form};
use super::update::{Update, predicted};
use super::{Problem, state};
use crate::config::{Config, GroupConfig};
use crate::group::GroupName;
use crate::registry::{Host, Outcome, Standing};
use crate::rollout::{Counted, Part, Plan, Planned, RolloutId, heard_until};
use crate::serve::now;
use crate::store::sql::SqlStore;
use crate::store::{Found, ReferenceStore, RolloutStore, Starting, Store};

/// Updates of whole groups, by their canaries first.
#[derive(Debug, Subcommand)]
pub enum Rollout {
    /// Accept an update ahead of time for all hosts of a group: its canaries may take it at once, the rest once they have run it.
    Start {
        /// The group, which has a `canary` in the configuration.
        group: GroupName,
        #[command(flatten)]
        update: Update,
    },
    /// List them, newest first.
    List,
    /// Show one: how far it is, which hosts have the update, which have failed, what comes next.
    Show {
        /// Its number.
        id: RolloutId,
    },
    /// Let one go on that was stopped by failures: those that there are do not count any more, new ones do.
    Resume {
        /// Its number.
        id: RolloutId,
    },
    /// End one: hosts that have not shown the update may not any more; those that have keep it.
    Cancel {
        /// Its number.
        id: RolloutId,
    },
}

pub(super) async fn run(command: &Rollout, config: &Path, form: Form) -> Result<(), Problem> {
    let config = state::configuration(config)?;
    let registry = state::registry(&config).await?;
    let result = match command {
        Rollout::Start { group, update } => start(&registry, &config, group, update, form).await,
        Rollout::List => words::list(&registry.rollouts().await?, now(), form),
        Rollout::Show { id } => show(&registry, *id, form).await,
        Rollout::Resume { id } => {
            let found = registry.resume_rollout(*id, now()).await?;
            changed(*id, found, "resumed", "was not stopped", form)
        }
        Rollout::Cancel { id } => {
            let found = registry.cancel_rollout(*id, now()).await?;
            changed(*id, found, "cancelled", "is over already", form)
        }
    };
    registry.close().await;
    result
}

async fn show(registry: &SqlStore, id: RolloutId, form: Form) -> Result<(), Problem> {
    let rollout = registry.rollout(id).await?.ok_or_else(|| unknown(id))?;
    words::show(&rollout, now(), form)
}

async fn start(
    registry: &SqlStore,
    config: &Config,
    group: &GroupName,
    update: &Update,
    form: Form,
) -> Result<(), Problem> {
    let (settings, canary) = canaries_of(config, group)?;
    let mut members = Vec::new();
    let mut left_out = Vec::new();
    for host in registry.hosts().await? {
        let part = match &host.group {
            Some(of) if of == canary => Part::Canary,
            Some(of) if of == group => Part::General,
            Some(_) | None => continue,
        };
        match planned(registry, config, &host, part, update).await? {
            Some(planned) => members.push(planned),
            None => left_out.push(host.id),
        }
    }
    let count = |part| {
        let of_part = members.iter().filter(|member| member.part == part).count();
        u32::try_from(of_part).ok().and_then(NonZeroU32::new)
    };
    let nobody = |group: &GroupName| {
        Problem::failed(
            format!("no host of the group `{group}` was attested yet that may still be"),
            "`host group` puts one into it, and `host list` tells what is known of it",
        )
    };
    let canaries = count(Part::Canary).ok_or_else(|| nobody(canary))?;
    let hosts = count(Part::General).ok_or_else(|| nobody(group))?;
    let rules = settings.rules(canaries, hosts).ok_or_else(|| {
        Problem::failed(
            format!(
                "`canary-hosts` of [group.{group}] asks for more than the {canaries} of `{canary}`"
            ),
            format!("put more hosts into `{canary}`, or ask for fewer"),
        )
    })?;
    let plan = Plan {
        group: group.clone(),
        canary: canary.clone(),
        rules,
        members,
    };
    let id = match registry.start_rollout(&plan, now()).await? {
        Starting::Started(id) => id,
        Starting::UnderWay(other) => {
            return Err(Problem::failed(
                format!(
                    "rollout {other}, which is under way, has a host of `{group}` or `{canary}`"
                ),
                format!("see `rollout show {other}`; `rollout cancel {other}` ends it"),
            ));
        }
    };
    let rollout = registry.rollout(id).await?.ok_or_else(|| unknown(id))?;
    words::started(&rollout, &left_out, now(), form)
}

/// What is said of a group, and its canaries' group.
fn canaries_of<'a>(
    config: &'a Config,
    group: &GroupName,
) -> Result<(&'a GroupConfig, &'a GroupName), Problem> {
    let settings = config.group.get(group).ok_or_else(|| {
        Problem::usage(
            format!("the configuration says nothing of a group `{group}`"),
            format!("add a table [group.{group}], and have every attestor read it first"),
        )
    })?;
    let canary = settings.canary.as_ref().ok_or_else(|| {
        Problem::usage(
            format!("the group `{group}` has no canaries"),
            format!(
                "name a group as `canary` in [group.{group}], or accept the update for all at once: \
                 `host reference accept --group {group}`"
            ),
        )
    })?;
    Ok((settings, canary))
}

/// A host's place in a rollout; `None` if it may get no identity, or has no reference that could change.
async fn planned(
    registry: &SqlStore,
    config: &Config,
    host: &Host,
    part: Part,
    update: &Update,
) -> Result<Option<Planned>, Problem> {
    let kept = registry.references(host.id).await?.unwrap_or_default();
    if host.standing != Standing::Active || kept.current.is_none() {
        return Ok(None);
    }
    // All or none: a rollout whose values fit only some would refuse the others.
    let values = predicted(&kept, update).map_err(|problem| problem.of_host(host.id))?;
    // What is wrong with it already is not the update's.
    let newest = registry.verdicts(host.id, 1).await?;
    let counted = match newest.first().map(|verdict| verdict.outcome) {
        Some(Outcome::Refused) => Counted::Pardoned,
        Some(Outcome::Accepted) | None => Counted::Yes,
    };
    let svid_end = host.last.at + config.x509_ttl(host.group.as_ref());
    Ok(Some(Planned {
        host: host.id,
        part,
        values,
        heard_until: heard_until(svid_end),
        counted,
    }))
}

fn changed(
    id: RolloutId,
    found: Found,
    what: &str,
    already: &str,
    form: Form,
) -> Result<(), Problem> {
    match (found, form) {
        (Found::Unknown, _) => Err(unknown(id)),
        (Found::Unchanged, _) => Err(Problem::failed(
            format!("rollout {id} {already}"),
            format!("`rollout show {id}` tells how far it is"),
        )),
        (Found::Changed, Form::Json) => render::json(&json!({ "id": id, "state": what })),
        (Found::Changed, Form::Text) => render::text(&format!("rollout {id} is {what}")),
    }
}

fn unknown(id: RolloutId) -> Problem {
    Problem::failed(
        format!("there is no rollout {id}"),
        "`holdfast-attestor rollout list` lists them",
    )
}
