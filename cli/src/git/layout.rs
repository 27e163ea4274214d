//! Where a project's repositories lie: its own, as folder, linked worktree or separate folder, and its submodules'.
//!
//! All of it is asked of the human's git before a session begins, about what no session has written.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::GitError;
use super::command::{Git, line};
use super::worktrees::tame;

/// The most repositories that a session is given, the project's own counted.
const MAX_REPOSITORIES: usize = 24;

/// How deep submodules' folders may lie below `modules`.
const MAX_DEPTH: usize = 8;

/// One repository of a project.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Repository {
    /// Its work tree.
    pub work_tree: PathBuf,
    /// Its git folder, where `HEAD` and the index are.
    pub git_dir: PathBuf,
    /// The folder of its refs and objects: another one for a linked worktree.
    pub common_dir: PathBuf,
    /// What stands for `git_dir` in the private folder, relative to that.
    pub own: PathBuf,
    /// What stands for `common_dir` in the private folder, relative to that.
    pub common: PathBuf,
    /// How it names objects: `sha1` or `sha256`.
    pub format: String,
}

/// A project's repositories, and how a session sees them.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Where the session sees the private folder.
    pub place: PathBuf,
    /// Its `.git`, where that is a file.
    pub pointer: Option<PathBuf>,
    /// The project's own, then its submodules'.
    pub repositories: Vec<Repository>,
}

impl Layout {
    /// Finds them; `None` where the project has no `.git` of its own.
    pub fn find(git: &Git, project: &Path) -> Result<Option<Self>, GitError> {
        let dot_git = project.join(".git");
        let kind = match dot_git.symlink_metadata() {
            Ok(facts) => facts.file_type(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(GitError::file(&dot_git, error)),
        };
        if kind.is_symlink() {
            return Err(GitError::Link(dot_git));
        }
        let Found {
            git_dir,
            common_dir,
            format,
        } = found(git, project)?;
        let (place, pointer) = if kind.is_dir() {
            if git_dir != dot_git {
                return Err(GitError::Elsewhere(dot_git));
            }
            (dot_git, None)
        } else {
            (common_dir.clone(), Some(dot_git))
        };
        let own = git_dir
            .strip_prefix(&common_dir)
            .map_err(|_| GitError::Elsewhere(git_dir.clone()))?
            .to_owned();
        let mut repositories = vec![Repository {
            work_tree: project.to_owned(),
            git_dir: git_dir.clone(),
            common_dir: common_dir.clone(),
            own: own.clone(),
            common: PathBuf::new(),
            format: format.clone(),
        }];
        submodules(git, project, &git_dir, &own, MAX_DEPTH, &mut repositories)?;
        work_trees(project, &common_dir, &format, &mut repositories)?;
        Ok(Some(Self {
            place,
            pointer,
            repositories,
        }))
    }

    /// The `.git` files of submodules and further work trees.
    pub fn inner_pointers(&self) -> impl Iterator<Item = PathBuf> {
        let inner = self.repositories.iter().skip(1);
        inner.map(|repository| repository.work_tree.join(".git"))
    }
}

/// What git says of a folder.
struct Found {
    git_dir: PathBuf,
    common_dir: PathBuf,
    format: String,
}

fn found(git: &Git, at: &Path) -> Result<Found, GitError> {
    let mut ask = git.at(at);
    ask.args(["rev-parse", "--path-format=absolute", "--absolute-git-dir"]);
    let printed = line(ask.args(["--git-common-dir", "--show-object-format"]))?;
    let mut lines = printed.lines().map(str::to_owned);
    let (Some(git_dir), Some(common_dir), Some(format), None) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(GitError::Elsewhere(at.to_owned()));
    };
    let folder = |path: String| {
        let path = PathBuf::from(path);
        path.canonicalize()
            .map_err(|error| GitError::file(&path, error))
    };
    Ok(Found {
        git_dir: folder(git_dir)?,
        common_dir: folder(common_dir)?,
        format,
    })
}

/// The submodules that are checked out in the project and keep their git folders below `git_dir/modules`.
fn submodules(
    git: &Git,
    project: &Path,
    git_dir: &Path,
    own: &Path,
    depth: usize,
    found: &mut Vec<Repository>,
) -> Result<(), GitError> {
    let modules = git_dir.join("modules");
    let mut folders = vec![(modules, own.join("modules"), depth)];
    while let Some((folder, inner, depth)) = folders.pop() {
        let Ok(entries) = folder.read_dir() else {
            continue;
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || depth == 0 {
                continue;
            }
            let (path, inner) = (entry.path(), inner.join(entry.file_name()));
            if !path.join("HEAD").is_file() {
                folders.push((path, inner, depth - 1));
                continue;
            }
            let Some(work_tree) = work_tree(git, project, &path) else {
                continue;
            };
            if found.len() >= MAX_REPOSITORIES {
                return Err(GitError::Many("submodules", MAX_REPOSITORIES - 1));
            }
            let format = self::found(git, &work_tree)?.format;
            found.push(Repository {
                format,
                work_tree,
                git_dir: path.clone(),
                common_dir: path.clone(),
                own: inner.clone(),
                common: inner.clone(),
            });
            submodules(git, project, &path, &inner, depth - 1, found)?;
        }
    }
    Ok(())
}

/// Further work trees of the project's own repository that lie in the project.
fn work_trees(
    project: &Path,
    common_dir: &Path,
    format: &str,
    found: &mut Vec<Repository>,
) -> Result<(), GitError> {
    let folder = common_dir.join("worktrees");
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let git_dir = entry.path();
        let name = entry.file_name();
        let Some(work_tree) = linked(project, &git_dir) else {
            continue;
        };
        if !name.to_str().is_some_and(tame) {
            continue;
        }
        if found.len() >= MAX_REPOSITORIES {
            return Err(GitError::Many("work trees", MAX_REPOSITORIES - 1));
        }
        found.push(Repository {
            work_tree,
            git_dir,
            common_dir: common_dir.to_owned(),
            own: Path::new("worktrees").join(name),
            common: PathBuf::new(),
            format: format.to_owned(),
        });
    }
    Ok(())
}

/// Where a linked work tree is, if that is within the project and points back.
fn linked(project: &Path, git_dir: &Path) -> Option<PathBuf> {
    let pointer = std::fs::read_to_string(git_dir.join("gitdir")).ok()?;
    let work_tree = git_dir
        .join(pointer.trim_end())
        .parent()?
        .canonicalize()
        .ok()?;
    let dot_git = work_tree.join(".git");
    let content = std::fs::read_to_string(&dot_git).ok()?;
    let target = content.trim_end().strip_prefix("gitdir: ")?;
    let back = work_tree.join(target).canonicalize().ok()?;
    let inside = work_tree.starts_with(project) && work_tree != project;
    let plain = dot_git.symlink_metadata().ok()?.is_file();
    (inside && plain && back == git_dir).then_some(work_tree)
}

/// Where a submodule is checked out, if that is in the project and points back.
fn work_tree(git: &Git, project: &Path, git_dir: &Path) -> Option<PathBuf> {
    let mut config = git.at(git_dir);
    let config = config
        .arg("config")
        .arg("--file")
        .arg(git_dir.join("config"));
    let named = line(config.args(["--get", "core.worktree"])).ok()?;
    let work_tree = git_dir.join(named).canonicalize().ok()?;
    let pointer = std::fs::read_to_string(work_tree.join(".git")).ok()?;
    let target = pointer.trim_end().strip_prefix("gitdir: ")?;
    let back = work_tree.join(target).canonicalize().ok()?;
    (work_tree.starts_with(project) && back == git_dir).then_some(work_tree)
}
