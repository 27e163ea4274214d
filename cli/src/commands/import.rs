//! `holdfast secrets import`: what lies on this machine already goes into the vault, if the human says so.
//!
//! It tells names and places, never values. What it found stays where it was: removing it is the human's.

use std::time::{SystemTime, UNIX_EPOCH};

use holdfast_protocol::Timestamp;
use holdfast_protocol::management::FailureKind;
use holdfast_protocol::vault::SecretName;
use serde::Serialize;

use super::{print_line, secrets, show};
use crate::args::{Args, Import};
use crate::import::{Finds, Surroundings};
use crate::outcome::Problem;
use crate::prompt::{Agreement, agreed};
use crate::render::secrets as render;
use crate::vault;

/// What was done, for scripts.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    finds: &'a Finds,
    /// The names of those that are in the vault now.
    kept: Vec<&'a SecretName>,
}

/// Finds secrets, tells of them, and takes them in.
pub(super) fn run(args: &Args, wish: &Import) -> Result<(), Problem> {
    let home = std::env::home_dir()
        .filter(|home| home.is_absolute())
        .ok_or_else(|| Problem::usage("you have no home folder", "set HOME"))?;
    let finds = Finds::look(
        wish.source,
        &Surroundings {
            home: &home,
            variable: &|name| std::env::var(name).ok(),
            now: now(),
        },
    );
    if wish.dry_run || finds.found.is_empty() {
        return tell(args, &finds, Vec::new(), &render::finds(&finds, &[]));
    }
    let vault = vault::made_and_opened(&args.socket)?;
    if !wish.yes {
        eprint!("{}", render::finds(&finds, &vault.secrets));
        if agreed("Put them into your vault?")? == Agreement::No {
            return Err(Problem::new(
                FailureKind::DeniedByHuman,
                "nothing was imported",
                "",
            ));
        }
    }
    let mut kept = Vec::new();
    for found in &finds.found {
        let (name, purpose) = (found.name.clone(), found.purpose.clone());
        secrets::keep(args, name, purpose, found.value.clone())?;
        kept.push(&found.name);
    }
    let text = render::imported(&finds);
    tell(args, &finds, kept, &text)
}

fn tell(args: &Args, finds: &Finds, kept: Vec<&SecretName>, text: &str) -> Result<(), Problem> {
    if args.json {
        return show(args, &Report { finds, kept }, "");
    }
    print_line(text.trim_end())
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_secs(since.as_secs())
}
