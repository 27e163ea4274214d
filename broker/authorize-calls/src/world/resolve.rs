//! A push by its full name: the remote's URL, the whole ref, the secret that it will use.
//!
//! The hook sees `git push origin main`; where the push leaves the host, its URL and ref are seen. A
//! human who approves the one has to have seen the other, and only what is named alike is covered.
//! It must never make a push out to be smaller: what cannot be resolved stays as it was written.

use holdfast_protocol::call::Effect;
use holdfast_protocol::url::HttpUrl;
use holdfast_protocol::vault::SecretUse;

use super::World;
use super::repository::Remote;

impl World {
    /// `effects` with every push named in full, and with the secrets that those pushes use.
    pub fn resolve(&self, effects: Vec<Effect>) -> Vec<Effect> {
        let mut secrets = Vec::new();
        let mut resolved: Vec<Effect> = effects
            .into_iter()
            .map(|effect| {
                let Effect::Pushes {
                    remote,
                    refspec,
                    history,
                } = effect
                else {
                    return effect;
                };
                let at = self.pushed_to(remote.as_deref());
                let secret = at.as_ref().and_then(Remote::http);
                secrets.extend(secret.and_then(|url| self.secret_for(&url)));
                Effect::Pushes {
                    remote: at.map(|remote| remote.url).or(remote),
                    refspec: self.full_ref(refspec),
                    history,
                }
            })
            .collect();
        for name in secrets {
            let effect = Effect::UsesSecret { name };
            if !resolved.contains(&effect) {
                resolved.push(effect);
            }
        }
        resolved
    }

    /// The secret that was given for what lies at `url`.
    pub fn secret_for(&self, url: &HttpUrl) -> Option<String> {
        let given = self.secrets.iter().find(|(_, purpose)| match purpose {
            SecretUse::Git { remote, .. } => remote.covers(url),
            SecretUse::Anthropic { .. } => false,
        });
        given.map(|(name, _)| name.clone())
    }

    fn pushed_to(&self, remote: Option<&str>) -> Option<Remote> {
        let written = remote.unwrap_or("origin");
        match self.remotes.get(written) {
            Some(remote) => Some(remote.clone()),
            None if written.contains("://") => Some(Remote::at(written)),
            None => None,
        }
    }

    fn full_ref(&self, refspec: Option<String>) -> Option<String> {
        let branch = refspec.or_else(|| self.branches.current.clone())?;
        // What the shell's reading could not name keeps its words.
        let named = !branch.starts_with("refs/") && !branch.contains([' ', '*', ':']);
        Some(if named {
            format!("refs/heads/{branch}")
        } else {
            branch
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use holdfast_protocol::call::History;

    use super::*;
    use crate::world::Branches;

    fn world() -> World {
        World {
            remotes: BTreeMap::from([
                (
                    "origin".to_owned(),
                    Remote::at("https://git.example/org/app.git"),
                ),
                ("backup".to_owned(), Remote::at("git@b.example:app.git")),
            ]),
            branches: Branches {
                current: Some("topic".to_owned()),
                ..Branches::default()
            },
            secrets: BTreeMap::from([(
                "git".to_owned(),
                SecretUse::Git {
                    remote: "https://git.example/org".parse().unwrap(),
                    username: "me".parse().unwrap(),
                },
            )]),
            ..World::default()
        }
    }

    fn push(remote: Option<&str>, refspec: Option<&str>) -> Effect {
        Effect::Pushes {
            remote: remote.map(str::to_owned),
            refspec: refspec.map(str::to_owned),
            history: History::Kept,
        }
    }

    #[test]
    fn a_push_gets_its_url_its_ref_and_its_secret() {
        let app = "https://git.example/org/app.git";
        let secret = Effect::UsesSecret {
            name: "git".to_owned(),
        };
        for (written, resolved) in [
            (push(None, None), push(Some(app), Some("refs/heads/topic"))),
            (
                push(Some("origin"), Some("main")),
                push(Some(app), Some("refs/heads/main")),
            ),
            (
                push(Some(app), Some("refs/tags/v1")),
                push(Some(app), Some("refs/tags/v1")),
            ),
        ] {
            assert_eq!(world().resolve(vec![written]), [resolved, secret.clone()]);
        }
    }

    #[test]
    fn what_cannot_be_resolved_stays_as_it_was_written() {
        for (written, resolved) in [
            (
                push(Some("nowhere"), Some("what only the shell will know")),
                push(Some("nowhere"), Some("what only the shell will know")),
            ),
            (
                push(Some("backup"), Some("refs/heads/*")),
                push(Some("git@b.example:app.git"), Some("refs/heads/*")),
            ),
        ] {
            assert_eq!(world().resolve(vec![written]), [resolved]);
        }
    }
}
