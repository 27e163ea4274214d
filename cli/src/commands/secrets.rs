//! `holdfast secrets`: what the vault keeps for this human, and how it gets there.
//!
//! A value goes to the broker and nowhere else: it must never be printed, be an argument, or be kept here.

use std::path::Path;

use holdfast_protocol::management::{Request, Response};
use holdfast_protocol::secret::Secret;
use holdfast_protocol::vault::{
    AnthropicCredential, NewVault, SecretName, SecretUse, VaultListing, VaultState,
};
use holdfast_protocol::words::with_causes;

use super::{import, print_line, show};
use crate::args::{AddSecret, Args, Secrets};
use crate::client::{ask, unexpected};
use crate::keyring::{self, KeyringError};
use crate::outcome::Problem;
use crate::prompt::{Sought, from_file, piped_or_typed};
use crate::render::secrets as render;
use crate::vault;

/// What headless means, wherever it is offered.
const HEADLESS: &str = "or `holdfast secrets init --headless`: this TPM alone opens the vault, also when you are not \
                        logged in; that is recorded";

/// Runs one of the secrets' commands.
pub fn run(args: &Args, command: Option<&Secrets>) -> Result<(), Problem> {
    match command {
        None | Some(Secrets::List) => listed(args, &vault::opened_if_possible(&args.socket)?),
        Some(Secrets::Init { headless }) => init(args, *headless),
        Some(Secrets::Add(secret)) => add(args, secret),
        Some(Secrets::Import(wish)) => import::run(args, wish),
        Some(Secrets::Remove { name }) => remove(args, name),
        Some(Secrets::Recover { code_file }) => recover(args, code_file.as_deref()),
        Some(Secrets::Unlock) => listed(args, &vault::made_and_opened(&args.socket)?),
    }
}

fn listed(args: &Args, listing: &VaultListing) -> Result<(), Problem> {
    show(args, listing, render::listing(listing).trim_end())
}

fn init(args: &Args, headless: bool) -> Result<(), Problem> {
    if vault::listing(&args.socket)?.state != VaultState::None {
        return Err(Problem::usage(
            "you have a vault already",
            "`holdfast secrets` lists what is in it",
        ));
    }
    let (new, opens) = if headless {
        (NewVault::Headless, "this machine's TPM alone")
    } else {
        let share = keyring::make_share().map_err(|error| no_keyring(&error))?;
        (
            NewVault::Keyring { share },
            "this machine's TPM together with your keyring",
        )
    };
    let Response::VaultMade { recovery } = ask(&args.socket, &Request::MakeVault(new))? else {
        return Err(unexpected());
    };
    let code = recovery.expose();
    if args.json {
        return print_line(&format!("{{\"recovery\": \"{}\"}}", *code));
    }
    print_line(&format!(
        "made: {opens} opens your vault\n\
         recovery    {}\n\
         Write it down and keep it apart: it opens the vault's root after this machine's firmware or\n\
         boot chain has changed in a way that nobody approved, and it is not shown again.",
        *code
    ))
}

fn no_keyring(error: &KeyringError) -> Problem {
    let first = match error {
        KeyringError::None | KeyringError::Silence | KeyringError::Failed(_) => {
            "start a keyring (gnome-keyring, KWallet, KeePassXC) in your session"
        }
        KeyringError::NoCollection => "make a default keyring with your keyring's own program",
        KeyringError::Locked => "unlock your keyring",
        KeyringError::NoShare | KeyringError::NotAShare => {
            "look in your keyring for the item `Holdfast: share of the vault`"
        }
    };
    Problem::failed(
        format!("no vault was made: {}", with_causes(error)),
        format!("{first}, {HEADLESS}"),
    )
}

fn recover(args: &Args, code_file: Option<&Path>) -> Result<(), Problem> {
    if vault::listing(&args.socket)?.state == VaultState::None {
        return Err(Problem::usage(
            "you have no vault on this machine",
            "`holdfast secrets init` makes one; another machine's opens only there",
        ));
    }
    let code = match code_file {
        Some(file) => from_file(Sought::Code, file)?,
        None => piped_or_typed(Sought::Code, "The vault's recovery code: ")?,
    };
    let listing = vault::taken(ask(&args.socket, &Request::RecoverVault { code })?)?;
    if args.json {
        return listed(args, &listing);
    }
    print_line("recovered: the vault opens under this machine's present software, too")
}

fn add(args: &Args, secret: &AddSecret) -> Result<(), Problem> {
    // Before a human types a secret, there has to be a place for it.
    let before = vault::made_and_opened(&args.socket)?;
    let purpose = purpose(secret);
    let value = match &secret.value_file {
        Some(file) => from_file(Sought::Value, file)?,
        None => piped_or_typed(
            Sought::Value,
            &format!("The secret for `{}`: ", secret.name),
        )?,
    };
    fit(&value)?;
    let replaces = before.secrets.iter().any(|kept| kept.name == secret.name);
    let listing = keep(args, secret.name.clone(), purpose, value)?;
    if args.json {
        return listed(args, &listing);
    }
    let done = if replaces { "replaced" } else { "kept" };
    print_line(&format!("{done}: `{}` is in the vault", secret.name))
}

/// Puts one secret into the vault.
pub(super) fn keep(
    args: &Args,
    name: SecretName,
    purpose: SecretUse,
    value: Secret,
) -> Result<VaultListing, Problem> {
    let request = Request::KeepSecret {
        name,
        purpose,
        value,
    };
    vault::taken(ask(&args.socket, &request)?)
}

fn remove(args: &Args, name: &SecretName) -> Result<(), Problem> {
    let before = vault::made_and_opened(&args.socket)?;
    if !before.secrets.iter().any(|kept| kept.name == *name) {
        return Err(Problem::usage(
            format!("the vault has no secret `{name}`"),
            "`holdfast secrets` lists those that it has",
        ));
    }
    let request = Request::RemoveSecret { name: name.clone() };
    let listing = vault::taken(ask(&args.socket, &request)?)?;
    if args.json {
        return listed(args, &listing);
    }
    print_line(&format!(
        "removed: `{name}` is in the vault no longer, and no session has the use of it"
    ))
}

/// What the options say that the secret is for.
fn purpose(secret: &AddSecret) -> SecretUse {
    if let Some(remote) = &secret.kind.git {
        return SecretUse::Git {
            remote: remote.clone(),
            username: secret.username.clone(),
        };
    }
    let credential = if secret.kind.anthropic_token {
        AnthropicCredential::SubscriptionToken
    } else {
        AnthropicCredential::ApiKey
    };
    SecretUse::Anthropic {
        base: secret.base_url.clone(),
        credential,
    }
}

/// A value that could not travel in a header is a mistake of whoever gives it.
fn fit(value: &Secret) -> Result<(), Problem> {
    let text = value.expose();
    if text.is_empty() {
        return Err(Problem::usage(
            "the secret is empty",
            "give the secret itself",
        ));
    }
    if text.chars().any(char::is_control) || text.trim() != text.as_str() {
        return Err(Problem::usage(
            "the secret has a control character in it, or a space at an end",
            "give the secret itself, on one line",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use clap::Parser;
    use zeroize::Zeroizing;

    use super::*;
    use crate::args::Command;

    fn secret(arguments: &[&str]) -> Result<AddSecret, clap::Error> {
        let words = ["holdfast", "secrets", "add", "x"];
        let args = Args::try_parse_from(words.iter().chain(arguments))?;
        let Command::Secrets {
            command: Some(Secrets::Add(secret)),
        } = args.command
        else {
            return Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand));
        };
        Ok(*secret)
    }

    #[test]
    fn the_options_say_what_it_is_for() {
        let said = |arguments: &[&str]| {
            serde_json::to_string(&purpose(&secret(arguments).unwrap())).unwrap()
        };
        insta::assert_snapshot!(said(&["--anthropic-key"]), @r#"{"for":"anthropic","base":"https://api.anthropic.com","credential":"api-key"}"#);
        insta::assert_snapshot!(said(&["--anthropic-token", "--base-url", "http://127.0.0.1:9000"]), @r#"{"for":"anthropic","base":"http://127.0.0.1:9000","credential":"subscription-token"}"#);
        insta::assert_snapshot!(said(&["--git", "https://github.com/org"]), @r#"{"for":"git","remote":"https://github.com/org","username":"x-access-token"}"#);
        insta::assert_snapshot!(said(&["--git", "https://git.example", "--username", "dev"]), @r#"{"for":"git","remote":"https://git.example","username":"dev"}"#);
    }

    #[test]
    fn a_secret_is_for_one_thing() {
        for bad in [
            &[][..],
            &["--anthropic-key", "--anthropic-token"],
            &["--anthropic-key", "--git", "https://git.example"],
            &["--git", "https://user:password@git.example"],
            &[
                "--git",
                "https://git.example",
                "--base-url",
                "https://x.example",
            ],
            &["--anthropic-key", "--username", "dev"],
            &["--anthropic-key", "sk-ant-as-an-argument"],
        ] {
            assert!(secret(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_value_is_what_it_is_and_nothing_around_it() {
        let value = |text: &str| Secret::new(Zeroizing::new(text.to_owned()));
        for good in ["sk-ant-api03-x_Y", "a pass phrase", "pässword"] {
            assert!(fit(&value(good)).is_ok(), "{good}");
        }
        for bad in ["", " x", "x ", "tab\there", "line\nbreak", "\u{7f}"] {
            assert!(fit(&value(bad)).is_err(), "{bad:?}");
        }
    }
}
