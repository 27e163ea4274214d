//! Every shape that a project's repository has: linked work trees, submodules, borrowed objects, large files, many files.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use holdfast_hardware_tests::harness::{git, plain_git};
use holdfast_proof::hash::sha256;

use super::{Stage, begin};

#[test]
fn a_linked_work_tree_is_worked_in_and_its_main_one_is_left_alone() {
    let Some(stage) = Stage::set() else { return };
    let linked = stage.world.scratch.join("home/src/linked");
    let name = linked.display().to_string();
    stage.git(&["worktree", "add", "-q", "-b", "topic", &name]);
    let ran = stage.session_in(
        &linked,
        "git status --short; echo l > l; git add l; git commit -qm Linked; git branch extra
         git branch -f main 2>&1 && echo TAKEN; git update-ref refs/heads/main topic
         git config core.fsmonitor /bin/false; ! rm -f .git 2> /dev/null; ! mv .git x 2> /dev/null
         echo staged > s; git add s",
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(!ran.stdout.contains("TAKEN"), "{ran:#?}");
    assert_eq!(git(&linked, &["log", "-1", "--format=%s"]).trim(), "Linked");
    assert_eq!(git(&linked, &["status", "--short"]).trim(), "A  s");
    assert_eq!(stage.git(&["log", "-1", "--format=%s", "extra"]), "Linked");
    // The main work tree stands on `main`: nobody moves it underneath.
    assert_eq!(stage.git(&["log", "-1", "--format=%s", "main"]), "Go on");
    assert_eq!(stage.git(&["status", "--short"]), "");
    assert!(!stage.git(&["config", "--list"]).contains("fsmonitor"));
    assert!(stage.kept().is_empty());
}

#[test]
fn a_work_tree_that_a_session_adds_is_the_humans_and_the_next_sessions() {
    let Some(stage) = Stage::set() else { return };
    let ran = stage.session(
        "git worktree add -q trees/a -b a; cd trees/a; echo a > a; git add a; git commit -qm A
         git worktree add -q --detach ../b; git -C ../b config core.fsmonitor /bin/false",
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    let (a, b) = (stage.project.join("trees/a"), stage.project.join("trees/b"));
    assert_eq!(git(&a, &["status", "--short", "--branch"]), "## a\n");
    assert_eq!(git(&b, &["log", "-1", "--format=%s"]), "A\n", "{ran:#?}");
    assert!(!stage.git(&["config", "--list"]).contains("fsmonitor"));
    assert!(!ran.stderr.contains("quarantine"), "{ran:#?}");

    let ran = stage.session(
        "cd trees/a; git log -1 --format=%s; echo more >> a; git commit -qam More; echo staged > s; git add s
         cd ../b; git checkout -q -b topic; ! rm -f .git 2> /dev/null",
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "A\n"), "{ran:#?}");
    assert_eq!(git(&a, &["log", "-1", "--format=%s"]), "More\n");
    assert_eq!(git(&a, &["status", "--short", "--branch"]), "## a\nA  s\n");
    assert_eq!(git(&b, &["status", "--short", "--branch"]), "## topic\n");
    assert!(stage.kept().is_empty(), "{ran:#?}");

    // One whose `.git` says something else than git wrote is none.
    let ran = stage.session(
        "git worktree add -q trees/c -b c; cp -r .git/worktrees/c evil; echo \"gitdir: $PWD/evil\" > trees/c/.git
         git worktree add -q trees/d -b d; echo /etc > .git/worktrees/d/commondir",
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(!stage.project.join("trees/c/.git").exists(), "{ran:#?}");
    let common = git(
        &stage.project.join("trees/d"),
        &["rev-parse", "--git-common-dir"],
    );
    assert_eq!(
        common.trim(),
        stage.project.join(".git").display().to_string()
    );
}

#[test]
fn a_submodule_is_worked_in_and_cannot_be_replaced() {
    let Some(stage) = Stage::set() else { return };
    let library = stage.world.scratch.folder("home/src/library");
    begin(&library);
    let url = library.display().to_string();
    let allow = ["-c", "protocol.file.allow=always"];
    let add = [&allow[..], &["submodule", "--quiet", "add", &url, "lib"]].concat();
    stage.git(&add);
    stage.git(&["commit", "-qm", "A library"]);
    git(&stage.project.join("lib"), &["config", "user.name", "kelp"]);
    let ran = stage.session(
        "git submodule status; cd lib; git checkout -qb fix; echo f > f; git add f
         git -c user.email=a@b -c user.name=a commit -qm Fix; cd ..; git add lib; git commit -qm 'Take the fix'
         git submodule update -q; git -C lib config core.fsmonitor /bin/false
         ! rm lib/.git 2> /dev/null; ! mv lib/.git x 2> /dev/null
         mv lib lib2; mkdir lib; echo gitdir: ../evil > lib/.git; true",
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    let lib = stage.project.join("lib");
    // A folder that was put in its place is not taken for it.
    let quarantined = fs::read_to_string(lib.join(".git.holdfast-quarantine-1")).unwrap();
    assert_eq!(quarantined, "gitdir: ../evil\n", "{ran:#?}");
    assert_eq!(
        git(&lib, &["log", "-1", "--format=%s", "fix"]).trim(),
        "Fix"
    );
    assert_eq!(stage.git(&["log", "-1", "--format=%s"]), "Take the fix");
    let tracked = stage.git(&["rev-parse", "HEAD:lib"]);
    assert_eq!(git(&lib, &["rev-parse", "fix"]).trim(), tracked);
    assert!(!git(&lib, &["config", "--list"]).contains("fsmonitor"));
    assert!(stage.kept().is_empty(), "{ran:#?}");
}

#[test]
fn a_repository_that_borrows_objects_is_read_whole() {
    let Some(stage) = Stage::set() else { return };
    let borrower = stage.world.scratch.join("home/src/borrower");
    let (from, to) = (
        stage.project.display().to_string(),
        borrower.display().to_string(),
    );
    stage.git(&["clone", "-q", "--shared", &from, &to]);
    let ran = stage.session_in(
        &borrower,
        "git fsck; git log --oneline | wc -l; echo b > b; git add b
         git -c user.name=a -c user.email=a@b commit -qm Borrowed",
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "2\n"), "{ran:#?}");
    assert!(!ran.stderr.contains("error"), "{ran:#?}");
    assert_eq!(
        git(&borrower, &["log", "-1", "--format=%s"]).trim(),
        "Borrowed"
    );
}

#[test]
fn a_large_file_comes_back_if_it_is_what_it_is_called() {
    let Some(stage) = Stage::set() else { return };
    let folder = |oid: &str| {
        let fan = |at| oid.get(at).unwrap();
        format!("lfs/objects/{}/{}", fan(0..2), fan(2..4))
    };
    let of = |content: &str| HEXLOWER.encode(sha256(content.as_bytes()).as_bytes());
    let (old, new, wrong) = (
        of("old large file"),
        of("new large file"),
        of("something else"),
    );
    let git_dir = stage.project.join(".git");
    fs::create_dir_all(git_dir.join(folder(&old))).unwrap();
    fs::write(git_dir.join(folder(&old)).join(&old), "old large file").unwrap();
    let pointer = |oid: &str| {
        format!("version https://git-lfs.github.com/spec/v1\\noid sha256:{oid}\\nsize 14\\n")
    };
    let ran = stage.session(&format!(
        "cat $(dirname $(head -1 .git/objects/info/alternates))/{old_place}/{old}
         for oid in {new} {wrong}; do mkdir -p .git/lfs/objects/${{oid:0:2}}/${{oid:2:2}}
            printf 'new large file' > .git/lfs/objects/${{oid:0:2}}/${{oid:2:2}}/$oid; done
         ln -s /etc/passwd .git/{new_place}/link; printf '{pointer}' > large; git add large; git commit -qm Large",
        old_place = folder(&old),
        new_place = folder(&new),
        pointer = pointer(&new),
    ));
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "old large file"),
        "{ran:#?}"
    );
    let content = fs::read_to_string(git_dir.join(folder(&new)).join(&new)).unwrap();
    assert_eq!(content, "new large file");
    assert!(!git_dir.join(folder(&wrong)).join(&wrong).exists());
    assert!(
        ran.stderr
            .contains("large files are not what they are called"),
        "{ran:#?}"
    );
    assert!(stage.git(&["show", "HEAD:large"]).contains(&new));
}

/// Fifty thousand files in one commit on top, written as one pack.
fn many_files(project: &Path) {
    let mut import = plain_git(project)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = BufWriter::new(import.stdin.take().unwrap());
    let commit = "commit refs/heads/main\ncommitter kelp <kelp@rock.test> 1700000000 +0000\n\
                  data 4\nMany\nfrom refs/heads/main^0\n";
    stream.write_all(commit.as_bytes()).unwrap();
    for number in 0..50_000 {
        let (folder, content) = (number / 100, format!("{number}\n"));
        let length = content.len();
        let file = format!("M 644 inline d{folder}/f{number}\ndata {length}\n{content}\n");
        stream.write_all(file.as_bytes()).unwrap();
    }
    drop(stream);
    assert!(import.wait().unwrap().success());
    git(project, &["reset", "-q", "--hard"]);
}

/// Prints what it costs; the machine decides how much that is.
#[test]
fn a_repository_of_fifty_thousand_files_is_guarded() {
    let Some(stage) = Stage::set() else { return };
    many_files(&stage.project);
    let timed = |what: &str, script: &str| -> Duration {
        let began = Instant::now();
        let ran = stage.session(script);
        assert_eq!(ran.code, 0, "{ran:#?}");
        let took = began.elapsed();
        println!("{what}: {took:?} {}", ran.stdout.trim());
        took
    };
    let plain = stage.world.scratch.folder("home/plain");
    let began = Instant::now();
    assert_eq!(stage.session_in(&plain, "true").code, 0);
    println!("a session without a repository: {:?}", began.elapsed());
    timed("a session that does nothing", "true");
    timed("a session with git status", "time git status --short");
    timed(
        "a session that commits a hundred files",
        "for f in d7/*; do echo x >> $f; done; git commit -qam Some",
    );
    let began = Instant::now();
    assert_eq!(stage.git(&["status", "--short"]), "");
    println!("git status afterwards, outside: {:?}", began.elapsed());
}
