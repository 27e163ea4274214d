//! Which of the human's secrets a session is given the use of.
//!
//! No more than its agent and its project need: the model's key for an agent that speaks to that
//! model, and a remote's token where the project has that remote. A session without its secrets is
//! still a session, so what stands in the way is told to the human and not hidden.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_authorize_calls::world::Remote;
use holdfast_issue_credentials::grant::Granted;
use holdfast_issue_credentials::vault::{VaultError, Vaults};
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::id::{AgentKind, SessionId};
use holdfast_protocol::vault::{SecretName, SecretUse, VaultListing, VaultState};
use holdfast_protocol::words::with_causes;

/// What a session was given. Dropped, it is taken back.
pub struct Given {
    vaults: Vaults,
    session: SessionId,
    /// The secrets.
    pub granted: Vec<Granted>,
    /// What the human should know.
    pub notes: Vec<String>,
}

impl Drop for Given {
    fn drop(&mut self) {
        self.vaults.end(self.session);
    }
}

/// Gives `session` what a session of `kind` in a project with these remotes needs.
pub async fn give(
    vaults: &Vaults,
    session: SessionId,
    human: HumanUid,
    kind: &AgentKind,
    remotes: &BTreeMap<String, Remote>,
) -> Given {
    let mut given = Given {
        vaults: vaults.clone(),
        session,
        granted: vec![],
        notes: vec![],
    };
    let listing = match vaults.try_listing(human) {
        Ok(listing) => listing,
        Err(error) => {
            given.notes.push(unusable(&error));
            return given;
        }
    };
    let names = chosen(&listing, kind, remotes);
    if names.is_empty() {
        return given;
    }
    if listing.state == VaultState::Locked {
        given.notes.push(LOCKED.to_owned());
        return given;
    }
    match vaults.grant(session, human, &names).await {
        Ok(granted) => given.granted = granted,
        Err(error) => given.notes.push(format!(
            "the secrets of this session cannot be had: {}",
            with_causes(&error)
        )),
    }
    given
}

/// What [`give`] would give, and what would stand in the way; nothing is given.
pub fn needed(
    vaults: &Vaults,
    human: HumanUid,
    kind: &AgentKind,
    remotes: &BTreeMap<String, Remote>,
) -> (Vec<SecretName>, Vec<String>) {
    match vaults.try_listing(human) {
        Ok(listing) => {
            let names = chosen(&listing, kind, remotes);
            let locked = listing.state == VaultState::Locked && !names.is_empty();
            (
                names,
                locked.then(|| LOCKED.to_owned()).into_iter().collect(),
            )
        }
        Err(error) => (Vec::new(), vec![unusable(&error)]),
    }
}

/// What the human is told where a vault is locked.
const LOCKED: &str =
    "your vault is locked, so this session has no secrets; `holdfast secrets unlock` opens it";

fn unusable(error: &VaultError) -> String {
    format!(
        "your vault cannot be used, so this session has no secrets: {}",
        with_causes(error)
    )
}

/// The names of the secrets that are needed.
fn chosen(
    listing: &VaultListing,
    kind: &AgentKind,
    remotes: &BTreeMap<String, Remote>,
) -> Vec<SecretName> {
    let urls: Vec<_> = remotes.values().filter_map(Remote::http).collect();
    let mut model: Option<&SecretName> = None;
    let mut names = Vec::new();
    for secret in &listing.secrets {
        match &secret.purpose {
            // An agent has one key: the one named after the service, else the first.
            SecretUse::Anthropic { .. } if kind.as_str() == "claude" => {
                if model.is_none() || secret.name.as_str() == "anthropic" {
                    model = Some(&secret.name);
                }
            }
            SecretUse::Git { remote, .. } if urls.iter().any(|url| remote.covers(url)) => {
                names.push(secret.name.clone());
            }
            SecretUse::Anthropic { .. } | SecretUse::Git { .. } => {}
        }
    }
    names.extend(model.cloned());
    names
}

/// The hosts that those secrets are for, and those of the project's remotes.
pub fn hosts(granted: &[Granted], remotes: &BTreeMap<String, Remote>) -> BTreeSet<String> {
    let secrets = granted.iter().map(|granted| match &granted.purpose {
        SecretUse::Anthropic { base, .. } => base.host().to_owned(),
        SecretUse::Git { remote, .. } => remote.host().to_owned(),
    });
    let remotes = remotes.values().filter_map(|remote| remote.host.clone());
    secrets.chain(remotes).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use holdfast_protocol::Timestamp;
    use holdfast_protocol::vault::{AnthropicCredential, SecretSummary, Sharing};

    use super::*;

    fn secret(name: &str, purpose: SecretUse) -> SecretSummary {
        SecretSummary {
            name: name.parse().unwrap(),
            purpose,
            added: Timestamp::from_secs(1),
        }
    }

    fn model(name: &str) -> SecretSummary {
        let base = "https://api.anthropic.com".parse().unwrap();
        let credential = AnthropicCredential::ApiKey;
        secret(name, SecretUse::Anthropic { base, credential })
    }

    fn git(name: &str, remote: &str) -> SecretSummary {
        let (remote, username) = (remote.parse().unwrap(), "x".parse().unwrap());
        secret(name, SecretUse::Git { remote, username })
    }

    #[test]
    fn a_session_gets_what_its_agent_and_project_need_and_no_more() {
        let listing = VaultListing {
            state: VaultState::Open {
                sharing: Sharing::Headless,
            },
            secrets: vec![
                model("anthropic"),
                git("here", "https://git.example/org"),
                model("older"),
                git("there", "https://git.example/other"),
            ],
        };
        let origin = Remote::at("https://git.example/org/app.git");
        let remotes = BTreeMap::from([("origin".to_owned(), origin)]);
        let names = |kind: &str, remotes| -> Vec<String> {
            let names = chosen(&listing, &kind.parse().unwrap(), remotes);
            names.iter().map(ToString::to_string).collect()
        };
        assert_eq!(names("claude", &remotes), ["here", "anthropic"]);
        assert_eq!(names("shell", &remotes), ["here"]);
        assert_eq!(names("shell", &BTreeMap::new()), [""; 0]);
    }
}
