//! Secrets in words: names, uses and places. A value must never come near it.

use std::fmt::Write;

use holdfast_protocol::vault::{
    AnthropicCredential, SecretSummary, SecretUse, Sharing, VaultListing, VaultState,
};

use super::{printable, time};
use crate::import::{Finds, Place};

/// The vault and what is in it, a line each.
pub fn listing(listing: &VaultListing) -> String {
    let mut text = vault(listing);
    if listing.state == VaultState::None {
        return text;
    }
    text.push('\n');
    if listing.secrets.is_empty() {
        text.push_str("no secrets: `holdfast secrets add` or `import` puts some in\n");
        return text;
    }
    let width = width(listing.secrets.iter().map(|secret| secret.name.as_str()));
    let _ = writeln!(text, "{:<width$}{:<22}FOR", "NAME", "ADDED");
    for secret in &listing.secrets {
        let _ = writeln!(
            text,
            "{:<width$}{:<22}{}",
            secret.name.as_str(),
            time(secret.added),
            purpose(&secret.purpose)
        );
    }
    text
}

/// The vault in a line.
pub fn vault(listing: &VaultListing) -> String {
    let state = match listing.state {
        VaultState::None => "none: `holdfast secrets init` makes one",
        VaultState::Locked => "locked: it waits for the share in your keyring",
        VaultState::Open {
            sharing: Sharing::Keyring,
        } => "open: by this TPM together with your keyring",
        VaultState::Open {
            sharing: Sharing::Headless,
        } => "open: HEADLESS, by this TPM alone",
    };
    format!("vault       {state}")
}

/// What was found, and what of it would replace one of those that the vault has.
pub fn finds(finds: &Finds, kept: &[SecretSummary]) -> String {
    let mut text = String::new();
    if finds.found.is_empty() {
        text.push_str("no secrets were found\n");
    }
    let width = width(finds.found.iter().map(|found| found.name.as_str()));
    for found in &finds.found {
        let replaces = kept.iter().any(|kept| kept.name == found.name);
        let _ = writeln!(
            text,
            "{:<width$}{}{}\n{:width$}from {}",
            found.name.as_str(),
            purpose(&found.purpose),
            if replaces {
                "; REPLACES yours of this name"
            } else {
                ""
            },
            "",
            place(&found.from),
        );
        if let Some(end) = found.expires {
            let _ = writeln!(text, "{:width$}ends by itself at {}", "", time(end));
        }
    }
    for skipped in &finds.skipped {
        let _ = writeln!(
            text,
            "not taken: {}: {}",
            place(&skipped.from),
            printable(&skipped.why)
        );
    }
    text
}

/// After an import: what is left to do.
pub fn imported(finds: &Finds) -> String {
    let mut text = format!(
        "in the vault: {}\n\
         Each is still where it was, too. Once sessions work with the vault, remove it there:\n",
        finds
            .found
            .iter()
            .map(|found| found.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    );
    for from in finds.places() {
        let advice = match from {
            Place::Variable(name) => {
                format!("unset {name}, and take it out of your shell's startup files")
            }
            Place::File(path) if path.ends_with(".credentials.json") => {
                format!(
                    "`claude /logout` (outside a session) removes {}",
                    file(path)
                )
            }
            Place::File(path) => format!(
                "delete its lines in {}, and `git config --global --unset credential.helper` if it is `store`",
                file(path)
            ),
        };
        let _ = writeln!(text, "- {advice}");
    }
    text
}

/// What a secret is for.
fn purpose(purpose: &SecretUse) -> String {
    match purpose {
        SecretUse::Anthropic { base, credential } => {
            let credential = match credential {
                AnthropicCredential::ApiKey => "API key",
                AnthropicCredential::SubscriptionToken => "subscription token",
            };
            format!("Anthropic {credential} at {base}")
        }
        SecretUse::Git { remote, username } => {
            format!("git at {remote} as {}", printable(username.as_str()))
        }
    }
}

fn place(place: &Place) -> String {
    match place {
        Place::Variable(name) => format!("the variable {name}"),
        Place::File(path) => file(path),
    }
}

fn file(path: &std::path::Path) -> String {
    printable(&path.display().to_string())
}

/// Room for the longest of these and a gap.
fn width<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names.map(str::len).max().unwrap_or(0).max("NAME".len()) + 2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use holdfast_protocol::Timestamp;

    use super::*;

    fn secret(name: &str, purpose: SecretUse) -> SecretSummary {
        SecretSummary {
            name: name.parse().unwrap(),
            purpose,
            added: Timestamp::from_secs(1_790_000_000),
        }
    }

    #[test]
    fn a_vault_with_secrets() {
        insta::assert_snapshot!(listing(&VaultListing {
            state: VaultState::Open {
                sharing: Sharing::Keyring,
            },
            secrets: vec![
                secret(
                    "anthropic",
                    SecretUse::Anthropic {
                        base: "https://api.anthropic.com".parse().unwrap(),
                        credential: AnthropicCredential::SubscriptionToken,
                    },
                ),
                secret(
                    "github",
                    SecretUse::Git {
                        remote: "https://github.com/org".parse().unwrap(),
                        username: "x-access-token".parse().unwrap(),
                    },
                ),
            ],
        }));
    }

    #[test]
    fn vaults_without_secrets() {
        let empty = |state| {
            listing(&VaultListing {
                state,
                secrets: Vec::new(),
            })
        };
        let headless = VaultState::Open {
            sharing: Sharing::Headless,
        };
        insta::assert_snapshot!(
            [VaultState::None, VaultState::Locked, headless]
                .map(empty)
                .join("\n\n")
        );
    }
}
