//! `authority`: the keys that sign, from one generation to the next.
//!
//! A running attestor sees a change within seconds.

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::render::{self, Form};
use super::{Problem, state};
use crate::certify::{Haste, NotNow, Role, RotateError, SignedBy, Told};
use crate::config::Config;
use crate::rfc3339;
use crate::serve::{SERVER_TTL, now};

/// The keys that sign, from one generation to the next: prepare, wait until everybody has learnt of it, activate, wait
/// until nothing of the old one is valid, retire.
#[derive(Debug, Subcommand)]
pub enum Authority {
    /// Show the generations of keys and what each is for.
    Show,
    /// Make the next generation's keys and publish them; they do not sign yet. Under an upstream authority, if `[authority]` in
    /// the configuration names one: it signs now, and what is published are its roots. Where several attestors serve one trust
    /// domain, copy the state folder's new `ca.*`, `jwt.*` and `authorities.json` to all of them before `activate`.
    Prepare,
    /// Let the prepared generation sign. The one before stays published until nothing that it signed is valid.
    Activate(Step),
    /// Take old generations out of the bundle, and delete their keys.
    Retire(Step),
    /// Encrypt the private keys that lie plain in the state folder, under the passphrase of `[keys]` in the configuration.
    /// Start the attestor with that configuration first: one without the passphrase cannot read them any more.
    Encrypt,
}

/// How a step is made.
#[derive(Debug, Args)]
pub struct Step {
    /// Do not wait until it is safe: for a key in wrong hands. Hosts and agents that have not learnt of the new generation
    /// are cut off until they have, and so is what is signed by one that is retired.
    #[arg(long)]
    now: bool,
}

impl Step {
    fn haste(&self) -> Haste {
        if self.now { Haste::Now } else { Haste::Overlap }
    }
}

pub(super) fn run(command: &Authority, config: &Path, form: Form) -> Result<(), Problem> {
    let config = state::configuration(config)?;
    if matches!(command, Authority::Encrypt) {
        return encrypt(&config, form);
    }
    let authority = state::authority(&config)?;
    let (at, longest) = (now(), longest(&config));
    match command {
        Authority::Show | Authority::Encrypt => {}
        Authority::Prepare => {
            authority.rotate(|keys| keys.prepare(at), at)?;
        }
        Authority::Activate(step) => {
            authority.rotate(|keys| keys.activate(at, longest, step.haste()), at)?;
        }
        Authority::Retire(step) => {
            authority.rotate(|keys| keys.retire(at, step.haste()), at)?;
        }
    }
    let told = authority.tell();
    match form {
        Form::Json => render::json(&json!({
            "sequence": authority.sequence(),
            "generations": told,
        })),
        Form::Text => render::text(&told.iter().map(line).collect::<Vec<_>>().join("\n")),
    }
}

/// Encrypts what lies plain. All keys are opened before, so that none is rewritten under a passphrase that is not the others'.
fn encrypt(config: &Config, form: Form) -> Result<(), Problem> {
    if config.keys.passphrase_file.is_none() {
        return Err(Problem::usage(
            "the configuration names no passphrase to encrypt keys under",
            "name its file as `passphrase-file` under `[keys]`",
        ));
    }
    state::authority(config)?;
    state::cosigner(config)?;
    let encrypted = config.key_folder()?.encrypt()?;
    match form {
        Form::Json => render::json(&json!({ "encrypted": encrypted })),
        Form::Text if encrypted.is_empty() => render::text("no key lay plain"),
        Form::Text => {
            let lines: Vec<_> = encrypted
                .iter()
                .map(|path| format!("encrypted `{}`", path.display()))
                .collect();
            render::text(&lines.join("\n"))
        }
    }
}

/// How long the longest-lived thing is valid that the authority signs.
fn longest(config: &Config) -> Duration {
    config.longest_ttl().max(SERVER_TTL)
}

fn line(told: &Told) -> String {
    let role = match told.generation.role {
        Role::Active => "signs".to_owned(),
        Role::Prepared { since } => format!("prepared, published since {}", rfc3339(since)),
        Role::Old { until } => format!("old, may be retired from {}", rfc3339(until)),
    };
    let signed_by = match &told.signed_by {
        SignedBy::Itself => String::new(),
        SignedBy::Upstream { roots } => {
            let roots: Vec<_> = roots.iter().map(ToString::to_string).collect();
            format!("\n     under the upstream root {}", roots.join(" or "))
        }
    };
    format!(
        "{:>3}  {role}\n     authority {}, ends {}{signed_by}",
        told.generation.number,
        told.fingerprint,
        rfc3339(told.not_after)
    )
}

impl From<RotateError> for Problem {
    fn from(error: RotateError) -> Self {
        let refused = match error {
            RotateError::Certify(error) => return error.into(),
            RotateError::NotNow(refused) => refused,
        };
        let advice = match &refused {
            NotNow::PreparedAlready(_) => "`authority activate` lets it sign",
            NotNow::NothingPrepared => "`authority prepare` makes one",
            NotNow::TooEarly { .. } | NotNow::StillValid { .. } => {
                "wait, or use --now where a key is in wrong hands"
            }
            NotNow::NothingOld => "there is nothing to do",
            NotNow::TooMany => "`authority retire` takes the old ones away",
        };
        Self::failed(refused.to_string(), advice)
    }
}
