//! The digest of a tree: how files, links and folders become one value.
//!
//! Pure. Kinds and lengths stand before what they describe, so that no two trees give the same bytes.

use aws_lc_rs::digest::{Context, SHA256, digest};
use holdfast_protocol::Sha256Digest;

/// Stands before a folder's entries.
const FOLDER: &[u8] = b"holdfast package folder 1\n";
/// Stands before the root.
const ROOT: &[u8] = b"holdfast package 1\n";

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file that nobody may execute.
    File,
    /// A file that somebody may execute.
    Executable,
    /// A symbolic link; its digest is that of its target's text.
    Link,
    /// A folder.
    Folder,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::File => b'f',
            Self::Executable => b'x',
            Self::Link => b'l',
            Self::Folder => b'd',
        }
    }
}

/// A folder whose entries are added in the order of their names.
pub(crate) struct Folder(Context);

impl Folder {
    pub(crate) fn new() -> Self {
        let mut context = Context::new(&SHA256);
        context.update(FOLDER);
        Self(context)
    }

    pub(crate) fn add(&mut self, name: &[u8], kind: Kind, digest: Sha256Digest) {
        // A name has at most 255 bytes.
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        self.0.update(&[kind.byte()]);
        self.0.update(&length.to_be_bytes());
        self.0.update(name);
        self.0.update(digest.as_bytes());
    }

    pub(crate) fn finish(self) -> Sha256Digest {
        finish(self.0)
    }
}

/// The digest of some bytes.
pub(crate) fn of(bytes: &[u8]) -> Sha256Digest {
    let mut value = [0; 32];
    value.copy_from_slice(digest(&SHA256, bytes).as_ref());
    Sha256Digest::new(value)
}

/// The digest of a whole package.
pub(crate) fn root(kind: Kind, content: Sha256Digest) -> Sha256Digest {
    let mut context = Context::new(&SHA256);
    context.update(ROOT);
    context.update(&[kind.byte()]);
    context.update(content.as_bytes());
    finish(context)
}

pub(crate) fn finish(context: Context) -> Sha256Digest {
    let mut value = [0; 32];
    value.copy_from_slice(context.finish().as_ref());
    Sha256Digest::new(value)
}
