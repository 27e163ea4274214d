//! Under whose uid a broker runs.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

/// The uid of a system's own account, as a package would make it.
const SYSTEM: u32 = 977;

/// Whose a broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// A system account, without any right and without a way to one.
    System,
    /// Whose the tests are: root's, for sealed sessions.
    Own,
}

impl Account {
    /// Its uid.
    pub fn uid(self) -> u32 {
        match self {
            Self::System => SYSTEM,
            Self::Own => rustix::process::geteuid().as_raw(),
        }
    }

    /// The command of these words, run by it.
    ///
    /// # Panics
    /// Without any.
    pub fn command(self, words: &[OsString]) -> Command {
        let (program, arguments) = words.split_first().expect("a program");
        let mut command = match self {
            Self::Own => Command::new(program),
            Self::System => {
                let uid = SYSTEM.to_string();
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid", &uid, "--regid", &uid, "--clear-groups"])
                    .args(["--inh-caps", "-all", "--bounding-set", "-all"])
                    .args(["--no-new-privs", "--"])
                    .arg(program);
                command
            }
        };
        command.args(arguments);
        command
    }

    /// Makes a folder that is its own.
    ///
    /// # Panics
    /// When that cannot be done.
    pub fn owns(self, folder: &Path) {
        if self == Self::System {
            fs::create_dir_all(folder).expect("a folder");
            chown(folder, Some(SYSTEM), Some(SYSTEM)).expect("a folder to be given away");
        }
    }

    /// Lets it, and nobody else, through a private folder of this process's.
    ///
    /// # Panics
    /// When that cannot be done.
    pub fn passes(self, folder: &Path) {
        if self == Self::System {
            chown(folder, None, Some(SYSTEM)).expect("a folder's group");
            fs::set_permissions(folder, fs::Permissions::from_mode(0o710)).expect("its mode");
        }
    }
}
