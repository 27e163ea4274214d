//! `audit`: the hosts' audit logs as this attestor holds them, and whether they are whole.
//!
//! It reads and checks; it must never change a log, or forget that one forked.

use std::fmt::Write;
use std::path::Path;

use clap::Subcommand;
use holdfast_protocol::id::HostId;
use holdfast_protocol::words::with_causes;
use serde_json::{Value, json};

use super::render::{self, Form};
use super::{Problem, state};
use crate::mirror_audit::{MirroredLog, Verification, verify};
use crate::rfc3339;
use crate::store::MirrorStore;
use crate::store::sql::SqlStore;

/// How many records `show` prints, unless it is told.
const SHOWN: u64 = 100;

/// The audit logs that hosts have sent.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List them: size, newest checkpoint, forks.
    List,
    /// Print records of a host's log.
    Show {
        /// The host's id.
        host: HostId,
        /// The first index; without it, the newest are shown.
        #[arg(long, value_name = "N")]
        from: Option<u64>,
        /// How many.
        #[arg(long, value_name = "N", default_value_t = SHOWN)]
        count: u64,
    },
    /// Check a host's log: records, tree, checkpoints, counter, cosignatures. Exits with 1 if something is wrong.
    Verify {
        /// The host's id.
        host: HostId,
    },
    /// Print the verifier key of this attestor's cosignatures (C2SP signed-note).
    Key,
}

pub(super) async fn run(command: &Audit, config: &Path, form: Form) -> Result<(), Problem> {
    let config = state::configuration(config)?;
    let cosigner = state::cosigner(&config)?;
    if let Audit::Key = command {
        return match form {
            Form::Json => render::json(&json!({ "cosigner": cosigner.vkey() })),
            Form::Text => render::text(&cosigner.vkey()),
        };
    }
    let registry = state::registry(&config).await?;
    let result = async {
        let logs = registry.mirrored_logs().await?;
        match command {
            Audit::List => list(&logs, form),
            Audit::Show { host, from, count } => {
                let log = newest(&logs, *host)?;
                let end = log.tree.size();
                let from = from.unwrap_or_else(|| end.saturating_sub(*count));
                show(&registry, log, from, *count, form).await
            }
            Audit::Verify { host } => {
                newest(&logs, *host)?;
                let mut checked = Vec::new();
                for log in logs.iter().filter(|log| log.host == *host) {
                    checked.push((log, verify(&registry, &cosigner, log).await?));
                }
                verdict(*host, &checked, form)
            }
            Audit::Key => Ok(()),
        }
    };
    let result = result.await;
    registry.close().await;
    result
}

fn list(logs: &[MirroredLog], form: Form) -> Result<(), Problem> {
    match form {
        Form::Json => render::json(&logs.iter().map(summary).collect::<Vec<_>>()),
        Form::Text if logs.is_empty() => render::text("no host has sent its audit log"),
        Form::Text => {
            let mut table = format!(
                "{:<26}  {:<31}  {:>9}  {:>9}  {:>7}  {:<20}  STATE",
                "HOST", "LOG", "RECORDS", "COSIGNED", "COUNTER", "GREW"
            );
            for log in logs {
                // Writing to a string does not fail.
                let _ = write!(
                    table,
                    "\n{:<26}  {:<31}  {:>9}  {:>9}  {:>7}  {:<20}  {}",
                    log.host.to_string(),
                    log.keys.origin.to_string(),
                    log.tree.size(),
                    log.cosigned,
                    log.last_value
                        .map_or_else(|| "-".to_owned(), |value| value.to_string()),
                    log.grown_at.map_or_else(|| "-".to_owned(), rfc3339),
                    match &log.fork {
                        None => "whole".to_owned(),
                        Some(fork) => format!("FORKED ({})", fork.refusal),
                    },
                );
            }
            render::text(&table)
        }
    }
}

async fn show(
    registry: &SqlStore,
    log: &MirroredLog,
    from: u64,
    count: u64,
    form: Form,
) -> Result<(), Problem> {
    let mut next = from;
    let end = from.saturating_add(count).min(log.tree.size());
    let mut shown = Vec::new();
    while next < end {
        let page = registry
            .mirrored_records(log.id, next, (end - next).min(512))
            .await?;
        if page.is_empty() {
            break;
        }
        for record in page {
            match form {
                Form::Json => shown.push(json!({
                    "index": next,
                    "record": String::from_utf8_lossy(&record),
                })),
                Form::Text => render::text(&line(next, &record))?,
            }
            next = next.saturating_add(1);
        }
    }
    match form {
        Form::Json => render::json(&shown),
        Form::Text => Ok(()),
    }
}

/// A record for people: its index and what it says; control characters of a host's making stay off the terminal.
fn line(index: u64, record: &[u8]) -> String {
    let event: Value = serde_json::from_slice(record).unwrap_or(Value::Null);
    let said = match event.get("message").and_then(Value::as_str) {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(record).into_owned(),
    };
    let said: String = said
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    format!("{index:>8}  {said}")
}

fn verdict(
    host: HostId,
    checked: &[(&MirroredLog, Verification)],
    form: Form,
) -> Result<(), Problem> {
    match form {
        Form::Json => render::json(
            &checked
                .iter()
                .map(|(log, verification)| {
                    json!({
                        "origin": log.keys.origin,
                        "size": verification.size,
                        "root": verification.root,
                        "cosigned": verification.cosigned,
                        "counter": verification.counter,
                        "findings": verification.findings,
                    })
                })
                .collect::<Vec<_>>(),
        )?,
        Form::Text => {
            for (log, verification) in checked {
                render::text(&format!(
                    "{}: {} records, {} of them cosigned, root {}",
                    log.keys.origin, verification.size, verification.cosigned, verification.root
                ))?;
                for finding in &verification.findings {
                    render::text(&format!("FOUND  {finding}"))?;
                }
            }
        }
    }
    if checked
        .iter()
        .all(|(_, verification)| verification.findings.is_empty())
    {
        return Ok(());
    }
    Err(Problem::failed(
        format!("the audit log of {host} does not verify"),
        "compare it with what the host shows (`holdfast audit verify`, `holdfast audit export`) \
         before you trust either",
    ))
}

fn newest(logs: &[MirroredLog], host: HostId) -> Result<&MirroredLog, Problem> {
    logs.iter().rfind(|log| log.host == host).ok_or_else(|| {
        Problem::failed(
            format!("no audit log of a host {host} is held"),
            "`holdfast-attestor audit list` lists those that are",
        )
    })
}

fn summary(log: &MirroredLog) -> Value {
    let MirroredLog {
        id: _,
        host,
        revision: _,
        keys,
        tree,
        bytes,
        grown_at,
        cosigned,
        last_value,
        fork,
    } = log;
    let verifier = keys
        .verifier()
        .map_or_else(|error| with_causes(&error), |verifier| verifier.to_vkey());
    json!({
        "host": host,
        "origin": keys.origin,
        "verifier": verifier,
        "size": tree.size(),
        "root": tree.root(),
        "bytes": bytes,
        "cosigned": cosigned,
        "counter": last_value,
        "grew": grown_at.map(rfc3339),
        "fork": fork.as_ref().map(|fork| json!({
            "at": rfc3339(fork.at),
            "reason": fork.refusal.code(),
            "detail": fork.detail,
            "evidence": String::from_utf8_lossy(&fork.evidence),
        })),
    })
}
