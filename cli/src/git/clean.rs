//! A throwaway git folder of our own making: settings that we wrote, no ref, no hook; objects come from elsewhere.

use std::fs;
use std::path::Path;

use super::GitError;
use super::record::private_folder;

/// Makes one at `folder`, for objects named by `format`.
pub fn make(folder: &Path, format: &str) -> Result<(), GitError> {
    for inner in ["objects/pack", "objects/info", "refs/heads"] {
        private_folder(&folder.join(inner))?;
    }
    let settings = if format == "sha256" {
        "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n"
    } else {
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
    };
    for (name, content) in [("config", settings), ("HEAD", "ref: refs/heads/none\n")] {
        let path = folder.join(name);
        fs::write(&path, content).map_err(|error| GitError::file(&path, error))?;
    }
    Ok(())
}
