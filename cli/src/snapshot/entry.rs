//! One thing in a project, as a snapshot knows it.

use std::fmt;

use holdfast_protocol::digest::Sha256Digest;
use rustix::fs::Stat;

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A folder.
    Folder(Mode),
    /// A file whose content is known.
    File {
        /// Who may do what.
        mode: Mode,
        /// How many bytes.
        size: u64,
        /// Which.
        digest: Sha256Digest,
    },
    /// A symbolic link, and what it says.
    Link(Vec<u8>),
    /// Something whose content is not kept: it can be told whether it is the same, and no more.
    Unkept {
        /// Why.
        why: NotKept,
        /// What can be told.
        identity: Identity,
    },
}

/// Permission bits, and setuid, setgid and sticky: `0o7777` of a file's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u16);

impl Mode {
    /// Of a mode as `stat` has it.
    pub fn of(st_mode: u32) -> Self {
        Self(u16::try_from(st_mode & 0o7777).unwrap_or_default())
    }

    /// The bits.
    pub fn bits(self) -> u32 {
        self.0.into()
    }

    /// Whether somebody may run it.
    pub fn runs(self) -> bool {
        self.0 & 0o111 != 0
    }

    /// As rustix has it.
    pub fn raw(self) -> rustix::fs::Mode {
        rustix::fs::Mode::from_raw_mode(self.bits())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:o}", self.0)
    }
}

/// Why there is no more than an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// It is a folder that git is told to ignore.
    Ignored,
    /// It is a file that git is told to ignore, and large.
    IgnoredFile,
    /// More bytes than a snapshot adds.
    Bytes,
    /// The human may not read it.
    Unreadable,
    /// It is neither file, folder nor link.
    Special,
    /// A folder of another file system.
    Mounted,
    /// A folder too deep.
    Deep,
    /// It changed while it was read.
    Changing,
}

impl NotKept {
    /// Each with its word in files of ours.
    const WORDS: [(Self, &str); 8] = [
        (Self::Ignored, "ignored"),
        (Self::IgnoredFile, "ignored-file"),
        (Self::Bytes, "bytes"),
        (Self::Unreadable, "unreadable"),
        (Self::Special, "special"),
        (Self::Mounted, "mounted"),
        (Self::Deep, "deep"),
        (Self::Changing, "changing"),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        let known = Self::WORDS.iter().find(|(why, _)| *why == self);
        known.map_or("unknown", |(_, word)| word)
    }

    /// The reason of this word.
    pub fn parse(word: &str) -> Option<Self> {
        let known = Self::WORDS.iter().find(|(_, own)| *own == word);
        known.map(|(why, _)| *why)
    }
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignored => "a folder that git ignores",
            Self::IgnoredFile => "a large file that git ignores",
            Self::Bytes => "more bytes than a snapshot adds",
            Self::Unreadable => "not yours to read",
            Self::Special => "neither file, folder nor link",
            Self::Mounted => "another file system",
            Self::Deep => "too deep a folder",
            Self::Changing => "it changed while it was read",
        })
    }
}

/// What tells a thing from another, and from itself after a change, without reading it.
///
/// No program can set the time of a change (`ctime`) without setting the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The file system.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// Kind and permissions, as `stat` has them.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// When its content changed: nanoseconds since the epoch.
    pub modified: i128,
    /// When anything of it changed: nanoseconds since the epoch.
    pub changed: i128,
}

impl Identity {
    /// Of what was looked at.
    pub fn of(stat: &Stat) -> Self {
        let nanos = |secs: i64, nanos: u64| i128::from(secs) * 1_000_000_000 + i128::from(nanos);
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            mode: stat.st_mode,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: nanos(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanos(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Its permissions.
    pub fn mode(&self) -> Mode {
        Mode::of(self.mode)
    }
}

impl Entry {
    /// Whether it is a folder whose content is known.
    pub fn is_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// Whether a snapshot holds all of it.
    pub fn is_kept(&self) -> bool {
        !matches!(self, Self::Unkept { .. })
    }

    /// Whether `other` is the same, as far as can be told.
    ///
    /// A folder that is not looked into is the same as long as it is that folder: what changes in it is not known.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Unkept { why, identity },
                Self::Unkept {
                    why: other_why,
                    identity: other,
                },
            ) => match why {
                NotKept::Ignored | NotKept::Mounted | NotKept::Deep | NotKept::Unreadable => {
                    why == other_why && identity.mode == other.mode
                }
                NotKept::IgnoredFile | NotKept::Bytes | NotKept::Special | NotKept::Changing => {
                    identity == other
                }
            },
            _ => self == other,
        }
    }
}
