//! What is said about the secrets that the vault keeps: names, uses, never a value.
//!
//! A value travels once, from the human to the broker, as a [`Secret`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::secret::Secret;
use crate::url::HttpUrl;

/// The longest value of a secret, in bytes.
pub const MAX_VALUE: usize = 16 * 1024;

/// The name of a secret, unique among one human's: 1 to 64 of `[a-z0-9._-]`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

/// A text is not a secret's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a secret's name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, the first a letter or digit"
)]
pub struct InvalidSecretName(String);

impl SecretName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = InvalidSecretName;

    fn from_str(text: &str) -> Result<Self, InvalidSecretName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let valid = (1..=64).contains(&text.len())
            && text.bytes().next().is_some_and(plain)
            && text
                .bytes()
                .all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSecretName(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for SecretName {
    type Error = InvalidSecretName;

    fn try_from(text: String) -> Result<Self, InvalidSecretName> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a secret is for. It leaves the broker for this and for nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SecretUse {
    /// The Anthropic API.
    Anthropic {
        /// Where the API is (`https://api.anthropic.com`, or a gateway's address).
        base: HttpUrl,
        /// How the secret is shown there.
        credential: AnthropicCredential,
    },
    /// A git remote, or everything below it.
    Git {
        /// The remote, or what its URL begins with (`https://github.com/org`).
        remote: HttpUrl,
        /// The user's name there; services that go by the token alone take any.
        username: GitUser,
    },
}

/// How the Anthropic API is shown a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnthropicCredential {
    /// As `x-api-key`.
    ApiKey,
    /// As a bearer token: a subscription's long-lived one (`claude setup-token`).
    SubscriptionToken,
}

/// A user's name at a git service: 1 to 128 printable ASCII characters without `:`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GitUser(String);

/// A text cannot be a user's name in HTTP basic authentication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user's name is 1 to 128 printable ASCII characters without a colon")]
pub struct InvalidGitUser;

impl GitUser {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GitUser {
    type Err = InvalidGitUser;

    fn from_str(text: &str) -> Result<Self, InvalidGitUser> {
        let valid = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidGitUser)
        }
    }
}

impl TryFrom<String> for GitUser {
    type Error = InvalidGitUser;

    fn try_from(text: String) -> Result<Self, InvalidGitUser> {
        text.parse()
    }
}

impl From<GitUser> for String {
    fn from(user: GitUser) -> Self {
        user.0
    }
}

/// What else than the TPM opens a human's vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// A share in the human's keyring, which the command line or the tray delivers at login.
    Keyring,
    /// Nothing: a machine without a keyring, declared so by its human. This TPM alone opens it.
    Headless,
}

/// How a vault is to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "sharing", rename_all = "kebab-case", deny_unknown_fields)]
pub enum NewVault {
    /// With a share that the human's keyring has already.
    Keyring {
        /// 32 random bytes, base64.
        share: Secret,
    },
    /// Without one.
    Headless,
}

/// A human's vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "vault", rename_all = "kebab-case")]
pub enum VaultState {
    /// There is none yet.
    None,
    /// It waits for the share of the human's keyring.
    Locked,
    /// Sessions can be given what it keeps.
    Open {
        /// What else than the TPM opens it.
        sharing: Sharing,
    },
}

/// One secret, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSummary {
    /// Its name.
    pub name: SecretName,
    /// What it is for.
    #[serde(rename = "use")]
    pub purpose: SecretUse,
    /// When it was put in.
    pub added: Timestamp,
}

/// All that is told of a human's vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultListing {
    /// The vault.
    #[serde(flatten)]
    pub state: VaultState,
    /// What is in it, by name.
    pub secrets: Vec<SecretSummary>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["anthropic", "github.com", "a", "0-x_y"] {
            assert_eq!(good.parse::<SecretName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "-x", "A", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn users_fit_basic_authentication() {
        assert!("x-access-token".parse::<GitUser>().is_ok());
        for bad in ["", "a:b", "a b", "a\nb", "ä"] {
            assert!(bad.parse::<GitUser>().is_err(), "{bad:?}");
        }
    }
}
