//! Everything by which a git folder runs code, set by an agent: the human's next commands run none of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_hardware_tests::harness::{Scratch, git, plain_git};

use super::{Stage, fails};

/// What a human does next, in the project and in every folder of it.
fn goes_on(project: &Path) {
    let mut folders = vec![project.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.path().is_dir() && entry.file_name() != ".git" {
                folders.push(entry.path());
            }
        }
    }
    for folder in folders {
        // Any of them may fail; none of them may run anything.
        for arguments in [
            &["status"][..],
            &["diff"],
            &["st"],
            &["log", "-1", "-p"],
            &["checkout", "-q", "-B", "next"],
            &["add", "-A", "."],
            &["commit", "-q", "--allow-empty", "-m", "Next"],
            &["fetch", "-q", "--all"],
            &["submodule", "update", "--init"],
        ] {
            plain_git(&folder).args(arguments).output().unwrap();
        }
    }
}

/// A program that says in `tripped` that it ran.
fn trap(project: &Path, tripped: &Path) -> PathBuf {
    let trap = project.join("trap");
    let program = format!("#!/bin/sh\ntouch {}\ncat\n", tripped.display());
    fs::write(&trap, program).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    trap
}

/// Lets an agent plant `script`, whose program says so in `tripped`, and the human go on; what the report said.
fn planted(script: &str) -> Option<(Stage, String)> {
    let stage = Stage::set()?;
    let tripped = stage.world.scratch.join("tripped");
    let trap = trap(&stage.project, &tripped);
    stage.git(&["add", "trap"]);
    stage.git(&["commit", "-qm", "A program"]);
    let ran = stage.session(&format!("TRAP={}\n{script}", trap.display()));
    assert_eq!(ran.code, 0, "{ran:#?}");
    goes_on(&stage.project);
    assert!(!tripped.exists(), "it ran: {ran:#?}");
    Some((stage, ran.stderr))
}

#[test]
fn where_nothing_guards_them_the_traps_spring() {
    // So that the tests below can fail: each of these is set where the human's own git reads it.
    for set in [
        "git config core.fsmonitor $TRAP",
        "git config alias.st \"!$TRAP\"",
        "git config diff.external $TRAP; echo more >> trap",
        "cp $TRAP .git/hooks/post-checkout",
        "mkdir hooks; cp $TRAP hooks/post-commit; git config core.hooksPath $PWD/hooks",
        "git config filter.x.clean $TRAP; echo '* filter=x' > .git/info/attributes; echo x > new",
        "printf '[core]\\n\\tfsmonitor = %s\\n' $TRAP > more; git config include.path $PWD/more",
    ] {
        let scratch = Scratch::new();
        let project = scratch.folder("project");
        super::begin(&project);
        let tripped = scratch.join("tripped");
        let trap = trap(&project, &tripped);
        git(&project, &["add", "trap"]);
        git(&project, &["commit", "-qm", "A program"]);
        let mut plant = Command::new("sh");
        plant.args(["-ec", set]).env("TRAP", trap);
        assert!(
            plant.current_dir(&project).status().unwrap().success(),
            "{set}"
        );
        goes_on(&project);
        assert!(tripped.exists(), "{set}");
    }
}

#[test]
fn settings_hooks_and_where_git_looks_further_are_left_behind() {
    let planted = planted(
        "for key in core.fsmonitor core.pager core.editor core.sshCommand diff.external filter.x.clean \
            filter.x.smudge filter.x.process diff.x.textconv diff.x.command merge.x.driver gpg.program \
            alias.status credential.helper uploadpack.packObjectsHook core.gitProxy; do
            git config $key $TRAP; done
         git config alias.st \"!$TRAP\"; git config core.hooksPath $PWD/hooks; git config include.path $PWD/more
         git config core.attributesFile $PWD/attributes
         printf '[core]\\n\\tfsmonitor = %s\\n' $TRAP > more; printf '* filter=x diff=x merge=x\\n' > attributes
         cp attributes .git/info/attributes
         mkdir hooks; for hook in pre-commit post-checkout post-commit reference-transaction post-index-change \
            prepare-commit-msg commit-msg fsmonitor-watchman; do
            cp $TRAP .git/hooks/$hook 2> /dev/null || { mkdir -p .git/hooks; cp $TRAP .git/hooks/$hook; }
            cp $TRAP hooks/$hook; done
         mkdir elsewhere; cp -r .git/config .git/hooks elsewhere/; echo $PWD/elsewhere > .git/commondir
         echo $PWD/elsewhere > .git/objects/info/alternates
         cp .git/config .git/config.worktree
         rm .git/commondir; git -c core.fsmonitor= -c core.hooksPath=/dev/null -c core.pager=cat status > /dev/null || true
         echo $PWD/elsewhere > .git/commondir",
    );
    let Some((stage, _)) = planted else { return };
    let config = fs::read_to_string(stage.project.join(".git/config")).unwrap();
    assert!(!config.contains("trap"), "{config}");
    assert!(!stage.project.join(".git/commondir").exists());
    assert!(!stage.project.join(".git/hooks/pre-commit").exists());
}

#[test]
fn dot_git_cannot_be_moved_away() {
    let planted = planted(
        "! mv .git .git2; ! rm -rf .git 2> /dev/null; ! ln -sfn /tmp .git/../.git2/x; \
         ! rmdir .git 2> /dev/null; ! mount --bind /tmp .git 2> /dev/null; true",
    );
    let Some((stage, _)) = planted else { return };
    assert_eq!(stage.git(&["symbolic-ref", "HEAD"]), "refs/heads/next");
    assert!(!stage.project.join(".git2").exists());
    // All that it could do is to empty its own: no branch of the human's goes with it.
    assert_eq!(
        stage.git(&["log", "-1", "--format=%s", "main"]),
        "A program"
    );
}

#[test]
fn a_repository_made_inside_is_renamed_before_the_human_enters_it() {
    let planted = planted(
        "for folder in src/nested 'with space'; do mkdir -p \"$folder\"; git init -q \"$folder\"
            git -C \"$folder\" config core.fsmonitor $TRAP; done
         git init -q --bare bare; git -C bare config core.fsmonitor $TRAP
         git -C bare config core.bare false; git -C bare config core.worktree $PWD
         mkdir linked pointed common; ln -s ../bare linked/.git; echo \"gitdir: $PWD/bare\" > pointed/.git
         cp bare/HEAD common/; echo $PWD/bare > common/commondir
         git worktree add -q wt -b wt",
    );
    let Some((stage, said)) = planted else { return };
    for name in [
        "src/nested/.git",
        "with space/.git",
        "bare",
        "linked/.git",
        "pointed/.git",
        "common",
    ] {
        let place = stage.project.join(name);
        assert!(place.symlink_metadata().is_err(), "{name}\n{said}");
        let renamed = format!("{}.holdfast-quarantine-1", place.display());
        assert!(said.contains(&renamed), "{name}\n{said}");
        assert!(fs::symlink_metadata(renamed).is_ok(), "{name}");
    }
    // What is said brings it back.
    let back = said
        .lines()
        .find(|line| line.contains("/bare.holdfast-quarantine-1"))
        .unwrap();
    let command = back.split("then: ").nth(1).unwrap();
    assert!(
        std::process::Command::new("sh")
            .args(["-c", command])
            .status()
            .unwrap()
            .success()
    );
    assert!(!fails(
        &stage.project.join("bare"),
        &["rev-parse", "--git-dir"]
    ));
}

#[test]
fn a_repository_that_was_there_is_renamed_when_what_runs_in_it_changed() {
    let Some(stage) = Stage::set() else { return };
    for name in ["vendor/a", "vendor/b", "vendor/c"] {
        let folder = stage.project.join(name);
        fs::create_dir_all(&folder).unwrap();
        super::begin(&folder);
    }
    let ran = stage.session(
        "git -C vendor/a config core.fsmonitor /bin/false
         mkdir -p vendor/b/.git/hooks; printf '#!/bin/sh\\n' > vendor/b/.git/hooks/pre-commit
         cd vendor/c; echo x > x; git add x; git commit -qm X",
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    for name in ["vendor/a", "vendor/b"] {
        assert!(!stage.project.join(name).join(".git").exists(), "{ran:#?}");
    }
    let ordinary = stage.project.join("vendor/c");
    assert_eq!(git(&ordinary, &["log", "-1", "--format=%s"]).trim(), "X");
}

#[test]
fn settings_in_the_project_that_the_human_includes_are_renamed_when_they_changed() {
    let Some(stage) = Stage::set() else { return };
    let tripped = stage.world.scratch.join("tripped");
    stage.git(&["config", "include.path", "../.gitconfig"]);
    stage.git(&["config", "core.hooksPath", "hooks"]);
    let ran = stage.session(&format!(
        "printf '[core]\\n\\tfsmonitor = touch {}\\n' > .gitconfig; mkdir hooks; echo x > hooks/pre-commit",
        tripped.display()
    ));
    assert_eq!(ran.code, 0, "{ran:#?}");
    stage.git(&["status"]);
    assert!(!tripped.exists(), "{ran:#?}");
    assert!(
        ran.stderr.contains(".gitconfig.holdfast-quarantine-1"),
        "{ran:#?}"
    );
    assert!(
        ran.stderr.contains("the session changed hooks in"),
        "{ran:#?}"
    );
}

#[test]
fn a_project_without_git_that_becomes_a_git_folder_itself_is_none_afterwards() {
    let Some(stage) = Stage::set() else { return };
    let plain = stage.world.scratch.folder("home/plain");
    let tripped = stage.world.scratch.join("tripped");
    let ran = stage.session_in(
        &plain,
        &format!(
            "git init -q --bare .; git config core.bare false; git config core.worktree $PWD
             git config core.fsmonitor 'touch {}'",
            tripped.display()
        ),
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(fails(&plain, &["status"]), "{ran:#?}");
    assert!(!tripped.exists());
    assert!(
        ran.stderr.contains("HEAD.holdfast-quarantine-1"),
        "{ran:#?}"
    );
}

#[test]
fn no_session_can_write_what_is_kept_of_sessions() {
    let Some(stage) = Stage::set() else { return };
    let home = stage.world.scratch.folder("home");
    let ran = stage.session_in(&home, "echo began");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:#?}");
    assert!(ran.stderr.contains("lies in the project"), "{ran:#?}");
}
