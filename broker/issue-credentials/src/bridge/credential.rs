//! What git's credential helper answers: the placeholder, for this session's bridge and nothing else.
//!
//! Pure. It must never answer for another host, nor keep what git wants stored.

mod attributes;

use std::num::NonZeroU16;

use holdfast_protocol::secret::Secret;
use holdfast_protocol::session::{
    GitCredentialOperation, GitCredentialRequest, GitCredentialResponse,
};
use holdfast_protocol::vault::{GitUser, SecretUse};
use zeroize::Zeroizing;

use crate::grant::Granted;
use attributes::Attributes;

/// A secret that git wants and that its session was granted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The secret.
    pub granted: &'a Granted,
    username: &'a GitUser,
}

impl Wanted<'_> {
    /// What git is told once it may use the secret.
    pub fn placeholder(&self) -> GitCredentialResponse {
        let placeholder = self.granted.placeholder.as_str();
        GitCredentialResponse::Placeholder {
            username: self.username.as_str().to_owned(),
            password: Secret::new(Zeroizing::new(placeholder.to_owned())),
        }
    }
}

/// What git wants in a session that was granted these secrets and whose bridge is on `port`.
///
/// # Errors
/// The answer, where git is to have no placeholder.
pub fn wanted<'a>(
    granted: &'a [Granted],
    port: NonZeroU16,
    request: &GitCredentialRequest,
) -> Result<Wanted<'a>, GitCredentialResponse> {
    match request.operation {
        GitCredentialOperation::Get => {}
        // The placeholder is known here, and stays good while the session has it.
        GitCredentialOperation::Store | GitCredentialOperation::Erase => {
            return Err(GitCredentialResponse::Nothing);
        }
    }
    let attributes = match Attributes::read(&request.attributes) {
        Ok(attributes) => attributes,
        Err(malformed) => return Err(refused(malformed.to_string())),
    };
    if attributes.protocol != Some("http") || attributes.host != Some(&format!("127.0.0.1:{port}"))
    {
        return Err(GitCredentialResponse::Nothing);
    }
    let Some(name) = attributes.path.and_then(secret_named) else {
        return Err(refused(
            "git did not say which remote; credential.useHttpPath has to be true",
        ));
    };
    let found = granted.iter().find_map(|granted| match &granted.purpose {
        SecretUse::Git { username, .. } if granted.name.as_str() == name => {
            Some(Wanted { granted, username })
        }
        SecretUse::Git { .. } | SecretUse::Anthropic { .. } => None,
    });
    found.ok_or_else(|| {
        refused(format!(
            "this session was not granted a git secret `{name}`"
        ))
    })
}

/// The secret in `git/<name>/…`.
fn secret_named(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("git/")?;
    let name = rest.split('/').next()?;
    (!name.is_empty()).then_some(name)
}

fn refused(why: impl Into<String>) -> GitCredentialResponse {
    GitCredentialResponse::Refused { why: why.into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::grant::Placeholder;
    use GitCredentialOperation::{Erase, Get, Store};

    fn ask(operation: GitCredentialOperation, attributes: &str) -> GitCredentialResponse {
        let granted = [Granted {
            name: "hub".parse().unwrap(),
            purpose: SecretUse::Git {
                remote: "https://git.example/org".parse().unwrap(),
                username: "me".parse().unwrap(),
            },
            placeholder: Placeholder::from_random([1; 20]),
        }];
        let request = GitCredentialRequest {
            operation,
            attributes: attributes.to_owned(),
        };
        let port = NonZeroU16::new(3128).unwrap();
        match wanted(&granted, port, &request) {
            Ok(wanted) => wanted.placeholder(),
            Err(answer) => answer,
        }
    }

    #[test]
    fn the_bridge_gets_its_placeholder() {
        for path in ["git/hub/repo.git", "git/hub"] {
            let attributes = format!("protocol=http\nhost=127.0.0.1:3128\npath={path}\n\n");
            let GitCredentialResponse::Placeholder { username, password } = ask(Get, &attributes)
            else {
                panic!("{path}");
            };
            assert_eq!(username, "me");
            assert!(password.expose().starts_with("hf_"));
        }
    }

    #[test]
    fn nobody_else_does() {
        let here = "protocol=http\nhost=127.0.0.1:3128\npath=git/hub\n";
        for (operation, attributes) in [
            (Get, "protocol=https\nhost=127.0.0.1:3128\npath=git/hub\n"),
            (Get, "protocol=http\nhost=127.0.0.1:3129\npath=git/hub\n"),
            (Get, "protocol=https\nhost=git.example\npath=org/repo\n"),
            (Get, "\nprotocol=http\nhost=127.0.0.1:3128\npath=git/hub\n"),
            (Get, ""),
            (Store, here),
            (Erase, here),
        ] {
            let said = ask(operation, attributes);
            assert!(
                matches!(said, GitCredentialResponse::Nothing),
                "{attributes}"
            );
        }
        for rest in [
            "",
            "path=git/other/x\n",
            "path=git/\n",
            "path=x/git/hub\n",
            "path=git/hub\npath=x\n",
            "path=git/hub\nx\n",
            "path=git/hub\r\n",
        ] {
            let said = ask(Get, &format!("protocol=http\nhost=127.0.0.1:3128\n{rest}"));
            assert!(
                matches!(said, GitCredentialResponse::Refused { .. }),
                "{rest:?}"
            );
        }
    }
}
