//! `ek-hashes`: the endorsement keys that may join without certificate or token, as a fleet's list names them.

use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use holdfast_protocol::words::with_causes;
use serde_json::{Value, json};

use super::render::{self, Form};
use super::{Problem, state};
use crate::ek_hashes::{self, ListedEk, MAX_FILE};
use crate::registry::EkFingerprint;
use crate::rfc3339;
use crate::serve::now;
use crate::store::{EkStore, Found, Listed};

/// The endorsement keys that may join without certificate or token.
#[derive(Debug, Subcommand)]
pub enum EkHashes {
    /// Add the keys of a CSV file: all of them, or none.
    ///
    /// Each line is a host name, a comma, and the SHA-256 of the EK's SubjectPublicKeyInfo in hex. The host has to call
    /// itself by that name; where there is none, it may have any. Empty lines, lines that begin with `#`, and a heading are
    /// passed over. A key that is listed already takes the name that comes now.
    Import {
        /// The file; `-` is standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// List them. Those in `ek-allow-list` of the configuration are beside these.
    List,
    /// Take one from the list. A host that has joined by it stays: `host revoke` ends it.
    Remove {
        /// The key's hash.
        hash: EkFingerprint,
    },
}

pub(super) async fn run(command: &EkHashes, config: &Path, form: Form) -> Result<(), Problem> {
    let config = state::configuration(config)?;
    // The whole file is read and judged before the registry is opened.
    let listed = match command {
        EkHashes::Import { file } => read(file)?,
        EkHashes::List | EkHashes::Remove { .. } => Vec::new(),
    };
    let registry = state::registry(&config).await?;
    let result = match command {
        EkHashes::Import { .. } => imported(registry.list_eks(&listed).await?, form),
        EkHashes::List => list(registry.listed_eks().await?, form),
        EkHashes::Remove { hash } => removed(*hash, registry.unlist_ek(*hash).await?, form),
    };
    registry.close().await;
    result
}

fn read(file: &Path) -> Result<Vec<ListedEk>, Problem> {
    let mut content = Vec::new();
    // One byte more than is read, so that a file that is too large shows.
    let most = u64::try_from(MAX_FILE)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let shown = file.display();
    let taken = if file == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut content)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_end(&mut content))
    };
    taken.map_err(|error| {
        let what = format!("`{shown}` cannot be read");
        Problem::io(&what, &error, "name a file, or `-` for standard input")
    })?;
    ek_hashes::parse(&content, now()).map_err(|error| {
        Problem::failed(
            format!(
                "`{shown}` is not a list of host names and ek hashes: {}",
                with_causes(&error)
            ),
            "nothing was imported; mend that line",
        )
    })
}

fn imported(listed: Listed, form: Form) -> Result<(), Problem> {
    let Listed {
        added,
        renamed,
        unchanged,
    } = listed;
    match form {
        Form::Json => {
            render::json(&json!({ "added": added, "renamed": renamed, "unchanged": unchanged }))
        }
        Form::Text => render::text(&format!(
            "{added} added, {renamed} with another host name now, {unchanged} as before"
        )),
    }
}

fn list(mut listed: Vec<ListedEk>, form: Form) -> Result<(), Problem> {
    let name = |one: &ListedEk| one.host_name.as_ref().map(ToString::to_string);
    listed.sort_by_key(|one| (name(one), one.ek));
    match form {
        Form::Json => render::json(&listed.iter().map(summary).collect::<Vec<_>>()),
        Form::Text if listed.is_empty() => render::text("no ek is listed"),
        Form::Text => {
            let mut table = format!("{:<64}  {:<20}  LISTED", "EK HASH", "HOST NAME");
            for one in &listed {
                // Writing to a string does not fail.
                let _ = write!(
                    table,
                    "\n{}  {:<20}  {}",
                    one.ek,
                    name(one).unwrap_or_else(|| "any".to_owned()),
                    rfc3339(one.listed_at),
                );
            }
            render::text(&table)
        }
    }
}

fn summary(listed: &ListedEk) -> Value {
    json!({
        "ek_fingerprint": listed.ek,
        "host_name": listed.host_name,
        "listed_at": rfc3339(listed.listed_at),
    })
}

fn removed(ek: EkFingerprint, found: Found, form: Form) -> Result<(), Problem> {
    match (found, form) {
        (Found::Unknown, _) => Err(Problem::failed(
            format!("the ek {ek} is not listed"),
            "`holdfast-attestor ek-hashes list` lists them; the configuration's stand in its file",
        )),
        (Found::Changed | Found::Unchanged, Form::Json) => {
            render::json(&json!({ "ek_fingerprint": ek, "changed": true }))
        }
        (Found::Changed | Found::Unchanged, Form::Text) => {
            render::text(&format!("the ek {ek} is no longer listed"))
        }
    }
}
