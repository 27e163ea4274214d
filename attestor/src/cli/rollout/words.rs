//! Rollouts in words, and as JSON.

use std::fmt::Write;
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use serde_json::{Value, json};

use super::super::Problem;
use super::super::render::{self, Form};
use crate::rfc3339;
use crate::rollout::{Condition, Counted, Member, Part, Phase, Rollout};

pub(super) fn list(rollouts: &[Rollout], now: Timestamp, form: Form) -> Result<(), Problem> {
    match form {
        Form::Json => {
            let rollouts = rollouts.iter().map(|rollout| summary(rollout, now));
            render::json(&rollouts.collect::<Vec<_>>())
        }
        Form::Text if rollouts.is_empty() => render::text("there is no rollout"),
        Form::Text => {
            let mut table = format!(
                "{:<6}  {:<20}  {:<20}  {:<9}  {:<13}  FAILED",
                "NUMBER", "GROUP", "SINCE", "STATE", "HAVE IT"
            );
            for rollout in rollouts {
                let tally = Tally::of(rollout, None, now);
                // Writing to a string does not fail.
                let _ = write!(
                    table,
                    "\n{:<6}  {:<20}  {:<20}  {:<9}  {:<13}  {}",
                    rollout.id.to_string(),
                    rollout.group.to_string(),
                    rfc3339(rollout.started_at),
                    rollout.phase(now).word(),
                    format!("{} of {}", tally.run, tally.all),
                    tally.failed,
                );
            }
            render::text(&table)
        }
    }
}

pub(super) fn show(rollout: &Rollout, now: Timestamp, form: Form) -> Result<(), Problem> {
    match form {
        Form::Json => render::json(&whole(rollout, now)),
        Form::Text => {
            let mut text = described(rollout, now);
            for member in &rollout.members {
                let (host, part) = (member.host, part_word(member.part));
                // Writing to a string does not fail.
                let _ = write!(
                    text,
                    "\n  {host}  {part:<7}  {}",
                    told(rollout, member, now)
                );
            }
            render::text(&text)
        }
    }
}

pub(super) fn started(
    rollout: &Rollout,
    left_out: &[HostId],
    now: Timestamp,
    form: Form,
) -> Result<(), Problem> {
    match form {
        Form::Json => {
            let mut whole = whole(rollout, now);
            if let Some(members) = whole.as_object_mut() {
                members.insert("left_out".to_owned(), json!(left_out));
            }
            render::json(&whole)
        }
        Form::Text => {
            let mut text = described(rollout, now);
            for host in left_out {
                let _ = write!(
                    text,
                    "\n  {host} is left out: it has no reference yet, or may get no identity"
                );
            }
            render::text(&text)
        }
    }
}

/// How many hosts stand how.
#[derive(Default)]
struct Tally {
    all: usize,
    run: usize,
    failed: usize,
}

impl Tally {
    /// Of a part, or of all; without those that are gone.
    fn of(rollout: &Rollout, part: Option<Part>, now: Timestamp) -> Self {
        let of_part = |member: &&Member| part.is_none_or(|part| member.part == part);
        let members = rollout.members.iter().filter(of_part);
        members.fold(Self::default(), |tally, member| {
            let one = usize::from;
            let condition = rollout.condition(member, now);
            Self {
                all: tally.all + one(condition != Condition::Gone),
                run: tally.run + one(member.shown.is_some() && condition != Condition::Gone),
                failed: tally.failed + one(condition.is_failure()),
            }
        })
    }

    fn words(&self) -> String {
        format!(
            "{} of {} have shown the update, {} failed",
            self.run, self.all, self.failed
        )
    }
}

fn described(rollout: &Rollout, now: Timestamp) -> String {
    let Rollout {
        id,
        group,
        canary,
        started_at,
        rules,
        ..
    } = rollout;
    let part = |part| Tally::of(rollout, Some(part), now).words();
    format!(
        "rollout {id} of group {group}, by the canaries {canary}, since {since}\n  \
         state     {state}\n  \
         canaries  {canaries}\n  \
         hosts     {hosts}\n  \
         brake     {canary_limit} failed of the canaries or {general_limit} of the rest stop it\n  \
         next      {next}",
        since = rfc3339(*started_at),
        state = state(rollout, now),
        canaries = part(Part::Canary),
        hosts = part(Part::General),
        canary_limit = rules.canary_limit,
        general_limit = rules.general_limit,
        next = next(rollout, now),
    )
}

fn state(rollout: &Rollout, now: Timestamp) -> String {
    use crate::rollout::Stage;
    let word = rollout.phase(now).word();
    match rollout.stage {
        Stage::Canary => format!("{word}: the canaries may take the update, the rest not yet"),
        Stage::General { since } => {
            format!(
                "{word}: all hosts may take the update since {}",
                rfc3339(since)
            )
        }
        Stage::Braked { at, .. } => format!(
            "{word}: stopped by failures at {}; hosts that have the update keep it, nobody else may take it",
            rfc3339(at)
        ),
        Stage::Done { at } => format!("{word}: all hosts have the update since {}", rfc3339(at)),
        Stage::Cancelled { at } => format!("{word} at {}", rfc3339(at)),
    }
}

fn next(rollout: &Rollout, now: Timestamp) -> String {
    let Rollout { id, group, .. } = rollout;
    let (needed, held) = (rollout.needed(now), rollout.held(now));
    let hold = span(rollout.rules.hold);
    match rollout.phase(now) {
        Phase::Canary => format!(
            "boot the canaries into it: {needed} of them have to run it for {hold} before {group} may take it"
        ),
        Phase::Waiting { until } => format!(
            "nothing to do: {group} may take it once {needed} canaries are verified after {hold} on it, from {} on; {held} were",
            rfc3339(until)
        ),
        Phase::General => format!(
            "boot the hosts of {group} into it; a host that never will: `host revoke`, or `rollout cancel {id}`"
        ),
        Phase::Braked => format!(
            "see `host show` of those that failed; then `rollout resume {id}`, or `rollout cancel {id}`"
        ),
        Phase::Done | Phase::Cancelled => "nothing".to_owned(),
    }
}

fn told(rollout: &Rollout, member: &Member, now: Timestamp) -> String {
    let condition = rollout.condition(member, now);
    let words = match (condition, &member.refused) {
        (Condition::Refused, Some(refused)) => {
            format!(
                "failed: refused at {}: {}",
                rfc3339(refused.at),
                refused.why
            )
        }
        (Condition::Refused, None) => "failed".to_owned(),
        (Condition::Silent, _) => {
            format!(
                "failed: silent, expected until {}",
                rfc3339(member.heard_until)
            )
        }
        (Condition::Runs(shown), _) => format!(
            "runs it since {}, verified last at {}",
            rfc3339(shown.since),
            rfc3339(shown.last)
        ),
        (Condition::Gone, _) => {
            "does not count: banned, revoked, or of another group now".to_owned()
        }
        (Condition::Held, _) => "may not take it".to_owned(),
        (Condition::Offered, _) => "may take it, and has not shown it".to_owned(),
        (Condition::Absent, _) => "may take it, and was silent before".to_owned(),
    };
    match member.counted {
        Counted::Pardoned if condition.is_failure() => {
            format!("{words} (known before: it does not count)")
        }
        Counted::Pardoned | Counted::Yes => words,
    }
}

fn summary(rollout: &Rollout, now: Timestamp) -> Value {
    let tally = |part| {
        let Tally { all, run, failed } = Tally::of(rollout, Some(part), now);
        json!({ "all": all, "shown": run, "failed": failed })
    };
    json!({
        "id": rollout.id,
        "group": rollout.group,
        "canary_group": rollout.canary,
        "started_at": rfc3339(rollout.started_at),
        "state": rollout.phase(now).word(),
        "canaries": tally(Part::Canary),
        "hosts": tally(Part::General),
    })
}

fn whole(rollout: &Rollout, now: Timestamp) -> Value {
    let mut whole = summary(rollout, now);
    let until = match rollout.phase(now) {
        Phase::Waiting { until } => Some(rfc3339(until)),
        Phase::Canary | Phase::General | Phase::Braked | Phase::Done | Phase::Cancelled => None,
    };
    let member = |member: &Member| {
        json!({
            "id": member.host,
            "part": member.part,
            "state": condition_word(rollout.condition(member, now)),
            "shown_since": member.shown.map(|shown| rfc3339(shown.since)),
            "verified_at": member.shown.map(|shown| rfc3339(shown.last)),
            "refused": member.refused.as_ref().map(|refused| json!({ "at": rfc3339(refused.at), "why": refused.why })),
            "counts": member.counted == Counted::Yes,
        })
    };
    if let Some(members) = whole.as_object_mut() {
        members.extend([
            (
                "hold_seconds".to_owned(),
                json!(rollout.rules.hold.as_secs()),
            ),
            ("canaries_needed".to_owned(), json!(rollout.needed(now))),
            ("canaries_held".to_owned(), json!(rollout.held(now))),
            ("canary_brake".to_owned(), json!(rollout.rules.canary_limit)),
            ("brake".to_owned(), json!(rollout.rules.general_limit)),
            ("waits_until".to_owned(), json!(until)),
            ("next".to_owned(), json!(next(rollout, now))),
            (
                "members".to_owned(),
                rollout
                    .members
                    .iter()
                    .map(member)
                    .collect::<Vec<_>>()
                    .into(),
            ),
        ]);
    }
    whole
}

fn condition_word(condition: Condition) -> &'static str {
    match condition {
        Condition::Gone => "gone",
        Condition::Held => "held",
        Condition::Offered => "offered",
        Condition::Absent => "absent",
        Condition::Runs(_) => "runs",
        Condition::Refused => "refused",
        Condition::Silent => "silent",
    }
}

fn part_word(part: Part) -> &'static str {
    match part {
        Part::Canary => "canary",
        Part::General => "general",
    }
}

/// As the configuration has it.
fn span(hold: Duration) -> String {
    let seconds = hold.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        hours if hours.is_multiple_of(3600) => format!("{}h", hours / 3600),
        minutes if minutes.is_multiple_of(60) => format!("{}m", minutes / 60),
        seconds => format!("{seconds}s"),
    }
}
