//! `host pending` and `host approve`: hosts that nothing vouches for, and an operator's word for one of them.
//!
//! What such a host says of itself is not proven; it must never be approved by a name that two of them give.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Problem;
use super::render::{self, Form};
use crate::registry::{EkFingerprint, WaitingHost};
use crate::rfc3339;
use crate::serve::now;
use crate::store::sql::SqlStore;
use crate::store::{Found, WaitingStore};

pub(super) async fn list(registry: &SqlStore, form: Form) -> Result<(), Problem> {
    let waiting = registry.waiting(now()).await?;
    match form {
        Form::Json => render::json(&waiting.iter().map(summary).collect::<Vec<_>>()),
        Form::Text if waiting.is_empty() => render::text("no host waits"),
        Form::Text => {
            let mut text = String::new();
            for host in &waiting {
                // Writing to a string does not fail.
                let _ = writeln!(
                    text,
                    "{}\n  ek     {}\n  grade  {}, by its own word\n  from   {}\n  since  {}, last {}\n  why    {}",
                    host.name,
                    host.ek,
                    host.grade,
                    host.remote,
                    rfc3339(host.first_at),
                    rfc3339(host.last_at),
                    host.why,
                );
            }
            render::text(text.trim_end())
        }
    }
}

pub(super) async fn approve(registry: &SqlStore, who: &str, form: Form) -> Result<(), Problem> {
    let waiting = registry.waiting(now()).await?;
    let chosen = choose(&waiting, who)?;
    match registry.approve(chosen, now()).await? {
        Found::Unknown => Err(Problem::failed(
            format!("`{who}` no longer waits under that name"),
            "see `holdfast-attestor host pending`",
        )),
        Found::Changed | Found::Unchanged => match form {
            Form::Json => render::json(&json!({
                "name": chosen.name,
                "ek_fingerprint": chosen.ek,
                "state": "approved",
            })),
            Form::Text => render::text(&format!(
                "`{}` may join with the ek {}: have it enroll again",
                chosen.name, chosen.ek
            )),
        },
    }
}

/// The one host that is meant, by its name or by the hash of its EK.
fn choose<'a>(waiting: &'a [WaitingHost], who: &str) -> Result<&'a WaitingHost, Problem> {
    let by_ek = who.parse::<EkFingerprint>().ok();
    let meant: Vec<&WaitingHost> = waiting
        .iter()
        .filter(|host| match by_ek {
            Some(ek) => host.ek == ek,
            None => host.name.to_string() == who,
        })
        .collect();
    match meant.as_slice() {
        [one] => Ok(one),
        [] => Err(Problem::failed(
            format!("no host waits that is `{who}`"),
            "`holdfast-attestor host pending` lists them",
        )),
        several => Err(Problem::failed(
            format!("{} hosts call themselves `{who}`", several.len()),
            "compare the ek hashes in `host pending` with the machine's, and approve one by its hash",
        )),
    }
}

fn summary(host: &WaitingHost) -> Value {
    json!({
        "name": host.name,
        "ek_fingerprint": host.ek,
        "grade": host.grade,
        "remote": host.remote.to_string(),
        "first_at": rfc3339(host.first_at),
        "last_at": rfc3339(host.last_at),
        "why": host.why,
    })
}
