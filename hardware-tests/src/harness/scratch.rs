//! A folder per test.
//!
//! It must never outlive its test, unless a failed test's remains were asked for, and never be readable by others.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// `sockaddr_un.sun_path` of Linux, its closing zero included.
const SUN_PATH: usize = 108;

/// Set to keep the folders of tests that panic; their paths are printed.
const KEEP: &str = "HOLDFAST_KEEP_SCRATCH";

/// A private folder (mode 0700), removed with everything in it when dropped.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// A new, empty folder.
    ///
    /// # Panics
    /// When the folder for temporary files cannot be written.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("holdfast-")
            // Otherwise the umask decides, and authorities keep their keys here.
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .expect("a folder for temporary files");
        Self { dir }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the folder; nothing is made.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// A folder in the folder, made if it is not there.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn folder(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("make {}: {e}", path.display()));
        path
    }

    /// A file in the folder with this content.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
        path
    }

    /// A line in a file that only its owner may read, by its name for a command line.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn private(&self, name: &str, line: &str) -> String {
        let path = self.write(name, format!("{line}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our own file");
        path.display().to_string()
    }

    /// The folder for Unix sockets, apart from the rest so that it can be given away alone.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn socket_dir(&self) -> PathBuf {
        self.folder("s")
    }

    /// Where the Unix socket `name` goes.
    ///
    /// # Panics
    /// When the path is longer than the kernel allows: a bind would fail much less clearly.
    pub fn socket(&self, name: &str) -> PathBuf {
        let path = self.socket_dir().join(name);
        let length = path.as_os_str().len();
        assert!(
            length < SUN_PATH,
            "{} is {length} bytes: set a shorter TMPDIR",
            path.display()
        );
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os(KEEP).is_some() {
            self.dir.disable_cleanup(true);
            eprintln!("kept {}", self.path().display());
        }
    }
}
