//! A human who is not root, with a home of their own.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_hardware_tests::world::{Ran, World};

/// Any uid that launchers take for a human's.
const UID: u32 = 1000;

/// A human, and the world that they run agents in.
pub struct Human<'w> {
    world: &'w World,
    home: tempfile::TempDir,
}

impl<'w> Human<'w> {
    /// One with an empty home.
    pub fn new(world: &'w World) -> Self {
        let home = tempfile::Builder::new()
            .prefix("holdfast-home-")
            .tempdir()
            .unwrap();
        chown(home.path(), Some(UID), Some(UID)).unwrap();
        // The sockets are for everybody; what else lies there is not.
        let open = fs::Permissions::from_mode(0o711);
        fs::set_permissions(world.scratch.path(), open).unwrap();
        fs::set_permissions(world.broker.state(), fs::Permissions::from_mode(0o700)).unwrap();
        Self { world, home }
    }

    /// Their home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A folder of theirs.
    pub fn folder(&self, place: &str) -> PathBuf {
        let mut path = self.home().to_owned();
        for part in place.split('/') {
            path.push(part);
            if !path.exists() {
                fs::create_dir(&path).unwrap();
                chown(&path, Some(UID), Some(UID)).unwrap();
            }
        }
        path
    }

    /// A project of theirs.
    pub fn project(&self, name: &str) -> PathBuf {
        self.folder(name)
    }

    /// A file of theirs.
    pub fn put(&self, place: &str, content: &str) -> PathBuf {
        if let Some((folder, _)) = place.rsplit_once('/') {
            self.folder(folder);
        }
        let path = self.home().join(place);
        fs::write(&path, content).unwrap();
        chown(&path, Some(UID), Some(UID)).unwrap();
        path
    }

    /// A file that only they may read, with this line in it, by its name for a command line.
    pub fn private(&self, place: &str, line: &str) -> String {
        let path = self.put(place, &format!("{line}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    /// Makes all below a folder theirs, and closes it to everybody else.
    pub fn closes(&self, folder: &Path) {
        let owner = format!("{UID}:{UID}");
        for change in [["chown", &owner], ["chmod", "go="]] {
            let mut command = Command::new(change[0]);
            let done = command.args(["-R", change[1]]).arg(folder).status();
            assert!(done.unwrap().success());
        }
    }

    /// A shell that is called `claude`: a native program's kind is its name.
    pub fn claude(&self) -> String {
        let path = self.folder("bin").join("claude");
        fs::copy("/bin/sh", &path).unwrap();
        path.display().to_string()
    }

    /// Runs `program` in a session of `project`, by `holdfast run` with these flags.
    pub fn run(&self, project: &Path, flags: &[&str], program: &[&str], path: &str) -> Ran {
        self.run_at(self.home(), project, flags, program, path)
    }

    /// As [`Human::run`], with a home of this name.
    pub fn run_at(
        &self,
        home: &Path,
        project: &Path,
        flags: &[&str],
        program: &[&str],
        path: &str,
    ) -> Ran {
        let mut command = self.holdfast_command(home, path);
        command.arg("run").arg("--project").arg(project);
        command.args(flags).args(program).current_dir(project);
        Ran::of(&mut command)
    }

    /// A command that runs `program` in a session of `project`, by `holdfast run`.
    pub fn session(&self, project: &Path, program: &[&str]) -> Command {
        let mut command = self.holdfast_command(self.home(), "/usr/bin:/bin");
        command.arg("run").arg("--project").arg(project).arg("--");
        command.args(program).current_dir(project);
        command
    }

    /// Runs `holdfast`.
    pub fn holdfast(&self, arguments: &[&str]) -> Ran {
        let mut command = self.holdfast_command(self.home(), "/usr/bin:/bin");
        Ran::of(command.args(arguments).current_dir(self.home()))
    }

    fn holdfast_command(&self, home: &Path, path: &str) -> Command {
        let holdfast = self.world.broker.holdfast_command();
        let mut command = self.command(holdfast.get_program(), home, path);
        command.args(holdfast.get_args());
        command
    }

    /// `program`, as this human runs it.
    pub fn command(&self, program: &OsStr, home: &Path, path: &str) -> Command {
        let uid = UID.to_string();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"])
            .arg(program)
            .env_clear()
            .env("HOME", home)
            .env("USER", "ann")
            .env("PATH", path);
        command
    }

    /// What uid they are.
    pub fn uid(&self) -> u32 {
        UID
    }
}
