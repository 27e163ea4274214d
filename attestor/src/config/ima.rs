//! What the configuration says of measurement lists, with the files that it names.
//!
//! All of it is read and refused at the start; nothing is read again while the attestor runs.

use std::path::PathBuf;
use std::sync::Arc;

use holdfast_proof::ima::{self, PathPattern};
use serde::Deserialize;

use super::ConfigError;
use super::load::files;
use crate::verify_host::{ImaPolicy, Required};

/// What kernels may have measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ImaConfig {
    /// Whether lists are asked for, and what they decide.
    pub mode: ImaMode,
    /// The allow lists.
    pub allow: Vec<PathBuf>,
    /// Paths that are not judged.
    pub exclude: Vec<Excluded>,
    /// The folder of certificates whose keys sign files.
    pub keys: Option<PathBuf>,
}

/// What a measurement list decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImaMode {
    /// Nothing.
    #[default]
    Off,
    /// What is wrong with it is noted.
    Record,
    /// What is wrong with it is a refusal.
    Enforce,
}

/// A path that is not judged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Excluded(PathPattern);

impl TryFrom<String> for Excluded {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        PathPattern::new(&text)
            .map(Self)
            .ok_or_else(|| format!("a path has 1 to {} bytes", PathPattern::MAX))
    }
}

/// The policy, with its files read.
pub(super) fn policy(config: &ImaConfig) -> Result<ImaPolicy, ConfigError> {
    let made: fn(Arc<ima::Policy>) -> ImaPolicy = match config.mode {
        ImaMode::Off => return Ok(ImaPolicy::Off),
        ImaMode::Record => ImaPolicy::Record,
        ImaMode::Enforce => ImaPolicy::Enforce,
    };
    let mut policy = ima::Policy {
        exclude: config.exclude.iter().map(|path| path.0.clone()).collect(),
        ..ima::Policy::default()
    };
    for path in &config.allow {
        let path = || path.clone();
        let text = std::fs::read_to_string(path()).map_err(|source| ConfigError::Unreadable {
            path: path(),
            source,
        })?;
        policy
            .allow
            .add(&text)
            .map_err(|source| ConfigError::AllowList {
                path: path(),
                source,
            })?;
    }
    policy.allow.finish();
    for (path, bytes) in config
        .keys
        .as_deref()
        .map(files)
        .transpose()?
        .unwrap_or_default()
    {
        policy
            .keys
            .add(&bytes)
            .map_err(|source| ConfigError::ImaKey { path, source })?;
    }
    Ok(made(Arc::new(policy)))
}

/// The PCRs of a quote: PCR 10 of each bank as well, where lists are asked for.
pub(super) fn required(required: &Required, ima: &ImaPolicy) -> Required {
    if *ima == ImaPolicy::Off {
        return required.clone();
    }
    required.and(ima::pcr())
}
