//! Objects that a session made, checked and then moved into the human's repository as one pack.
//!
//! Every object's name is computed anew and its form checked (git-fsck(1)) before the repository sees any of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use super::GitError;
use super::clean;
use super::command::{Git, output};
use super::names::Oid;

/// How many tips are tried one by one where all together are refused.
const MAX_SINGLE: usize = 256;

/// From where to where.
#[derive(Debug)]
pub struct Way<'a> {
    /// The human's git.
    pub git: &'a Git,
    /// A clean folder with the session's objects.
    pub clean: &'a Path,
    /// The human's own objects.
    pub objects: &'a Path,
    /// An empty folder for what is being checked.
    pub staging: PathBuf,
    /// How objects are named.
    pub format: &'a str,
    /// Where a shallow clone ends, if it is one.
    pub shallow: Option<Vec<u8>>,
}

impl Way<'_> {
    /// Makes the packs' own indexes anew; gives those packs that are broken, which are left out.
    pub fn index_packs(&self, packs: &[String]) -> Vec<String> {
        let mut broken = Vec::new();
        for name in packs {
            let path = self.clean.join("objects/pack").join(name);
            let mut index = self.git.clean(self.clean, &[self.objects]);
            if let Err(error) = output(index.arg("index-pack").arg(&path), b"") {
                broken.push(format!("{name}: {}", error.words()));
                fs::remove_file(&path).ok();
            }
        }
        broken
    }

    /// Which of `oids` are there, and what they are.
    pub fn kinds(&self, oids: &[Oid]) -> Result<BTreeMap<Oid, String>, GitError> {
        let mut check = self.git.clean(self.clean, &[self.objects]);
        check.args(["cat-file", "--batch-check=%(objectname) %(objecttype)"]);
        let printed = output(&mut check, lines(oids).as_bytes())?;
        Ok(String::from_utf8_lossy(&printed)
            .lines()
            .filter_map(|line| {
                let (oid, kind) = line.split_once(' ')?;
                let known = matches!(kind, "commit" | "tree" | "blob" | "tag");
                Some((Oid::parse(oid)?, known.then(|| kind.to_owned())?))
            })
            .collect())
    }

    /// Brings in everything that `tips` reach and `known` do not; gives the tips that were refused, with the reason.
    pub fn bring(&self, tips: &[Oid], known: &[Oid]) -> Result<BTreeMap<Oid, String>, GitError> {
        let mut refused = BTreeMap::new();
        if tips.is_empty() {
            return Ok(refused);
        }
        let Err(why) = self.bring_all(tips, known) else {
            return Ok(refused);
        };
        if tips.len() == 1 || tips.len() > MAX_SINGLE {
            refused.extend(tips.iter().map(|tip| (tip.clone(), why.words())));
            return Ok(refused);
        }
        for tip in tips {
            if let Err(error) = self.bring_all(std::slice::from_ref(tip), known) {
                refused.insert(tip.clone(), error.words());
            }
        }
        Ok(refused)
    }

    fn bring_all(&self, tips: &[Oid], known: &[Oid]) -> Result<(), GitError> {
        if self.staging.exists() {
            fs::remove_dir_all(&self.staging)
                .map_err(|error| GitError::file(&self.staging, error))?;
        }
        clean::make(&self.staging, self.format)?;
        if let Some(shallow) = &self.shallow {
            for folder in [self.clean, &self.staging] {
                let path = folder.join("shallow");
                fs::write(&path, shallow).map_err(|error| GitError::file(&path, error))?;
            }
        }
        let mut wanted = lines(tips);
        for oid in known {
            wanted.push_str(&format!("^{oid}\n"));
        }
        let mut pack = self.git.clean(self.clean, &[self.objects]);
        pack.args([
            "pack-objects",
            "--revs",
            "--stdout",
            "-q",
            "--delta-base-offset",
        ]);
        let mut index = self.git.clean(&self.staging, &[self.objects]);
        index.args(["index-pack", "--stdin", "--strict"]);
        piped(&mut pack, wanted.as_bytes(), &mut index)?;
        // Nothing of the session's is asked any more: what is not in the pack or at home is missing.
        let mut whole = self.git.clean(&self.staging, &[self.objects]);
        whole.args(["rev-list", "--objects", "--quiet", "--stdin"]);
        output(&mut whole, wanted.as_bytes())?;
        self.install()
    }

    /// Moves the checked pack to the human's objects: its index last, by which git finds it.
    fn install(&self) -> Result<(), GitError> {
        let (from, to) = (self.staging.join("objects/pack"), self.objects.join("pack"));
        let failed = |error| GitError::file(&to, error);
        fs::create_dir_all(&to).map_err(failed)?;
        let mut names: Vec<_> = from
            .read_dir()
            .map_err(|error| GitError::file(&from, error))?
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| name.to_string_lossy().starts_with("pack-"))
            .collect();
        names.sort_by_key(|name| name.to_string_lossy().ends_with(".idx"));
        if names.iter().any(|name| empty(&from.join(name))) {
            return Ok(());
        }
        for name in names {
            let (source, target) = (from.join(&name), to.join(&name));
            if fs::rename(&source, &target).is_err() {
                let passing = to.join(format!("tmp_pack_{}", name.to_string_lossy()));
                fs::copy(&source, &passing).map_err(failed)?;
                let copy = fs::File::open(&passing).map_err(failed)?;
                copy.sync_all().map_err(failed)?;
                fs::rename(&passing, &target).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Whether this is a pack of no object (gitformat-pack(5): its count is the third word).
fn empty(pack: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 12];
    pack.extension().is_some_and(|kind| kind == "pack")
        && fs::File::open(pack).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
        && head.ends_with(&[0; 4])
}

fn lines(oids: &[Oid]) -> String {
    oids.iter().map(|oid| format!("{oid}\n")).collect()
}

/// Runs two commands, the first one's output into the second.
fn piped(first: &mut Command, input: &[u8], second: &mut Command) -> Result<(), GitError> {
    let mut one = first
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(GitError::Run)?;
    let between = one.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let two = second
        .stdin(between)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(GitError::Run);
    let stdin = one.stdin.take();
    let (one, two) = thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        let one = scope.spawn(|| one.wait_with_output());
        let two = two.and_then(|two| two.wait_with_output().map_err(GitError::Run));
        (one.join(), two)
    });
    let two = two?;
    let one = one
        .map_err(|_| GitError::Refused("a thread of ours ended".to_owned()))?
        .map_err(GitError::Run)?;
    for (ended, what) in [(one, "pack-objects"), (two, "index-pack")] {
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
            return Err(GitError::Git {
                what: what.to_owned(),
                said,
            });
        }
    }
    Ok(())
}
