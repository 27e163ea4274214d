//! Where a project's file system has no idmapped mounts a session runs under its human's uid: it works, it is said to
//! be less, and what is claimed of it all the same is tried.

mod outside;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use holdfast_hardware_tests::world::World;

use crate::support::{Human, Kind, Unmapped, install_spiffe};

const PATH: &str = "/usr/bin:/bin";
const SUB: &str = "/opt/holdfast/libexec/holdfast-hook sub";
const WHO: &str = "
import sys; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    print(client.fetch_x509_svid().spiffe_id)
";

/// A project of a human's on such a file system.
fn project(human: &Human<'_>, kind: Kind) -> (PathBuf, Unmapped) {
    let project = human.project("app");
    let mounted = Unmapped::mount(kind, &project, human.uid());
    (project, mounted)
}

fn git(human: &Human<'_>, project: &Path, arguments: &[&str]) -> String {
    let mut git = human.command("git".as_ref(), human.home(), PATH);
    let ran = git.args(arguments).current_dir(project).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// A session that says `up` and then does as it is told by `script`.
fn start(world: &World, human: &Human<'_>, project: &Path, program: &[&str]) -> Child {
    let holdfast = world.broker.holdfast_command();
    let mut command = human.command(holdfast.get_program(), human.home(), PATH);
    command.args(holdfast.get_args()).args(["run", "--project"]);
    command.arg(project).arg("--").args(program);
    command
        .env("SECRET_OF_MINE", "hunter2")
        .current_dir(project);
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut session = piped.spawn().unwrap();
    let mut line = String::new();
    let output = session.stdout.as_mut().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n", "{}", world.broker.log());
    session
}

#[test]
fn a_human_works_where_files_cannot_be_mapped_and_is_told_that_it_is_less() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let kinds = Kind::all();
    for &kind in &kinds {
        let (project, _mounted) = project(&human, kind);
        git(&human, &project, &["init", "-q", "-b", "main"]);
        let script = "id -u; grep ^Max.core /proc/self/limits; echo kept >file; git add file; \
                      git -c user.name=a -c user.email=a@b commit -qm inside; mkdir -m 700 own";
        let flags = ["--purpose", "less", "--"];
        let ran = human.run(&project, &flags, &["sh", "-c", script], PATH);
        let core = "Max core file size        1                    1                    bytes";
        let said: Vec<&str> = ran.stdout.lines().map(str::trim_end).collect();
        assert_eq!(said, ["1000", core], "{kind:?}: {ran:#?}");
        assert_eq!(ran.code, 0, "{ran:#?}");
        for told in [
            "LOWER GRADE",
            "your own uid 1000",
            &project.display().to_string(),
        ] {
            assert!(ran.stderr.contains(told), "{told}: {ran:#?}");
        }
        // What it made is the human's, and so is its commit.
        for made in ["file", "own"] {
            let made = fs::metadata(project.join(made)).unwrap();
            assert_eq!((made.uid(), made.gid()), (human.uid(), human.uid()));
        }
        assert_eq!(git(&human, &project, &["log", "--format=%s"]), "inside\n");
        assert_eq!(git(&human, &project, &["status", "--porcelain"]), "");
    }
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    let recorded = "started by uid 1000, under that uid (a lower grade)";
    assert_eq!(record.matches(recorded).count(), kinds.len(), "{record}");
}

#[test]
fn that_it_is_less_is_shown_before_and_while_it_lives() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let (project, _mounted) = project(&human, Kind::Overlay);
    let shown = human.run(&project, &["--show", "--"], &["sh"], PATH);
    let shown = shown.success();
    assert!(shown.contains("your own uid (LOWER GRADE)"), "{shown}");
    assert!(shown.contains("overlayfs"), "{shown}");

    let mut session = start(&world, &human, &project, &["sh", "-c", "echo up; sleep 60"]);
    let listed = world.sessions();
    assert_eq!(listed[0]["runs_as"], "humans", "{listed:?}");
    assert_eq!(listed[0]["details"]["uid"], 1000, "{listed:?}");
    let listed_text = world.broker.holdfast(&["sessions"]).success();
    assert!(listed_text.contains(" humans "), "{listed_text}");
    let id = listed[0]["session"].as_str().unwrap();
    let one = world.broker.holdfast(&["sessions", "show", id]).success();
    assert!(one.contains("LOWER"), "{one}");
    session.kill().unwrap();
    session.wait().unwrap();

    // Where files can be mapped nothing is said, and the uid is the session's own.
    let mapped = human.project("mapped");
    let ran = human.run(&mapped, &["--"], &["sh", "-c", "id -u"], PATH);
    assert!(!ran.stderr.contains("LOWER"), "{ran:#?}");
    let listed = world.sessions();
    let grades: Vec<_> = listed
        .iter()
        .map(|one| one["runs_as"].as_str().unwrap())
        .collect();
    assert!(grades.contains(&"own"), "{grades:?}");
}

#[test]
fn one_folder_that_it_changes_decides_and_one_that_it_reads_does_not() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let project = human.project("app");
    let data = human.folder("data");
    let _mounted = Unmapped::mount(Kind::Ram, &data, human.uid());
    human.put("data/open", "open");
    let closed = human.put("data/closed", "closed");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(closed, mode).unwrap();
    let data = data.display().to_string();
    let script = format!("cat {data}/open {data}/closed; echo >{data}/new");
    let reads = human.run(
        &project,
        &["--ro", &data, "--"],
        &["sh", "-c", &script],
        PATH,
    );
    assert!(!reads.stderr.contains("LOWER"), "{reads:#?}");
    // With everybody's rights, not with the human's.
    assert_eq!(reads.stdout, "open", "{reads:#?}");
    let script = format!("cat {data}/open {data}/closed; echo x >{data}/new; echo y >here");
    let writes = human.run(
        &project,
        &["--rw", &data, "--"],
        &["sh", "-c", &script],
        PATH,
    );
    let told = format!("LOWER GRADE: the session runs under your own uid 1000, because `{data}`");
    assert!(writes.stderr.contains(&told), "{writes:#?}");
    assert_eq!((writes.stdout.as_str(), writes.code), ("openclosed", 0));
    for made in [project.join("here"), Path::new(&data).join("new")] {
        assert_eq!(fs::metadata(made).unwrap().uid(), human.uid());
    }
}

#[test]
fn a_hosts_owner_can_refuse_it_and_root_never_has_it() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    let (kind, ram) = (Kind::Overlay, Kind::Ram);
    let rooted = world.scratch.folder("rooted");
    let _rooted = Unmapped::mount(ram, &rooted, 0);
    let root = world.broker.run(&rooted, &["true"]);
    assert_eq!(root.code, 2, "{root:#?}");
    assert!(root.stderr.contains("could only run as root"), "{root:#?}");

    world.declare("[launch]\nrefuse-shared-uid = true");
    let human = Human::new(&world);
    let (project, _mounted) = project(&human, kind);
    for aim in [&["--"][..], &["--show", "--"]] {
        let refused = human.run(&project, aim, &["sh", "-c", "echo RAN"], PATH);
        assert_eq!(refused.code, 3, "{refused:#?}");
        assert!(!refused.stdout.contains("RAN"), "{refused:#?}");
        for word in [
            "this host's owner refuses",
            "overlayfs",
            "refuse-shared-uid",
        ] {
            assert!(refused.stderr.contains(word), "{word}: {refused:#?}");
        }
    }
    let mapped = human.project("mapped");
    let ran = human.run(&mapped, &["--"], &["sh", "-c", "echo RAN"], PATH);
    assert_eq!(ran.success(), "RAN\n");
}

#[test]
fn a_kernel_that_does_not_tell_processes_apart_refuses_it() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.broker.kernel_lacks("peer-pidfd");
    world.declare("");
    let human = Human::new(&world);
    let (project, _mounted) = project(&human, Kind::Overlay);
    let refused = human.run(&project, &["--"], &["sh", "-c", "echo RAN"], PATH);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.contains("Linux 6.5"), "{refused:#?}");
    assert!(!refused.stdout.contains("RAN"), "{refused:#?}");
}

#[test]
fn where_what_agents_keep_cannot_be_mapped_nothing_begins() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let _homes = Unmapped::mount(Kind::Ram, &world.broker.state().join("homes"), 0);
    let mapped = human.project("mapped");
    let refused = human.run(&mapped, &["--"], &["sh", "-c", "echo RAN"], PATH);
    assert_eq!(refused.code, 1, "{refused:#?}");
    for word in ["what agents keep", "without idmapped mounts", "`state`"] {
        assert!(refused.stderr.contains(word), "{word}: {refused:#?}");
    }
    assert!(!refused.stdout.contains("RAN"), "{refused:#?}");
}

/// Two sessions of one human at once, and a sub-agent of each: each gets its own name.
fn names_are_told_apart(world: &World) {
    let human = Human::new(world);
    let (project, _mounted) = project(&human, Kind::Overlay);
    human.put("app/who.py", WHO);
    if !install_spiffe(&project.join("site")) {
        return;
    }
    let mut other = start(world, &human, &project, &["sh", "-c", "echo up; sleep 60"]);
    let who = "/usr/bin/python3 -S who.py";
    let script = format!("{who}; {SUB} -- {who}");
    let ran = human.run(&project, &["--"], &["bash", "-c", &script], PATH);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{ran:#?}\n{}", world.broker.log());
    assert_eq!(lines[1], format!("{}/sub/1", lines[0]));
    let listed = world.sessions();
    let mut living = listed.iter().filter(|one| one["phase"] == "running");
    let living = living.next().unwrap()["session"].as_str().unwrap();
    assert!(!lines[0].ends_with(living), "{lines:?} {living}");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn sessions_that_share_a_uid_have_their_own_names() {
    let Some(world) = World::sealed() else { return };
    names_are_told_apart(&world);
}

#[test]
fn and_so_they_have_where_the_kernel_tells_the_cgroup_by_its_path_alone() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.broker.kernel_lacks("pidfd-info");
    world.declare("");
    names_are_told_apart(&world);
}
