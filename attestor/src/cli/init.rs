//! `init`: a state folder with its keys, and a configuration in it.
//!
//! For one machine or a try; packages install the configuration under /etc. It must never change a
//! configuration that is there.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use holdfast_protocol::id::TrustDomain;
use serde::Serialize;

use super::render::{self, Form};
use super::{Problem, state};
use crate::config::{Config, REFERENCE};

/// What to make.
#[derive(Debug, Args)]
pub struct Init {
    /// The folder; it is made where it is not there.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The SPIFFE trust domain that the attestor will speak for.
    #[arg(long, value_name = "NAME")]
    trust_domain: TrustDomain,
    /// Where it will listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// It belongs to the owner of the hosts that it attests, which then show themselves as self-attested.
    #[arg(long)]
    personal: bool,
    /// Let hosts with a simulated TPM join.
    #[arg(long)]
    accept_simulated: bool,
    /// Encrypt its private keys under the passphrase in this file, which is open to its owner alone.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Made {
    config: PathBuf,
    trust_domain: TrustDomain,
    authority: String,
    audit_mirror: String,
}

pub(super) fn run(init: &Init, form: Form) -> Result<(), Problem> {
    let folder = std::path::absolute(&init.state).map_err(|error| {
        Problem::io(
            "the state folder has no absolute path",
            &error,
            "name another",
        )
    })?;
    state::folder(&folder)?;
    let path = folder.join("attestor.toml");
    let text = configuration(init, &folder)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|error| {
            Problem::io(
                &format!("`{}` could not be made", path.display()),
                &error,
                "remove it to start over, or name another folder",
            )
        })?;
    let config = Config::load(&path)?;
    let authority = state::authority(&config)?;
    let cosigner = state::cosigner(&config)?;
    let made = Made {
        config: path,
        trust_domain: config.trust_domain,
        authority: authority.fingerprint().to_string(),
        audit_mirror: cosigner.vkey(),
    };
    match form {
        Form::Json => render::json(&made),
        Form::Text => render::text(&format!(
            "made `{config}` and an authority for {td}\n  next: holdfast-attestor serve --config {config}",
            config = made.config.display(),
            td = made.trust_domain,
        )),
    }
}

/// The reference configuration with this folder's values in it, comments and all.
fn configuration(init: &Init, folder: &std::path::Path) -> Result<String, Problem> {
    let utf8 = |path: &std::path::Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| {
            Problem::usage(
                format!("the path `{}` is not UTF-8", path.display()),
                "name another",
            )
        })
    };
    let state = utf8(folder)?;
    let mut values = vec![
        ("trust-domain = ", quoted(init.trust_domain.as_str())?),
        ("state = ", quoted(&state)?),
        ("listen = ", quoted(&init.listen.to_string())?),
        (
            "run-by = ",
            quoted(if init.personal { "owner" } else { "team" })?,
        ),
        ("accept-simulated = ", init.accept_simulated.to_string()),
    ];
    if let Some(file) = &init.passphrase_file {
        let file = std::path::absolute(file).map_err(|error| {
            Problem::io("the passphrase's file has no absolute path", &error, "")
        })?;
        values.push(("# passphrase-file = ", quoted(&utf8(&file)?)?));
    }
    let mut text = String::with_capacity(REFERENCE.len() + state.len());
    for line in REFERENCE.lines() {
        match values.iter().find(|(key, _)| line.starts_with(key)) {
            Some((key, value)) => {
                // What has no default stands there as a comment.
                text.push_str(key.trim_start_matches("# "));
                text.push_str(value);
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(text)
}

/// A TOML string: JSON's escapes are TOML's.
fn quoted(text: &str) -> Result<String, Problem> {
    serde_json::to_string(text)
        .map_err(|error| Problem::io("a value could not be written as TOML", &error, ""))
}
