//! `token`: one-time tokens, with which hosts join.
//!
//! The token itself is printed once; of it the registry keeps only a hash.

use std::path::Path;
use std::time::Duration;

use clap::Subcommand;
use holdfast_proof::hash::sha256;
use holdfast_protocol::token::{JoinToken, TokenSecret};
use serde_json::json;

use super::render::{self, Form};
use super::{Problem, state};
use crate::config::Ttl;
use crate::random;
use crate::registry::{EkFingerprint, HostName, TokenHash, TokenRecord};
use crate::rfc3339;
use crate::serve::now;
use crate::store::Store;

/// The longest that a token may wait for its host.
const MAX_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// One-time tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token and print it: the only time that it can be seen.
    Create {
        /// How long it may wait for its host, at most seven days.
        #[arg(long, value_name = "DURATION", default_value = "15m")]
        ttl: Ttl,
        /// The only host that may use it, by the name that it calls itself.
        #[arg(long, value_name = "NAME")]
        host_name: Option<HostName>,
        /// The only endorsement key that may use it: its hash, as `host list` and `ek-roots verify` print it.
        #[arg(long, value_name = "HASH")]
        for_ek: Option<EkFingerprint>,
    },
}

pub(super) async fn run(command: &Token, config: &Path, form: Form) -> Result<(), Problem> {
    let Token::Create {
        ttl,
        host_name,
        for_ek,
    } = command;
    if ttl.duration() > MAX_TTL {
        return Err(Problem::usage(
            "a token may wait for seven days at most",
            "make it when the host is about to be enrolled",
        ));
    }
    let config = state::configuration(config)?;
    let authority = state::authority(&config)?;
    let registry = state::registry(&config).await?;
    let bits = random::bytes()
        .map_err(|error| Problem::io("no token could be made", &error, "try again"))?;
    let token = JoinToken {
        trust_domain: config.trust_domain,
        authority: authority.fingerprint(),
        secret: TokenSecret::from_random(bits),
    };
    let created_at = now();
    let record = TokenRecord {
        hash: TokenHash(sha256(token.secret.expose())),
        host_name: host_name.clone(),
        ek: *for_ek,
        created_at,
        expires_at: created_at + ttl.duration(),
    };
    registry.add_token(&record).await?;
    registry.close().await;
    let revealed = token.reveal();
    match form {
        Form::Json => render::json(&json!({
            "token": revealed.as_str(),
            "host_name": record.host_name,
            "ek_fingerprint": record.ek,
            "expires_at": rfc3339(record.expires_at),
        })),
        // Nothing but the token, so that it can be piped; what it is good for was asked for.
        Form::Text => render::text(&revealed),
    }
}
