//! The layout of C2SP tlog-tiles: `tile/<level>/<n>` of up to 256 hashes, `tile/entries/<n>` of up to 256 entries.
//!
//! One tile of each level is in memory at a time. Nothing here knows what the entries say.

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_proof::merkle::{Frontier, node_hash};
use holdfast_protocol::Sha256Digest;

use super::ExportError;

const WIDTH: usize = 256;

/// A tree that is being written.
pub(super) struct Tiles {
    folder: PathBuf,
    tree: Frontier,
    entries: Vec<u8>,
    levels: Vec<Level>,
}

/// The tile of a level that is being filled, from the left.
#[derive(Default)]
struct Level {
    full: u64,
    hashes: Vec<Sha256Digest>,
}

impl Tiles {
    /// Starts in `folder`, which must be empty or absent.
    pub(super) fn create(folder: &Path) -> Result<Self, ExportError> {
        let failed = |source| ExportError::Write {
            path: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        if fs::read_dir(folder).map_err(failed)?.next().is_some() {
            return Err(ExportError::NotEmpty(folder.to_owned()));
        }
        Ok(Self {
            folder: folder.to_owned(),
            tree: Frontier::empty(),
            entries: Vec::new(),
            levels: Vec::new(),
        })
    }

    /// Adds an entry with its leaf hash.
    pub(super) fn push(&mut self, leaf: Sha256Digest, entry: &[u8]) -> Result<(), ExportError> {
        let index = self.tree.size();
        // No entry is longer: the log refuses what 16 bits cannot say.
        let length = u16::try_from(entry.len()).map_err(|_| ExportError::Damaged(index))?;
        self.entries.extend_from_slice(&length.to_be_bytes());
        self.entries.extend_from_slice(entry);
        self.tree.append(leaf);
        if self.tree.size().is_multiple_of(WIDTH as u64) {
            let path = tile_path("entries", index / WIDTH as u64, WIDTH);
            write(&self.folder.join(path), &std::mem::take(&mut self.entries))?;
        }
        self.push_hash(0, leaf)
    }

    /// Writes the partial tiles at the right edge; the root of the tree.
    pub(super) fn finish(self) -> Result<Sha256Digest, ExportError> {
        let bundles = self.tree.size() / WIDTH as u64;
        if !self.entries.is_empty() {
            let width = self.levels.first().map_or(0, |level| level.hashes.len());
            let path = tile_path("entries", bundles, width);
            write(&self.folder.join(path), &self.entries)?;
        }
        for (number, level) in self.levels.iter().enumerate() {
            if !level.hashes.is_empty() {
                let path = tile_path(&number.to_string(), level.full, level.hashes.len());
                write(&self.folder.join(path), &joined(&level.hashes))?;
            }
        }
        Ok(self.tree.root())
    }

    fn push_hash(&mut self, number: usize, hash: Sha256Digest) -> Result<(), ExportError> {
        if self.levels.len() == number {
            self.levels.push(Level::default());
        }
        let Some(level) = self.levels.get_mut(number) else {
            return Ok(());
        };
        level.hashes.push(hash);
        if level.hashes.len() < WIDTH {
            return Ok(());
        }
        let hashes = std::mem::take(&mut level.hashes);
        let path = tile_path(&number.to_string(), level.full, WIDTH);
        level.full += 1;
        write(&self.folder.join(path), &joined(&hashes))?;
        match root(hashes) {
            Some(root) => self.push_hash(number + 1, root),
            None => Ok(()),
        }
    }
}

/// Writes a file and the folders above it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let failed = |source| ExportError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(path, bytes).map_err(failed)
}

/// `tile/<level>/<n>` with `n` in groups of three digits, all but the last with an `x`; `.p/<width>` if it is partial.
fn tile_path(level: &str, number: u64, width: usize) -> PathBuf {
    let mut name = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        name = format!("x{:03}/{name}", rest % 1000);
        rest /= 1000;
    }
    let partial = match width {
        WIDTH => String::new(),
        width => format!(".p/{width}"),
    };
    PathBuf::from(format!("tile/{level}/{name}{partial}"))
}

/// The root of a full tile.
fn root(mut hashes: Vec<Sha256Digest>) -> Option<Sha256Digest> {
    while hashes.len() > 1 {
        let (pairs, _) = hashes.as_chunks::<2>();
        hashes = pairs
            .iter()
            .map(|[left, right]| node_hash(left, right))
            .collect();
    }
    hashes.pop()
}

fn joined(hashes: &[Sha256Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_named_as_specified() {
        let name = |number, width| tile_path("3", number, width).display().to_string();
        assert_eq!(name(0, 256), "tile/3/000");
        assert_eq!(name(1_234_067, 256), "tile/3/x001/x234/067");
        assert_eq!(name(67, 1), "tile/3/067.p/1");
        assert_eq!(name(1000, 255), "tile/3/x001/000.p/255");
    }
}
