//! The human's vault, as the broker tells of it, and the opening of it with the share of their keyring.
//!
//! It must never ask the keyring for anything while the vault is not waiting for it.

use std::path::Path;

use holdfast_protocol::management::{Request, Response};
use holdfast_protocol::vault::{VaultListing, VaultState};
use holdfast_protocol::words::with_causes;

use crate::client::{ask, unexpected};
use crate::keyring::{self, KeyringError};
use crate::outcome::Problem;

/// The vault as it stands.
pub fn listing(socket: &Path) -> Result<VaultListing, Problem> {
    taken(ask(socket, &Request::Secrets)?)
}

/// The vault, opened if it waited for the share of the keyring.
pub fn opened(socket: &Path) -> Result<VaultListing, Problem> {
    let listing = listing(socket)?;
    match listing.state {
        VaultState::None | VaultState::Open { .. } => Ok(listing),
        VaultState::Locked => {
            let share = keyring::share().map_err(|error| no_share(&error))?;
            taken(ask(socket, &Request::OpenVault { share })?)
        }
    }
}

/// The vault of a human who has one, opened.
pub fn made_and_opened(socket: &Path) -> Result<VaultListing, Problem> {
    let listing = opened(socket)?;
    match listing.state {
        VaultState::None => Err(Problem::usage(
            "you have no vault yet",
            "`holdfast secrets init` makes one",
        )),
        VaultState::Locked | VaultState::Open { .. } => Ok(listing),
    }
}

/// The vault, opened if that is possible; if not, the human is told, and it is shown as it stands.
pub fn opened_if_possible(socket: &Path) -> Result<VaultListing, Problem> {
    let before = listing(socket)?;
    if before.state != VaultState::Locked {
        return Ok(before);
    }
    opened(socket).or_else(|problem| {
        eprintln!("{problem}");
        Ok(before)
    })
}

/// Opens the vault before a session starts, if it waits; a session without its secrets is better than none.
pub fn open_for_a_session(socket: &Path) {
    // A broker that does not answer is told of by what follows.
    if let Ok(VaultListing {
        state: VaultState::Locked,
        ..
    }) = opened_if_possible(socket)
    {
        eprintln!("holdfast: the session starts without your secrets");
    }
}

/// A listing that the broker answered with.
pub fn taken(response: Response) -> Result<VaultListing, Problem> {
    let Response::Vault(listing) = response else {
        return Err(unexpected());
    };
    Ok(listing)
}

/// The keyring cannot open a vault that there is.
fn no_share(error: &KeyringError) -> Problem {
    let advice = match error {
        KeyringError::None => {
            "log in where your keyring runs (gnome-keyring, KWallet, KeePassXC), then `holdfast secrets unlock`"
        }
        KeyringError::Locked | KeyringError::Silence => {
            "unlock your keyring, then `holdfast secrets unlock`"
        }
        KeyringError::NoShare | KeyringError::NotAShare => {
            "look in your keyring for the item `Holdfast: share of the vault`; the vault opens with it alone"
        }
        KeyringError::NoCollection | KeyringError::Failed(_) => {
            "see whether your keyring's own program works, then `holdfast secrets unlock`"
        }
    };
    Problem::failed(
        format!("the vault stays locked: {}", with_causes(error)),
        advice,
    )
}
