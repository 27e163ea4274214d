//! A wrong clock for one program: libfaketime before its C library.
//!
//! What the program asks of the time of day is answered with an offset; the clocks that only run are left alone. Nothing in
//! the program is made for it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Scratch, skipped};

/// A clock that is wrong by as much as is told.
#[derive(Clone, Debug)]
pub struct WrongClock {
    library: PathBuf,
    offset: PathBuf,
}

impl WrongClock {
    /// One that is wrong by `offset`, as faketime(1) has it (`-20700d`); `None`, loudly, where there is no libfaketime.
    ///
    /// # Panics
    /// Where `CI` says that nothing may be left out.
    pub fn by(scratch: &Scratch, name: &str, offset: &str) -> Option<Self> {
        let libraries = fs::read_dir("/usr/lib").expect("the libraries of this machine");
        let library = libraries
            .filter_map(Result::ok)
            .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
            .find(|library| library.is_file());
        let Some(library) = library else {
            skipped("libfaketime is not installed (package faketime)");
            return None;
        };
        let clock = Self {
            library,
            offset: scratch.join(format!("{name}.offset")),
        };
        clock.set(offset);
        Some(clock)
    }

    /// Sets it, for programs that run too.
    ///
    /// # Panics
    /// When the file system does not let us.
    pub fn set(&self, offset: &str) {
        // Renamed, so that no program sees a half of it.
        let next = self.offset.with_extension("next");
        fs::write(&next, offset).expect("an offset to be written");
        fs::rename(&next, &self.offset).expect("an offset to be put in place");
    }

    /// Has `command` go by it.
    pub fn lend(&self, command: &mut Command) {
        command.envs(self.variables());
    }

    /// A command for `program` that goes by it, to be run by another program that does not: what libfaketime shares between
    /// processes is whoever loads it first's.
    pub fn words(&self, program: &Path) -> Vec<OsString> {
        let mut words = vec![OsString::from("/usr/bin/env")];
        for (name, value) in self.variables() {
            let mut word = OsString::from(format!("{name}="));
            word.push(value);
            words.push(word);
        }
        words.push(program.into());
        words
    }

    fn variables(&self) -> [(&'static str, OsString); 5] {
        [
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.clone().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ]
    }
}
