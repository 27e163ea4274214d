//! `bundle`: what verifies the trust domain's SVIDs, and those of the others that it federates with.

use std::path::Path;

use clap::Subcommand;
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::TrustDomain;
use serde::Serialize;

use super::render::{self, Form};
use super::{Problem, state};
use crate::certify::pem;
use crate::config::Config;
use crate::federation::Peer;
use crate::rfc3339;

/// The trust domain's bundle, and those of the others that it federates with.
#[derive(Debug, Subcommand)]
pub enum Bundle {
    /// Print a bundle: the X.509 authorities as PEM, or with --json the whole SPIFFE bundle.
    Show {
        /// Another trust domain's, as it was fetched last; this one's own unless one is named.
        #[arg(value_name = "TRUST-DOMAIN")]
        trust_domain: Option<TrustDomain>,
    },
    /// List the bundles that hosts get: this trust domain's own, and those of the others that `[federation]` names.
    List,
}

/// How it stands with one bundle.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line {
    trust_domain: TrustDomain,
    own: bool,
    sequence: Option<u64>,
    x509_authorities: usize,
    jwt_keys: usize,
    fetched: Option<Timestamp>,
    next: Option<Timestamp>,
    error: Option<String>,
}

pub(super) fn run(command: &Bundle, config: &Path, form: Form) -> Result<(), Problem> {
    let config = state::configuration(config)?;
    match command {
        Bundle::List => list(&config, form),
        Bundle::Show { trust_domain } => match trust_domain {
            Some(other) if *other != config.trust_domain => foreign(&config, other, form),
            Some(_) | None => own(&config, form),
        },
    }
}

fn own(config: &Config, form: Form) -> Result<(), Problem> {
    let authority = state::authority(config)?;
    let hint = config.bundle_endpoint.refresh_hint.duration();
    match form {
        Form::Json => render::json(&authority.bundle(hint)),
        Form::Text => render::text(authority.bundle_pem().trim_end()),
    }
}

fn foreign(config: &Config, of: &TrustDomain, form: Form) -> Result<(), Problem> {
    let peers = state::federation(config)?.peers();
    let peer = peers.get(of).ok_or_else(|| {
        Problem::failed(
            format!("`{of}` is not federated with"),
            "`bundle list` shows those that are; a table `[federation.\"NAME\"]` in the configuration names another",
        )
    })?;
    let known = peer.known.as_ref().ok_or_else(|| {
        Problem::failed(
            format!("the bundle of `{of}` is not known yet"),
            "`bundle list` says why; a running attestor fetches it",
        )
    })?;
    match form {
        Form::Json => render::json(&known.document.to_json()),
        Form::Text => {
            let all = known.document.x509_authorities().iter();
            let text: String = all.map(|der| pem(der)).collect();
            render::text(text.trim_end())
        }
    }
}

fn list(config: &Config, form: Form) -> Result<(), Problem> {
    let authority = state::authority(config)?;
    let keys = authority.bundle(config.bundle_endpoint.refresh_hint.duration());
    let of_use = |wanted: &str| {
        let keys = keys.get("keys").and_then(|keys| keys.as_array());
        let keys = keys.into_iter().flatten();
        keys.filter(|key| key.get("use").and_then(|use_| use_.as_str()) == Some(wanted))
            .count()
    };
    let own = Line {
        trust_domain: config.trust_domain.clone(),
        own: true,
        sequence: Some(authority.sequence()),
        x509_authorities: of_use("x509-svid"),
        jwt_keys: of_use("jwt-svid"),
        fetched: None,
        next: None,
        error: None,
    };
    let peers = state::federation(config)?.peers();
    let others = peers.iter().map(|(name, peer)| line(name, peer));
    let lines: Vec<_> = std::iter::once(own).chain(others).collect();
    match form {
        Form::Json => render::json(&lines),
        Form::Text => render::text(&lines.iter().map(words).collect::<Vec<_>>().join("\n")),
    }
}

fn line(name: &TrustDomain, peer: &Peer) -> Line {
    let document = peer.known.as_ref().map(|known| &known.document);
    Line {
        trust_domain: name.clone(),
        own: false,
        sequence: document.and_then(|document| document.sequence()),
        x509_authorities: document.map_or(0, |document| document.x509_authorities().len()),
        jwt_keys: document.map_or(0, |document| document.jwt_keys()),
        fetched: peer.known.as_ref().map(|known| known.fetched),
        next: Some(peer.due),
        error: peer.error.clone(),
    }
}

fn words(line: &Line) -> String {
    let sequence = line.sequence.map_or("no sequence".to_owned(), |number| {
        format!("sequence {number}")
    });
    let mut text = format!(
        "{}  {sequence}, {} X.509 authorities, {} JWT keys",
        line.trust_domain, line.x509_authorities, line.jwt_keys
    );
    if line.own {
        text.push_str("\n     this trust domain's own");
        return text;
    }
    match line.fetched {
        Some(at) => text.push_str(&format!("\n     fetched {}", rfc3339(at))),
        None => text.push_str("\n     never fetched"),
    }
    if let Some(next) = line.next {
        text.push_str(&format!(", next {}", rfc3339(next)));
    }
    if let Some(error) = &line.error {
        text.push_str(&format!("\n     last error: {error}"));
    }
    text
}
