//! What a program is: the SHA-256 of its bytes, and of the interpreters that its first line names.
//!
//! A digest is remembered by device, inode, size and change time, so that a large program is read
//! once; it must never be remembered by path.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use aws_lc_rs::digest::{Context, SHA256};
use holdfast_protocol::Sha256Digest;

/// The longest first line that is read, in bytes (the kernel's own bound is 255).
pub const MAX_SHEBANG: usize = 255;
/// The largest program, in bytes.
pub const MAX_PROGRAM: u64 = 2 << 30;
/// How many digests are remembered.
const REMEMBERED: usize = 256;

/// A program cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The caller passed something that is no regular file, or is larger than [`MAX_PROGRAM`].
    #[error("a program is a regular file of at most {MAX_PROGRAM} bytes")]
    NotAProgram,
    /// Whoever serves the file system decides at each read what is read, and when.
    #[error(
        "the program lies on a file system that a program or the kernel makes up (FUSE, proc, sys)"
    )]
    Served,
    /// It would change the user on the host.
    #[error("the program is setuid or setgid or has capabilities, and no session has such rights")]
    Privileged,
    /// The file changed while it was read.
    #[error("the program changed while it was read")]
    Changed,
    /// It cannot be read.
    #[error("cannot read the program")]
    Read(#[source] io::Error),
}

/// Refuses file systems whose files have no lasting content, or whose reads a human's own program
/// answers: the broker would wait for it.
pub(crate) fn refuse_served(file: impl AsFd) -> Result<(), MeasureError> {
    /// FUSE, proc, sysfs, cgroup v2, debugfs, tracefs.
    const SERVED: [i64; 6] = [
        0x6573_5546,
        0x9fa0,
        0x6265_6572,
        0x6367_7270,
        0x6462_6720,
        0x7472_6163,
    ];
    let kind = rustix::fs::fstatfs(file)
        .map_err(|errno| MeasureError::Read(errno.into()))?
        .f_type;
    if SERVED.contains(&kind) {
        return Err(MeasureError::Served);
    }
    Ok(())
}

/// Refuses programs that are more than who starts them: setuid, setgid, file capabilities.
///
/// # Errors
/// [`MeasureError::Privileged`], [`MeasureError::Read`].
pub fn refuse_privileged(file: &File) -> Result<(), MeasureError> {
    let facts = file.metadata().map_err(MeasureError::Read)?;
    let mut nothing = [0_u8; 0];
    let capable = rustix::fs::fgetxattr(file, "security.capability", &mut nothing);
    if facts.mode() & 0o6000 != 0 || capable.is_ok_and(|length| length > 0) {
        return Err(MeasureError::Privileged);
    }
    Ok(())
}

/// What a file was at one moment; any write to it changes this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Version {
    /// The version of an open program.
    ///
    /// # Errors
    /// [`MeasureError::NotAProgram`], [`MeasureError::Read`].
    pub fn of(file: &File) -> Result<Self, MeasureError> {
        let facts = file.metadata().map_err(MeasureError::Read)?;
        if !facts.is_file() || facts.len() > MAX_PROGRAM {
            return Err(MeasureError::NotAProgram);
        }
        refuse_served(file)?;
        Ok(Self {
            device: facts.dev(),
            inode: facts.ino(),
            size: facts.len(),
            changed: (facts.ctime(), facts.ctime_nsec()),
        })
    }
}

/// Reads a whole program, hands its bytes on, and measures exactly those.
///
/// # Errors
/// [`MeasureError`]; what was handed on is then worthless.
pub fn measure(
    file: &File,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<Sha256Digest, MeasureError> {
    let before = Version::of(file)?;
    let mut file = file;
    file.seek(SeekFrom::Start(0)).map_err(MeasureError::Read)?;
    let mut reader = file.take(MAX_PROGRAM);
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = reader.read(&mut buffer).map_err(MeasureError::Read)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        context.update(bytes);
        each(bytes).map_err(MeasureError::Read)?;
    }
    if Version::of(file)? != before {
        return Err(MeasureError::Changed);
    }
    Sha256Digest::try_from(context.finish().as_ref()).map_err(|_| MeasureError::NotAProgram)
}

/// Digests of programs that have been measured, newest last.
#[derive(Debug, Default)]
pub struct Memory(VecDeque<(Version, Sha256Digest)>);

impl Memory {
    /// The digest of this version, if it is remembered.
    pub fn recall(&self, version: Version) -> Option<Sha256Digest> {
        self.0
            .iter()
            .find_map(|(known, digest)| (*known == version).then_some(*digest))
    }

    /// Remembers it; forgets the oldest where there are too many.
    pub fn remember(&mut self, version: Version, digest: Sha256Digest) {
        self.0.retain(|(known, _)| *known != version);
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((version, digest));
    }
}

/// What a script's first line says is to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shebang {
    /// The interpreter, an absolute path.
    pub interpreter: String,
    /// Its one argument, as the kernel would pass it.
    pub argument: Option<String>,
}

impl Shebang {
    /// The program that finally runs: `env NAME` stands for NAME, which is looked up on the path.
    pub fn wanted(&self) -> &str {
        let by_name = self.interpreter.rsplit('/').next() == Some("env");
        match &self.argument {
            Some(argument) if by_name => argument
                .split_ascii_whitespace()
                .find(|word| !word.starts_with('-') && !word.contains('='))
                .unwrap_or(&self.interpreter),
            Some(_) | None => &self.interpreter,
        }
    }
}

impl Shebang {
    /// What stands before the script on the interpreter's command line. `env` is left out with its own
    /// options, and so is what it would set: the environment is chosen elsewhere.
    pub fn options(&self) -> Vec<String> {
        let Some(argument) = &self.argument else {
            return Vec::new();
        };
        if self.interpreter.rsplit('/').next() != Some("env") {
            return vec![argument.clone()];
        }
        argument
            .split_ascii_whitespace()
            .skip_while(|word| word.starts_with('-') || word.contains('='))
            .skip(1)
            .map(str::to_owned)
            .collect()
    }
}

/// Reads the first line of a script; `None` for anything else.
///
/// # Errors
/// [`MeasureError::NotAProgram`] if the line is longer than [`MAX_SHEBANG`] or not plain text.
pub fn shebang(file: &File) -> Result<Option<Shebang>, MeasureError> {
    let mut start = [0; MAX_SHEBANG + 1];
    let read =
        rustix::io::pread(file, &mut start, 0).map_err(|errno| MeasureError::Read(errno.into()))?;
    let start = start.get(..read).unwrap_or_default();
    let Some(rest) = start.strip_prefix(b"#!") else {
        return Ok(None);
    };
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // A line that fills what was read was cut, or the file is nothing but it.
    if line.len() == rest.len() && start.len() > MAX_SHEBANG {
        return Err(MeasureError::NotAProgram);
    }
    let line = std::str::from_utf8(line).map_err(|_| MeasureError::NotAProgram)?;
    let line = line.trim_matches([' ', '\t', '\r']);
    let (interpreter, argument) = match line.split_once([' ', '\t']) {
        Some((interpreter, argument)) => (interpreter, Some(argument.trim().to_owned())),
        None => (line, None),
    };
    if !interpreter.starts_with('/') {
        return Err(MeasureError::NotAProgram);
    }
    Ok(Some(Shebang {
        interpreter: interpreter.to_owned(),
        argument,
    }))
}

#[cfg(test)]
mod tests;
