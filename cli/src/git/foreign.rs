//! What a session left in its private git folder, taken out of it by rules: nothing in it is believed or run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::FileType;

use super::GitError;
use super::beneath::Beneath;
use super::names::{self, Logged, Oid, RefName, Value};

/// The largest index that is read, in bytes.
pub const MAX_INDEX: u64 = 1 << 30;
/// The largest file of refs, settings or logs, in bytes.
pub const MAX_SMALL: u64 = 64 << 20;
/// The largest file of objects that is taken, in bytes.
const MAX_OBJECTS: u64 = 64 << 30;
/// The most refs.
const MAX_REFS: usize = 200_000;
/// How deep refs may lie.
const MAX_DEPTH: usize = 24;
/// A loose ref holds one line.
const MAX_LINE: u64 = 4096;

/// The refs that a session left.
#[derive(Debug, Default)]
pub struct Foreign {
    /// `HEAD`.
    pub head: Option<Value>,
    /// Every ref that names an object.
    pub refs: BTreeMap<RefName, Oid>,
    /// What is stashed, oldest first.
    pub stashes: Vec<Logged>,
    /// How many things among the refs were none.
    pub odd: usize,
}

/// Reads them: the work tree's own folder is `own`, that of the refs `common`, both relative to the private folder.
pub fn read(private: &Beneath, own: &Path, common: &Path) -> io::Result<Foreign> {
    let mut found = Foreign {
        head: private
            .read(&below(own, "HEAD"), MAX_LINE)?
            .and_then(|content| names::value(&content)),
        stashes: private
            .read(&below(common, "logs/refs/stash"), MAX_SMALL)?
            .map(|content| names::log(&content))
            .unwrap_or_default(),
        ..Foreign::default()
    };
    if let Some(content) = private.read(&below(common, "packed-refs"), MAX_SMALL)? {
        let (refs, odd) = names::packed(&content);
        found.odd += odd;
        found.refs.extend(refs);
    }
    let mut folders = vec![("refs".to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for (name, kind) in private.list(&below(common, &folder))? {
            let path = format!("{folder}/{name}");
            if kind == FileType::Directory && depth < MAX_DEPTH {
                folders.push((path, depth + 1));
                continue;
            }
            let value = RefName::parse(&path).filter(|_| kind == FileType::RegularFile);
            let content = match &value {
                Some(_) => private.read(&below(common, &path), MAX_LINE)?,
                None => None,
            };
            match (value, content.and_then(|content| names::value(&content))) {
                (Some(name), Some(Value::Object(oid))) => {
                    found.refs.insert(name, oid);
                }
                // What it was packed as does not hold any more; where it leads does not matter.
                (Some(name), Some(Value::Symbolic(_))) => {
                    found.refs.remove(&name);
                }
                _ => found.odd += 1,
            }
        }
        if found.refs.len() > MAX_REFS {
            return Err(io::Error::other(format!("more than {MAX_REFS} refs")));
        }
    }
    Ok(found)
}

/// Copies the objects out of the private folder into `clean`, by the form of their names; nothing else passes, no list of
/// further folders and no index of a pack, which is made anew. Gives the names of the packs.
pub fn take_objects(private: &Path, common: &Path, clean: &Path) -> Result<Vec<String>, GitError> {
    let (from, to) = (private.join(common).join("objects"), clean.join("objects"));
    let folder = Beneath::open(private).map_err(|error| GitError::file(private, error))?;
    let list = |inner: &str| {
        folder
            .list(&below(common, inner))
            .map_err(|error| GitError::file(&from, error))
    };
    let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    for (fan, kind) in list("objects")? {
        if kind != FileType::Directory || fan.len() != 2 || !hex(&fan) {
            continue;
        }
        for (name, kind) in list(&format!("objects/{fan}"))? {
            if kind == FileType::RegularFile && matches!(name.len(), 38 | 62) && hex(&name) {
                let inner = format!("objects/{fan}/{name}");
                super::record::private_folder(&to.join(&fan))?;
                take(
                    &folder,
                    &below(common, &inner),
                    &to.join(&fan).join(&name),
                    MAX_OBJECTS,
                )?;
            }
        }
    }
    let mut packs = Vec::new();
    for (name, kind) in list("objects/pack")? {
        let stem = name
            .strip_prefix("pack-")
            .and_then(|rest| rest.strip_suffix(".pack"));
        let fits = stem.is_some_and(|stem| matches!(stem.len(), 40 | 64) && hex(stem));
        if kind == FileType::RegularFile && fits {
            let path = below(common, &format!("objects/pack/{name}"));
            take(&folder, &path, &to.join("pack").join(&name), MAX_OBJECTS)?;
            packs.push(name);
        }
    }
    Ok(packs)
}

/// Copies a regular file out: a process that still has it open must not change it afterwards.
pub fn take(from: &Beneath, inner: &str, to: &Path, max: u64) -> Result<(), GitError> {
    let copy = || {
        let Some(mut file) = from.file(inner)? else {
            return Ok(());
        };
        if file.metadata()?.len() > max {
            return Err(io::Error::other(format!("`{inner}` is too large")));
        }
        io::copy(&mut (&mut file).take(max), &mut File::create(to)?).map(drop)
    };
    copy().map_err(|error| GitError::file(to, error))
}

/// A path of text below a folder of ours.
pub fn below(folder: &Path, inner: &str) -> String {
    folder.join(inner).display().to_string()
}
