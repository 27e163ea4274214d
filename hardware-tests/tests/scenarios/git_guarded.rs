//! Promise 5: what an agent writes into git never runs as its human, and nothing of its work is lost.

mod large_files;
mod meanwhile;
mod objects;
mod shapes;
mod traps;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_hardware_tests::harness::{git, plain_git};
use holdfast_hardware_tests::world::{Ran, World};

/// A sealed world, and a human's project with a history in it.
struct Stage {
    world: World,
    project: PathBuf,
}

impl Stage {
    fn set() -> Option<Self> {
        let world = World::sealed()?;
        let project = world.scratch.folder("home/src/project");
        begin(&project);
        Some(Self { world, project })
    }

    fn command(&self, project: &Path, script: &str) -> Command {
        let mut run = self.world.broker.holdfast_command();
        run.current_dir(project)
            .env("HOME", self.world.scratch.join("home"))
            .env("XDG_STATE_HOME", self.world.scratch.join("home/state"))
            .args(["run", "--project"])
            .arg(project)
            .args(["--", "bash", "-ec", script]);
        run
    }

    /// Runs `script` in a sealed session of the project.
    fn session(&self, script: &str) -> Ran {
        self.session_in(&self.project, script)
    }

    fn session_in(&self, project: &Path, script: &str) -> Ran {
        ran(&mut self.command(project, script))
    }

    fn holdfast(&self, arguments: &[&str]) -> Ran {
        let mut command = self.world.broker.holdfast_command();
        command.env("XDG_STATE_HOME", self.world.scratch.join("home/state"));
        ran(command.args(arguments))
    }

    /// What is kept of sessions' git.
    fn kept(&self) -> Vec<PathBuf> {
        let folder = self.world.scratch.join("home/state/holdfast/git");
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Git, as the human runs it in the project.
    fn git(&self, arguments: &[&str]) -> String {
        git(&self.project, arguments).trim_end().to_owned()
    }
}

fn ran(command: &mut Command) -> Ran {
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A repository with a history, of a human who has a name.
fn begin(project: &Path) {
    git(project, &["init", "--quiet", "-b", "main"]);
    for (key, value) in [("user.name", "kelp"), ("user.email", "kelp@rock.test")] {
        git(project, &["config", key, value]);
    }
    for (file, message) in [("one", "Begin"), ("two", "Go on")] {
        fs::write(project.join(file), format!("{file}\n")).unwrap();
        git(project, &["add", file]);
        git(project, &["commit", "--quiet", "-m", message]);
    }
}

fn fails(folder: &Path, arguments: &[&str]) -> bool {
    !plain_git(folder)
        .args(arguments)
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn git_works_in_full_inside_and_everything_comes_back() {
    let Some(stage) = Stage::set() else { return };
    stage.git(&["branch", "old"]);
    stage.git(&["branch", "doomed"]);
    fs::write(stage.project.join("stashed"), "by the human\n").unwrap();
    stage.git(&["add", "stashed"]);
    stage.git(&["stash", "-q", "-m", "the human's"]);
    let ran = stage.session(
        "git status --porcelain
         echo three > three; git add three; git commit -qm Three
         git log --oneline | wc -l
         git checkout -qb topic/a; echo x >> one; git commit -qam 'On a topic'
         git tag v1; git tag -a -m annotated v2
         git checkout -q main; git merge -q --no-ff -m Merge topic/a
         git branch -D doomed; git branch -m old new
         git checkout -q topic/a; echo y >> two; git commit -qam More; git rebase -q main
         git stash list; echo stash >> one; git stash -qm \"the session's\"
         git notes add -m noted main
         git config user.name agent; git remote add fork https://fork.example/x.git
         git gc -q; git fsck --strict; git reflog > /dev/null
         git worktree add -q /tmp/wt -b wt; (cd /tmp/wt && echo w > w && git add w && git commit -qm W)
         echo staged > staged; git add staged; echo more >> staged; echo untracked > untracked
         git status --short",
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    println!("{}", ran.stderr);
    assert_eq!(stage.git(&["symbolic-ref", "HEAD"]), "refs/heads/topic/a");
    assert_eq!(
        stage.git(&["for-each-ref", "--format=%(refname)"]),
        "refs/heads/main\nrefs/heads/new\nrefs/heads/topic/a\nrefs/heads/wt\nrefs/notes/commits\n\
         refs/stash\nrefs/tags/v1\nrefs/tags/v2"
    );
    assert_eq!(stage.git(&["status", "--short"]), "AM staged\n?? untracked");
    assert_eq!(stage.git(&["show", ":staged"]), "staged");
    assert_eq!(
        stage.git(&["stash", "list"]),
        "stash@{0}: On topic/a: the session's\nstash@{1}: On main: the human's"
    );
    assert_eq!(stage.git(&["log", "-1", "--format=%s", "main"]), "Merge");
    assert_eq!(stage.git(&["notes", "show", "main"]), "noted");
    stage.git(&["fsck", "--strict"]);
    // Settings are the human's: a name is not taken over, a remote is offered.
    assert_eq!(stage.git(&["config", "user.name"]), "kelp");
    assert_eq!(stage.git(&["remote"]), "");
    assert!(
        ran.stderr
            .contains("git remote add fork https://fork.example/x.git"),
        "{ran:#?}"
    );
    assert!(ran.stderr.contains("main: 3 commits"), "{ran:#?}");
    assert!(ran.stderr.contains("doomed: deleted (was "), "{ran:#?}");
    assert!(stage.kept().is_empty(), "nothing stays when all is back");
}

#[test]
fn a_merge_that_the_human_began_is_finished_inside() {
    let Some(stage) = Stage::set() else { return };
    stage.git(&["checkout", "-qb", "other"]);
    fs::write(stage.project.join("one"), "other\n").unwrap();
    stage.git(&["commit", "-qam", "Other"]);
    stage.git(&["checkout", "-q", "main"]);
    fs::write(stage.project.join("one"), "main\n").unwrap();
    stage.git(&["commit", "-qam", "Main"]);
    assert!(fails(&stage.project, &["merge", "-q", "other"]));
    let ran = stage.session(
        "git status --short; echo both > one; git add one; git commit -qm Both; git log -1 --format=%p",
    );
    assert!(ran.stdout.starts_with("UU one\n"), "{ran:#?}");
    assert_eq!(stage.git(&["status"]).lines().count(), 2, "{ran:#?}");
    assert_eq!(stage.git(&["log", "-1", "--format=%s"]), "Both");
    let parents = stage.git(&["log", "-1", "--format=%p"]);
    assert_eq!(parents.split(' ').count(), 2);
    assert!(stage.kept().is_empty(), "{ran:#?}");
}

#[test]
fn a_session_that_does_nothing_changes_nothing() {
    let Some(stage) = Stage::set() else { return };
    fs::write(stage.project.join("staged"), "x\n").unwrap();
    stage.git(&["add", "staged"]);
    let everything = |project: &Path| {
        let listed = Command::new("sh")
            .args(["-c", "find .git -type f | sort | xargs sha256sum"])
            .current_dir(project)
            .output()
            .unwrap();
        String::from_utf8(listed.stdout).unwrap()
    };
    let before = everything(&stage.project);
    let ran = stage.session("git status --short; git diff --cached --stat");
    assert!(ran.stdout.starts_with("A  staged\n"), "{ran:#?}");
    assert_eq!(ran.stderr, "");
    assert_eq!(everything(&stage.project), before);
}
