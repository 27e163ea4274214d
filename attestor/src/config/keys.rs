//! What the authority's private keys are encrypted under, on the disk.
//!
//! The passphrase is in a file of its own, never in the configuration.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::ConfigError;
use crate::certify::{AtRest, Passphrase};

/// More than any passphrase has, with its newline; a longer file is no passphrase.
const MAX_FILE: u64 = 4096;

/// The `[keys]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KeysConfig {
    /// The file that holds the passphrase; without one keys are written plain.
    pub passphrase_file: Option<PathBuf>,
}

impl KeysConfig {
    /// How keys lie on the disk, with the passphrase read.
    pub(super) fn at_rest(&self) -> Result<AtRest, ConfigError> {
        let Some(path) = &self.passphrase_file else {
            return Ok(AtRest::Plain);
        };
        let bytes = secret(path)?;
        let passphrase = Passphrase::new(&bytes).map_err(|_| ConfigError::Value {
            path: path.clone(),
            key: "keys.passphrase-file",
            problem: "names this file, which has to hold a passphrase of 16 to 1024 bytes",
        })?;
        Ok(AtRest::Encrypted(passphrase))
    }
}

/// A file's content, if others may not read it.
fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    let mode = found.mode() & 0o7777;
    // systemd hands a credential to a service's user by an access list, whose mask shows as the group's right to read: the
    // file is root's and root's group's all the same.
    let others = if (found.uid(), found.gid()) == (0, 0) {
        0o037
    } else {
        0o077
    };
    if mode & others != 0 {
        return Err(ConfigError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    // Reserved at once, so that no copy is left behind by a growing buffer.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize));
    file.take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}
