//! Claude Code's credentials: environment variables, and the file of its own login.
//!
//! Of the file, the refresh token is left alone: whoever refreshes with it would log the other out.

use std::path::PathBuf;

use holdfast_protocol::Timestamp;
use holdfast_protocol::secret::Secret;
use holdfast_protocol::url::HttpUrl;
use holdfast_protocol::vault::{AnthropicCredential, SecretUse};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Finds, Found, Place, Surroundings, named, text};

/// Where the API is, unless `ANTHROPIC_BASE_URL` says otherwise.
const API: &str = "https://api.anthropic.com";

/// The longest value that is a credential.
const MAX_VALUE: usize = holdfast_protocol::vault::MAX_VALUE;

/// `~/.claude/.credentials.json`, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    claude_ai_oauth: Option<Login>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    access_token: Secret,
    /// Milliseconds since the Unix epoch.
    expires_at: Option<Timestamp>,
}

/// Looks in the environment and in the file.
pub(super) fn look(around: &Surroundings<'_>, finds: &mut Finds) {
    // A key in the environment belongs to the API that the environment names.
    let address = (around.variable)("ANTHROPIC_BASE_URL").filter(|text| !text.is_empty());
    for (variable, name, credential) in [
        (
            "ANTHROPIC_API_KEY",
            "anthropic-key",
            AnthropicCredential::ApiKey,
        ),
        (
            "CLAUDE_CODE_OAUTH_TOKEN",
            "anthropic-token",
            AnthropicCredential::SubscriptionToken,
        ),
    ] {
        let value = (around.variable)(variable).map(Zeroizing::new);
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            continue;
        };
        let place = Place::Variable(variable);
        match base(address.as_deref()) {
            Some(base) => take(
                finds,
                place,
                name,
                base,
                credential,
                Secret::new(value),
                None,
            ),
            None => finds.skip(&place, "ANTHROPIC_BASE_URL is not an address of an API"),
        }
    }
    look_in_file(around, finds);
}

fn look_in_file(around: &Surroundings<'_>, finds: &mut Finds) {
    let folder = (around.variable)("CLAUDE_CONFIG_DIR")
        .filter(|text| !text.is_empty())
        .map_or_else(|| around.home.join(".claude"), PathBuf::from);
    let path = folder.join(".credentials.json");
    let Some(text) = text(&path, finds) else {
        return;
    };
    let place = Place::File(path);
    let login = match serde_json::from_str::<Credentials>(&text) {
        Ok(credentials) => credentials.claude_ai_oauth,
        // The parser's own words can quote what it read.
        Err(_) => return finds.skip(&place, "it is not what Claude Code writes"),
    };
    let Some(login) = login else {
        return finds.skip(&place, "it holds no login of a Claude subscription");
    };
    if login.expires_at.is_some_and(|end| end <= around.now) {
        return finds.skip(
            &place,
            "its token has expired: `claude setup-token` makes one that lasts",
        );
    }
    // A login of this kind is never one with a gateway.
    let Some(base) = base(None) else { return };
    take(
        finds,
        place,
        "anthropic-login",
        base,
        AnthropicCredential::SubscriptionToken,
        login.access_token,
        login.expires_at,
    );
}

fn base(address: Option<&str>) -> Option<HttpUrl> {
    address.unwrap_or(API).parse().ok()
}

fn take(
    finds: &mut Finds,
    from: Place,
    name: &str,
    base: HttpUrl,
    credential: AnthropicCredential,
    value: Secret,
    expires: Option<Timestamp>,
) {
    let text = value.expose();
    let plain = !text.is_empty()
        && text.len() <= MAX_VALUE
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    match named(name).filter(|_| plain) {
        Some(name) => finds.found.push(Found {
            name,
            purpose: SecretUse::Anthropic { base, credential },
            from,
            expires,
            value,
        }),
        None => finds.skip(&from, "what it holds cannot be a credential"),
    }
}
