//! `host`: the hosts that are enrolled, what was decided about them, and their end.

use std::fmt::Write;
use std::path::Path;

use clap::Subcommand;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use serde_json::{Value, json};

use super::reference::{self, Reference};
use super::render::{self, Form};
use super::verdict::told;
use super::{Problem, state, waiting};
use crate::config::Config;
use crate::group::GroupName;
use crate::registry::{self, EkFingerprint, ImaState, Observed, Standing, Verdict};
use crate::rfc3339;
use crate::rollout::{Leave, Offer};
use crate::serve::now;
use crate::store::{Found, Store};

/// How many verdicts `show` prints.
const SHOWN_VERDICTS: u32 = 10;

/// The hosts that are enrolled.
#[derive(Debug, Subcommand)]
pub enum Host {
    /// List them.
    List,
    /// Show one: its keys, its state, the newest verdicts about it.
    Show {
        /// Its id.
        id: HostId,
    },
    /// List the hosts that nothing vouches for and that wait to be approved (`unknown-hosts = "pending"`).
    Pending,
    /// Let a host that waits join, under the name that it has given.
    ///
    /// Anybody can give any name: compare the hash of its EK with the machine's own before. The EK then stands in
    /// `ek-hashes list`, and the host enrolls by trying again.
    Approve {
        /// Its name where only one has it, or the hash of its EK.
        #[arg(value_name = "NAME|HASH")]
        who: String,
    },
    /// Revoke one for good: it gets no more identities, and its EK cannot join again.
    Revoke {
        /// Its id.
        id: HostId,
        /// Why, for the record.
        #[arg(long, default_value = "no reason given")]
        why: String,
    },
    /// Ban one until it is unbanned: its sessions freeze, and it gets no identities meanwhile.
    Ban {
        /// Its id.
        id: HostId,
        /// Why, for the record.
        #[arg(long, default_value = "no reason given")]
        why: String,
    },
    /// Let a banned host attest again.
    Unban {
        /// Its id.
        id: HostId,
    },
    /// Ask one for a new attestation, now.
    Reattest {
        /// Its id.
        id: HostId,
    },
    /// What a host's boot is held to: see it, compare it, decide about another.
    Reference {
        /// What to do.
        #[command(subcommand)]
        command: Reference,
    },
    /// Put one into a group of the configuration, whose policy it is held to from then on.
    Group {
        /// Its id.
        id: HostId,
        /// The group, as `[group.NAME]` names it.
        #[arg(required_unless_present = "none", conflicts_with = "none")]
        name: Option<GroupName>,
        /// Take it out of its group.
        #[arg(long)]
        none: bool,
    },
    /// Forget what a host's boot is held to, with all that waits: its next attestation is as its first.
    Relearn {
        /// Its id.
        id: HostId,
    },
}

pub(super) async fn run(command: &Host, config: &Path, form: Form) -> Result<(), Problem> {
    let config = state::configuration(config)?;
    let registry = state::registry(&config).await?;
    let result = match command {
        Host::List => list(&seen(registry.hosts().await?, &config), form),
        Host::Show { id } => {
            let host = registry.host(*id).await?.ok_or_else(|| unknown(*id))?;
            let verdicts = registry.verdicts(*id, SHOWN_VERDICTS).await?;
            show(&Seen::of(host, &config, now()), &verdicts, form)
        }
        Host::Pending => waiting::list(&registry, form).await,
        Host::Approve { who } => waiting::approve(&registry, who, form).await,
        Host::Revoke { id, why } => {
            let found = registry.revoke(*id, why, now()).await?;
            changed(*id, found, "revoked", form)
        }
        Host::Ban { id, why } => {
            let found = registry.ban(*id, why, now()).await?;
            changed(*id, found, "banned", form)
        }
        Host::Unban { id } => {
            let found = registry.unban(*id).await?;
            changed(*id, found, "unbanned", form)
        }
        Host::Reattest { id } => {
            let found = registry.ask_reattest(*id, now()).await?;
            changed(*id, found, "asked to attest", form)
        }
        Host::Relearn { id } => {
            let found = registry.forget_reference(*id).await?;
            changed(*id, found, "relearning", form)
        }
        Host::Group { id, name, none: _ } => {
            if let Some(name) = name
                .as_ref()
                .filter(|name| !config.group.contains_key(name))
            {
                return Err(Problem::usage(
                    format!("the configuration says nothing of a group `{name}`"),
                    format!("add a table [group.{name}], and have every attestor read it first"),
                ));
            }
            let found = registry.set_group(*id, name.as_ref()).await?;
            let what = name
                .as_ref()
                .map_or("of no group".to_owned(), |name| format!("of group {name}"));
            changed(*id, found, &what, form)
        }
        Host::Reference { command } => reference::run(command, &registry, &config, form).await,
    };
    registry.close().await;
    result
}

/// A host, and whether it is still heard of.
struct Seen {
    host: registry::Host,
    silent_since: Option<Timestamp>,
}

impl Seen {
    fn of(host: registry::Host, config: &Config, now: Timestamp) -> Self {
        let x509_ttl = config.x509_ttl(host.group.as_ref());
        let silent_since = host.silent_since(x509_ttl, now);
        Self { host, silent_since }
    }

    /// When it was last heard of, or since when it is silent.
    fn words(&self) -> String {
        match self.silent_since {
            Some(at) => format!("silent since {}", rfc3339(at)),
            None => rfc3339(self.host.last.at),
        }
    }
}

fn seen(hosts: Vec<registry::Host>, config: &Config) -> Vec<Seen> {
    let now = now();
    hosts
        .into_iter()
        .map(|host| Seen::of(host, config, now))
        .collect()
}

fn list(hosts: &[Seen], form: Form) -> Result<(), Problem> {
    match form {
        Form::Json => render::json(&hosts.iter().map(summary).collect::<Vec<_>>()),
        Form::Text if hosts.is_empty() => render::text("no host is enrolled"),
        Form::Text => {
            let mut table = format!(
                "{:<26}  {:<20}  {:<9}  {:<11}  {:<8}  LAST SEEN",
                "ID", "NAME", "GRADE", "EK TRUST", "STANDING"
            );
            for seen in hosts {
                let host = &seen.host;
                // Writing to a string does not fail.
                let _ = write!(
                    table,
                    "\n{:<26}  {:<20}  {:<9}  {:<11}  {:<8}  {}",
                    host.id.to_string(),
                    host.enrolled.name.to_string(),
                    host.enrolled.grade.to_string(),
                    word(&json!(host.enrolled.trust)),
                    word(&standing(&host.standing)),
                    seen.words(),
                );
            }
            render::text(&table)
        }
    }
}

fn show(seen: &Seen, verdicts: &[Verdict], form: Form) -> Result<(), Problem> {
    let host = &seen.host;
    let mut whole = summary(seen);
    if let Some(members) = whole.as_object_mut() {
        members.insert("verdicts".to_owned(), json!(verdicts));
        let reference: Vec<Value> = host
            .reference
            .iter()
            .map(|(index, value)| {
                json!({
                    "bank": format!("{:?}", value.alg()).to_lowercase(),
                    "pcr": index.get(),
                    "value": data_encoding::HEXLOWER.encode(value.as_bytes()),
                })
            })
            .collect();
        members.insert("ima".to_owned(), json!(host.ima));
        members.insert("reference_pcrs".to_owned(), reference.into());
    }
    match form {
        Form::Json => render::json(&whole),
        Form::Text => render::text(&described(seen, verdicts)),
    }
}

fn described(seen: &Seen, verdicts: &[Verdict]) -> String {
    let host = &seen.host;
    let enrolled = &host.enrolled;
    let mut text = format!(
        "{id}\n  name      {name}\n  grade     {grade}, ek trusted by {trust}\n  standing  {standing}\n  \
         enrolled  {at}\n  last seen {last}\n  reset {reset}, restart {restart}, clock {clock} ms, \
         firmware {firmware:#018x}, audit counter {counter}\n  ek        {ek}\n  ak        {ak}",
        id = host.id,
        name = enrolled.name,
        grade = enrolled.grade,
        trust = word(&json!(enrolled.trust)),
        standing = match &host.standing {
            Standing::Active => "active".to_owned(),
            Standing::Banned { at, why } => format!("banned {}: {why}", rfc3339(*at)),
            Standing::Revoked { at, why } => format!("revoked {}: {why}", rfc3339(*at)),
        },
        at = rfc3339(enrolled.anchor.at),
        last = seen.words(),
        reset = host.last.clock.reset_count,
        restart = host.last.clock.restart_count,
        clock = host.last.clock.clock_ms,
        firmware = host.last.firmware,
        counter = host.last.audit_counter,
        ek = fingerprint(host),
        ak = enrolled.ak.name(),
    );
    if let Some(group) = &host.group {
        let _ = write!(text, "\n  group     {group}");
    }
    if let Some(offer) = &host.rollout {
        let (rollout, words) = (offer.rollout, offer_words(offer));
        let _ = write!(text, "\n  rollout   {rollout}: {words}");
    }
    if let Some(ima) = &host.ima {
        let ImaState {
            boot,
            proven,
            ahead,
            unjustified,
        } = ima;
        let ahead = ahead.as_ref().map_or_else(String::new, |ahead| {
            format!(", {} sent and not proven yet", ahead.entries())
        });
        let _ = write!(
            text,
            "\n  ima       {} entries verified since reset {boot}{ahead}, {unjustified} not right",
            proven.entries()
        );
    }
    for (index, value) in host.reference.iter() {
        let bank = format!("{:?}", value.alg()).to_lowercase();
        let value = data_encoding::HEXLOWER.encode(value.as_bytes());
        let _ = write!(text, "\n  {bank} pcr {:<2} {value}", index.get());
    }
    for verdict in verdicts {
        let _ = write!(text, "\n  {}  {}", rfc3339(verdict.at), told(verdict));
    }
    text
}

fn offer_words(offer: &Offer) -> &'static str {
    match (offer.shown, offer.leave) {
        _ if offer.refused.is_some() => "it failed",
        (Some(_), _) => "it runs the update",
        (None, Leave::Given) => "it may take the update",
        (None, Leave::NotYet) => "it may not take the update yet",
        (None, Leave::Braked) => "it may not take the update, which was stopped by failures",
    }
}

pub(super) fn changed(id: HostId, found: Found, what: &str, form: Form) -> Result<(), Problem> {
    let how = match found {
        Found::Changed => "now",
        Found::Unchanged => "already",
        Found::Unknown => return Err(unknown(id)),
    };
    match form {
        Form::Json => render::json(&json!({ "id": id, "state": what, "changed": how == "now" })),
        Form::Text => render::text(&format!("{id} is {how} {what}")),
    }
}

fn summary(seen: &Seen) -> Value {
    let host = &seen.host;
    json!({
        "id": host.id,
        "name": host.enrolled.name,
        "grade": host.enrolled.grade,
        "ek_trust": host.enrolled.trust,
        "ek_fingerprint": fingerprint(host),
        "ak_name": host.enrolled.ak.name(),
        "standing": standing(&host.standing),
        "group": host.group,
        "rollout": host.rollout.as_ref().map(|offer| offer.rollout),
        "enrolled": observed(&host.enrolled.anchor),
        "last": observed(&host.last),
        "silent_since": seen.silent_since.map(rfc3339),
    })
}

fn observed(observed: &Observed) -> Value {
    json!({
        "at": rfc3339(observed.at),
        "clock": observed.clock,
        "firmware": format!("{:#018x}", observed.firmware),
        "audit_counter": observed.audit_counter,
    })
}

fn standing(standing: &Standing) -> Value {
    match standing {
        Standing::Active => json!("active"),
        Standing::Banned { at, why } => json!({ "banned": { "at": rfc3339(*at), "why": why } }),
        Standing::Revoked { at, why } => json!({ "revoked": { "at": rfc3339(*at), "why": why } }),
    }
}

/// The one word of a value, or of the variant that it is.
fn word(value: &Value) -> String {
    match value {
        Value::String(word) => word.clone(),
        Value::Object(members) => members.keys().next().cloned().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => String::new(),
    }
}

fn fingerprint(host: &registry::Host) -> String {
    host.enrolled
        .ek
        .key()
        .map(|key| EkFingerprint::of(&key).to_string())
        .unwrap_or_default()
}

pub(super) fn unknown(id: HostId) -> Problem {
    Problem::failed(
        format!("no host has the id {id}"),
        "`holdfast-attestor host list` lists them",
    )
}
