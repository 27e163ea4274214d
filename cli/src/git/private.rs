//! A private git folder for a session: written file by file from what the repository says, its objects lent.
//!
//! No hook, no settings file and no program passes; what is made here is the agent's to write.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::GitError;
use super::beneath::own_file;
use super::command::{Git, line, output};
use super::config;
use super::foreign::{MAX_INDEX, MAX_SMALL};
use super::layout::Repository;
use super::names::{self, Oid, RefName, Value};
use super::record::{Before, private_folder};

/// Where the real objects appear, relative to a repository's common folder.
pub const LENT: &str = "holdfast";

/// The most folders that a repository may borrow objects from.
const MAX_ALTERNATES: usize = 8;

/// What a merge, a pick or a revert has in progress, and a clone's edge: plain data.
const STATE: [&str; 8] = [
    "MERGE_HEAD",
    "MERGE_MSG",
    "MERGE_MODE",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "ORIG_HEAD",
    "FETCH_HEAD",
    "SQUASH_MSG",
];

/// What a merge, a pick or a revert in progress is told by.
pub const UNDER_WAY: [&str; 3] = ["MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD"];

/// A folder of objects to be lent.
#[derive(Debug)]
pub struct Objects {
    /// Where it is.
    pub source: PathBuf,
    /// Where it goes, relative to the private folder.
    pub inner: PathBuf,
}

/// What was there, and what has to be lent with the private folder.
#[derive(Debug)]
pub struct Made {
    /// What was there.
    pub before: Before,
    /// Objects, read-only.
    pub objects: Vec<Objects>,
    /// Lists of further objects, which an empty file hides: they are named already.
    pub hidden: Vec<PathBuf>,
}

/// Writes what stands for `repository` below `private`; the session sees `private` at `place`.
pub fn make(
    git: &Git,
    repository: &Repository,
    private: &Path,
    place: &Path,
    scratch: &Path,
) -> Result<Made, GitError> {
    let (own, common) = (
        private.join(&repository.own),
        private.join(&repository.common),
    );
    let before = before(git, repository, scratch)?;
    for folder in [
        "objects/info",
        "objects/pack",
        "refs/heads",
        "refs/tags",
        "info",
        "logs/refs",
    ] {
        private_folder(&common.join(folder))?;
    }
    private_folder(&own)?;
    write(&common.join("config"), config_file(&before).as_bytes())?;
    write(&common.join("packed-refs"), packed(&before.refs).as_bytes())?;
    for (name, target) in &before.symbolic {
        let path = common.join(name.as_str());
        if let Some(folder) = path.parent() {
            private_folder(folder)?;
        }
        write(&path, format!("ref: {target}\n").as_bytes())?;
    }
    head(&before, repository, &own, &common)?;
    let (git_dir, common_dir) = (&repository.git_dir, &repository.common_dir);
    for name in [
        "info/exclude",
        "info/attributes",
        "shallow",
        "logs/refs/stash",
    ] {
        copy(&common_dir.join(name), &common.join(name), MAX_SMALL)?;
    }
    private_folder(&own.join("info"))?;
    copy(
        &git_dir.join("info/sparse-checkout"),
        &own.join("info/sparse-checkout"),
        MAX_SMALL,
    )?;
    for name in STATE {
        copy(&git_dir.join(name), &own.join(name), MAX_SMALL)?;
    }
    index(git_dir, &own)?;
    if own != common {
        // Set by us for the place inside, as the real ones are for the host.
        write(&own.join("commondir"), b"../..\n")?;
        let pointer = repository.work_tree.join(".git");
        write(
            &own.join("gitdir"),
            format!("{}\n", pointer.display()).as_bytes(),
        )?;
    }
    let mut made = Made {
        before,
        objects: Vec::new(),
        hidden: Vec::new(),
    };
    lend_objects(repository, private, place, &mut made)?;
    Ok(made)
}

/// Lets the broker read what is in the private folder, as it reads a project: by the descriptor that it is given. For
/// everybody else the folder around it is closed.
pub fn open_up(folder: &Path) -> Result<(), GitError> {
    let failed = |error| GitError::file(folder, error);
    fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(failed)?;
    for entry in folder.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            open_up(&entry.path())?;
        } else {
            readable(&entry.path())?;
        }
    }
    Ok(())
}

/// As [`open_up`], of one file.
pub fn readable(file: &Path) -> Result<(), GitError> {
    let open = Permissions::from_mode(0o644);
    fs::set_permissions(file, open).map_err(|error| GitError::file(file, error))
}

/// What the repository has, asked of git.
pub fn before(git: &Git, repository: &Repository, scratch: &Path) -> Result<Before, GitError> {
    let of = || git.of(&repository.git_dir, &repository.work_tree);
    let (refs, symbolic) = refs(git, repository)?;
    let stashes = own_file(&repository.common_dir.join("logs/refs/stash"), MAX_SMALL)
        .map_err(|error| GitError::file(&repository.common_dir, error))?
        .unwrap_or_default();
    Ok(Before {
        head: self::head_of(git, repository),
        refs,
        symbolic,
        stashes: names::log(&stashes)
            .into_iter()
            .map(|entry| entry.oid)
            .collect(),
        index: index_tree(git, repository, scratch)?,
        settings: config::settings(&output(of().args(["config", "--list", "-z"]), b"")?),
        under_way: under_way(&repository.git_dir),
        repository: repository.clone(),
    })
}

/// What is in progress in the human's git folder.
pub fn under_way(git_dir: &Path) -> BTreeMap<String, String> {
    UNDER_WAY
        .iter()
        .filter_map(|name| {
            let content = own_file(&git_dir.join(name), MAX_SMALL).ok()??;
            Some((
                (*name).to_owned(),
                String::from_utf8_lossy(&content).into_owned(),
            ))
        })
        .collect()
}

/// `HEAD`, as it is now.
pub fn head_of(git: &Git, repository: &Repository) -> Option<Value> {
    let of = || git.of(&repository.git_dir, &repository.work_tree);
    let branch = line(of().args(["symbolic-ref", "--quiet", "HEAD"])).ok();
    if let Some(branch) = branch.and_then(|name| RefName::parse(&name)) {
        return Some(Value::Symbolic(branch));
    }
    let detached = line(of().args(["rev-parse", "--quiet", "--verify", "HEAD"])).ok()?;
    Oid::parse(&detached).map(Value::Object)
}

type Refs = (BTreeMap<RefName, Oid>, BTreeMap<RefName, RefName>);

/// The refs that are there now, but for those of one work tree alone.
pub fn refs(git: &Git, repository: &Repository) -> Result<Refs, GitError> {
    let mut list = git.of(&repository.git_dir, &repository.work_tree);
    let form = "--format=%(objectname) %(refname) %(symref)";
    let printed = output(list.args(["for-each-ref", form]), b"")?;
    let (mut refs, mut symbolic) = Refs::default();
    for line in String::from_utf8_lossy(&printed).lines() {
        let mut parts = line.split(' ');
        let (oid, name, target) = (parts.next(), parts.next(), parts.next());
        let Some(name) = name.and_then(RefName::parse) else {
            continue;
        };
        if ["refs/bisect/", "refs/worktree/", "refs/rewritten/"]
            .iter()
            .any(|own| name.as_str().starts_with(own))
        {
            continue;
        }
        if let Some(target) = target.and_then(RefName::parse) {
            symbolic.insert(name, target);
        } else if let Some(oid) = oid.and_then(Oid::parse) {
            refs.insert(name, oid);
        }
    }
    Ok((refs, symbolic))
}

/// The tree that the human's index makes, without writing anything into the repository.
pub fn index_tree(
    git: &Git,
    repository: &Repository,
    scratch: &Path,
) -> Result<Option<Oid>, GitError> {
    let index = repository.git_dir.join("index");
    if !index.is_file() {
        return Ok(None);
    }
    super::clean::make(scratch, &repository.format)?;
    copy(&index, &scratch.join("index"), MAX_INDEX)?;
    shared_indexes(&repository.git_dir, scratch)?;
    let objects = repository.common_dir.join("objects");
    let written = line(git.clean(scratch, &[&objects]).arg("write-tree"));
    // What is in conflict makes no tree.
    Ok(written.ok().and_then(|tree| Oid::parse(&tree)))
}

/// The settings that a session's folder has.
pub fn config_file(before: &Before) -> String {
    let mut settings = before.settings.clone();
    let own_place = before.repository.own == before.repository.common;
    // A linked work tree's own place is told by its folder; a submodule's by the setting.
    settings.retain(|setting| {
        setting.key != "worktree" || (own_place && !before.repository.own.as_os_str().is_empty())
    });
    let version = if before.repository.format == "sha1" {
        0
    } else {
        1
    };
    format!(
        "[core]\n\trepositoryformatversion = {version}\n{}",
        config::file(&settings)
    )
}

fn packed(refs: &BTreeMap<RefName, Oid>) -> String {
    refs.iter()
        .map(|(name, oid)| format!("{oid} {name}\n"))
        .collect()
}

fn head(
    before: &Before,
    repository: &Repository,
    own: &Path,
    common: &Path,
) -> Result<(), GitError> {
    let text = match &before.head {
        Some(Value::Symbolic(name)) => format!("ref: {name}\n"),
        Some(Value::Object(oid)) => format!("{oid}\n"),
        None => "ref: refs/heads/main\n".to_owned(),
    };
    write(&own.join("HEAD"), text.as_bytes())?;
    if repository.own != repository.common && !common.join("HEAD").exists() {
        // The main work tree is not in the session; git still keeps its branch from being taken.
        let path = repository.common_dir.join("HEAD");
        let main = own_file(&path, MAX_SMALL).map_err(|error| GitError::file(&path, error))?;
        let main = main.filter(|main| names::value(main).is_some());
        let elsewhere = || b"ref: refs/holdfast/elsewhere\n".to_vec();
        write(&common.join("HEAD"), &main.unwrap_or_else(elsewhere))?;
    }
    Ok(())
}

fn index(git_dir: &Path, own: &Path) -> Result<(), GitError> {
    copy(&git_dir.join("index"), &own.join("index"), MAX_INDEX)?;
    shared_indexes(git_dir, own)
}

/// What an index that is split refers to.
fn shared_indexes(git_dir: &Path, to: &Path) -> Result<(), GitError> {
    let entries = git_dir
        .read_dir()
        .map_err(|error| GitError::file(git_dir, error))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("sharedindex.") {
            copy(&entry.path(), &to.join(name), MAX_INDEX)?;
        }
    }
    Ok(())
}

/// The repository's own objects, and those that it borrows itself.
fn lend_objects(
    repository: &Repository,
    private: &Path,
    place: &Path,
    made: &mut Made,
) -> Result<(), GitError> {
    let common = private.join(&repository.common);
    let mut list = String::new();
    let mut sources = vec![repository.common_dir.join("objects")];
    let mut next = 0;
    while let Some(source) = sources.get(next).cloned() {
        let number = if next == 0 {
            String::new()
        } else {
            next.to_string()
        };
        next += 1;
        let inner = repository.common.join(format!("{LENT}{number}/objects"));
        private_folder(&private.join(&inner))?;
        list.push_str(&format!("{}\n", place.join(&inner).display()));
        let alternates = source.join("info/alternates");
        let further =
            own_file(&alternates, MAX_SMALL).map_err(|error| GitError::file(&alternates, error))?;
        if let Some(further) = further {
            made.hidden.push(inner.join("info/alternates"));
            for line in String::from_utf8_lossy(&further).lines() {
                let path = source.join(line.trim());
                // One that is gone is no more to git either.
                if let Ok(path) = path.canonicalize()
                    && !line.starts_with('#')
                    && !sources.contains(&path)
                {
                    sources.push(path);
                }
            }
        }
        if sources.len() > MAX_ALTERNATES {
            return Err(GitError::Many("borrowed object folders", MAX_ALTERNATES));
        }
        made.objects.push(Objects { source, inner });
    }
    let lfs = repository.common_dir.join("lfs/objects");
    if lfs.is_dir() {
        // Beside the lent objects is where git-lfs looks for those of an alternate.
        let inner = repository.common.join(LENT).join("lfs/objects");
        private_folder(&private.join(&inner))?;
        made.objects.push(Objects { source: lfs, inner });
    }
    write(&common.join("objects/info/alternates"), list.as_bytes())
}

fn write(path: &Path, content: &[u8]) -> Result<(), GitError> {
    fs::write(path, content).map_err(|error| GitError::file(path, error))
}

/// Copies a file of the human's, where it is there.
pub fn copy(from: &Path, to: &Path, max: u64) -> Result<(), GitError> {
    match own_file(from, max).map_err(|error| GitError::file(from, error))? {
        Some(content) => write(to, &content),
        None => Ok(()),
    }
}
