//! Large files (git-lfs) that a session made: each is its name's SHA-256, or it stays out.

use std::fs;

use data_encoding::HEXLOWER;
use holdfast_proof::hash::sha256;
use rustix::fs::FileType;

use super::GitError;
use super::beneath::Beneath;
use super::foreign::below;
use super::layout::Repository;
use super::record::private_folder;

/// The largest one that is brought back, in bytes: it is hashed in one piece.
const MAX_LARGE: u64 = 2 << 30;

/// What became of a session's large files.
#[derive(Debug, Default)]
pub struct Brought {
    /// How many came back.
    pub files: usize,
    /// Those that are not what they are called.
    pub refused: Vec<String>,
}

/// Copies `lfs/objects/ab/cd/abcd…` into the human's repository, where it is not there.
pub fn bring(private: &Beneath, repository: &Repository) -> Result<Brought, GitError> {
    let to = repository.common_dir.join("lfs/objects");
    let failed = |error| GitError::file(&to, error);
    let mut brought = Brought::default();
    let list = |inner: &str| {
        let entries = private
            .list(&below(&repository.common, inner))
            .map_err(failed)?;
        Ok::<_, GitError>(entries)
    };
    for (one, kind) in list("lfs/objects")? {
        if kind != FileType::Directory {
            continue;
        }
        for (two, kind) in list(&format!("lfs/objects/{one}"))? {
            if kind != FileType::Directory {
                continue;
            }
            for (name, _) in list(&format!("lfs/objects/{one}/{two}"))? {
                let placed =
                    name.len() == 64 && name.get(..2) == Some(&one) && name.get(2..4) == Some(&two);
                let target = to.join(&one).join(&two).join(&name);
                if placed && target.exists() {
                    continue;
                }
                let inner = below(
                    &repository.common,
                    &format!("lfs/objects/{one}/{two}/{name}"),
                );
                let content = private.read(&inner, MAX_LARGE).ok().flatten();
                let fits = |content: &Vec<u8>| {
                    placed && HEXLOWER.encode(sha256(content).as_bytes()) == name
                };
                match content.filter(fits) {
                    Some(content) => {
                        private_folder(&to.join(&one).join(&two))?;
                        let passing = target.with_extension("part");
                        fs::write(&passing, content).map_err(failed)?;
                        fs::rename(&passing, &target).map_err(failed)?;
                        brought.files += 1;
                    }
                    None => brought.refused.push(name),
                }
            }
        }
    }
    Ok(brought)
}
