//! Promise 5, as a host is installed: the broker is a system account's and has no right at all, and the human, who is
//! another, has their whole day from it and nothing of it.

mod closed;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{GitRemote, Guarded, wait_until};
use holdfast_hardware_tests::world::{Account, Ran, World};
use serde_json::Value;

use crate::support::{Human, install_spiffe};

/// How long a step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Who the git service knows them as.
const USER: &str = "ann";
const TOKEN: &str = "glpat-Yc4Tq8Zn2Wk6Rb9Lx3Vd";

/// Works in the project, leaves something at home, asks who it is, and pushes what it did.
const FIRST: &str = "set -e; echo kept > ~/.notes; echo work > file; git add file; git commit --quiet -m work; \
                     python3 -S identity.py; stat -c %u file; git push --quiet origin main";
const IDENTITY: &str = "
import sys; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    print(client.fetch_x509_svid().spiffe_id)
    print(client.fetch_jwt_svid(audience={'api.example'}).spiffe_id)
";

/// Finds what the first left, pushes a branch of its own, and stays.
const SECOND: &str = "set -e; cat ~/.notes file; git checkout --quiet -b topic; \
                      git commit --quiet --allow-empty -m topic; git push --quiet origin topic; echo up; \
                      while :; do date +%N > beat; sleep 0.02; done";

/// Prints which of its arguments it can open, or read as a link or as a folder.
const OPEN: &str = r"
import os, sys
for path in sys.argv[1:]:
    try:
        if os.path.islink(path): os.readlink(path)
        elif os.path.isdir(path): os.listdir(path)
        else: open(path, 'rb').close()
        print(path)
    except OSError:
        pass
";

/// A host whose human may manage it, and that human.
fn installed() -> Option<World> {
    let mut world = World::installed()?;
    world.declare("[management]\nuids = [1000]");
    Some(world)
}

/// A project with a history, whose remote wants a secret that the human's vault keeps.
fn project(human: &Human<'_>, remote: &GitRemote) -> PathBuf {
    let project = human.project("app");
    for arguments in [
        &["init", "--quiet", "-b", "main"][..],
        &["config", "user.name", "Ann"],
        &["config", "user.email", "ann@example.test"],
        &["remote", "add", "origin", &remote.url()],
        &["commit", "--quiet", "--allow-empty", "-m", "begin"],
    ] {
        let mut git = human.command("git".as_ref(), human.home(), "/usr/bin:/bin");
        Ran::of(git.args(arguments).current_dir(&project)).success();
    }
    let token = human.private("token", TOKEN);
    human.holdfast(&["secrets", "init", "--headless"]).success();
    let (to, file) = (remote.url(), token.as_str());
    let add = ["secrets", "add", "origin", "--git", &to, "--username", USER];
    human
        .holdfast(&[&add[..], &["--value-file", file]].concat())
        .success();
    fs::remove_file(token).unwrap();
    project
}

fn line(output: &mut BufReader<std::process::ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn started(human: &Human<'_>, project: &Path, script: &str) -> Child {
    let mut session = human.session(project, &["bash", "-c", script]);
    session
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn listed(human: &Human<'_>, what: &str) -> Vec<Value> {
    serde_json::from_str(&human.holdfast(&[what, "--json"]).success()).unwrap()
}

#[test]
fn a_human_has_their_whole_day_from_a_broker_without_any_right() {
    let Some(world) = installed() else { return };
    let human = Human::new(&world);
    let remote = GitRemote::start(&world.scratch, USER, TOKEN, Guarded::Everything);
    let project = project(&human, &remote);
    if !install_spiffe(&project.join("site")) {
        return;
    }
    fs::write(project.join("identity.py"), IDENTITY).unwrap();
    // They share nothing with anybody, the broker's account included.
    human.closes(human.home());
    let pin = human.private("pin", "kelp-and-rock");
    human
        .holdfast(&["factors", "enroll", "--pin-file", &pin])
        .success();

    // Somebody has to say yes to what is pushed to the default branch, and it is them.
    let first = started(&human, &project, FIRST);
    wait_until(PATIENCE, "a question", || {
        !listed(&human, "approvals").is_empty()
    });
    let call = listed(&human, "approvals")[0]["call"].clone();
    let call = call.as_str().unwrap();
    human
        .holdfast(&["approvals", "approve", call, "--pin-file", &pin])
        .success();
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{first:#?}");
    let said = String::from_utf8(first.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains("/agent/shell/"), "{said}");
    assert_eq!((lines[1], lines[2]), (lines[0], "1000"), "{said}");
    let file = fs::metadata(project.join("file")).unwrap();
    assert_eq!(file.uid(), human.uid());
    assert!(remote.refs().contains_key("refs/heads/main"));

    let mut second = started(&human, &project, SECOND);
    let mut output = BufReader::new(second.stdout.take().unwrap());
    let said = [(); 3].map(|()| line(&mut output));
    assert_eq!(said, ["kept", "work", "up"]);
    assert!(remote.refs().contains_key("refs/heads/topic"));
    let beat = project.join("beat");
    wait_until(PATIENCE, "a beat", || beat.exists());
    let running = listed(&human, "sessions");
    let running = running.iter().find(|each| each["phase"] == "running");
    let id = running.unwrap()["session"].as_str().unwrap();
    human.holdfast(&["sessions", "pause", id]).success();
    let frozen = fs::read(&beat).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(fs::read(&beat).unwrap(), frozen);
    human.holdfast(&["sessions", "resume", id]).success();
    wait_until(PATIENCE, "it goes on", || {
        fs::read(&beat).unwrap() != frozen
    });
    human.holdfast(&["sessions", "end", id]).success();
    assert_eq!(second.wait().unwrap().code(), Some(137));

    let record = human.holdfast(&["audit", "tail", "-n", "100"]).success();
    for event in ["started by uid 1000", "approved call", "ended: killed"] {
        assert!(record.contains(event), "{event} is missing:\n{record}");
    }
    human.holdfast(&["audit", "verify"]).success();
    let launcher = world.launcher.as_ref().unwrap();
    wait_until(PATIENCE, "no session is left", || {
        launcher.sessions().is_empty()
    });
}

#[test]
fn the_broker_has_no_right_and_is_closed_to_the_human() {
    let Some(world) = installed() else { return };
    let human = Human::new(&world);
    let project = human.project("app");
    let mut session = started(&human, &project, "echo up; exec sleep 100");
    assert_eq!(
        line(&mut BufReader::new(session.stdout.take().unwrap())),
        "up"
    );
    let broker = world.broker.pid().unwrap();
    let status = fs::read_to_string(format!("/proc/{broker}/status")).unwrap();
    let told = |name: &str| {
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix(name));
        let words = line.unwrap_or_else(|| panic!("{name} in {status}"));
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let uid = Account::System.uid().to_string();
    for name in ["Uid:", "Gid:"] {
        assert_eq!(told(name), [uid.as_str(); 4].join(" "));
    }
    assert_eq!(told("Groups:"), "");
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(u64::from_str_radix(&told(name), 16).unwrap(), 0, "{status}");
    }
    assert_eq!(told("NoNewPrivs:"), "1");

    // Its own folders are its alone.
    let state = world.broker.state();
    let sockets = world.broker.socket().with_file_name("sessions");
    for folder in [state, &sockets] {
        let facts = fs::metadata(folder).unwrap();
        assert_eq!(facts.permissions().mode() & 0o777, 0o700, "{folder:?}");
        assert_eq!(facts.uid(), Account::System.uid(), "{folder:?}");
    }
    let mut closed = vec![state.to_owned(), sockets.clone()];
    for folder in [
        state.to_owned(),
        state.join("audit"),
        state.join("programs"),
        state.join("homes"),
        sockets,
    ] {
        closed.extend(
            fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path()),
        );
    }
    assert!(
        closed.iter().any(|path| path
            .extension()
            .is_some_and(|is| is == "db" || is == "sqlite")),
        "{closed:?}"
    );
    for pid in [broker, world.launcher.as_ref().unwrap().pid()] {
        for file in [
            "environ", "maps", "mem", "auxv", "fd", "fd/0", "exe", "root", "cwd", "ns/mnt",
        ] {
            closed.push(PathBuf::from(format!("/proc/{pid}/{file}")));
        }
    }
    let reached = |mut command: std::process::Command| {
        command.args(["-S", "-c", OPEN]).args(&closed);
        let said = Ran::of(&mut command).success();
        said.lines().map(PathBuf::from).collect::<Vec<_>>()
    };
    let python = "/usr/bin/python3";
    let theirs = human.command(python.as_ref(), human.home(), "/usr/bin:/bin");
    assert_eq!(reached(theirs), Vec::<PathBuf>::new());
    // So that this can fail: root has all of it.
    let own = reached(std::process::Command::new(python));
    let missed: Vec<_> = closed.iter().filter(|path| !own.contains(path)).collect();
    let sockets: Vec<_> = missed
        .iter()
        .filter(|path| path.ends_with("session.sock"))
        .collect();
    assert_eq!(missed.len(), sockets.len(), "{missed:?}");
    // Nor do they put anything where its sockets are.
    let run = world.broker.socket().parent().unwrap();
    for change in [
        format!("touch {}/own", run.display()),
        format!("rm -f {}", world.broker.socket().display()),
    ] {
        let mut shell = human.command("sh".as_ref(), human.home(), "/usr/bin:/bin");
        let done = Ran::of(shell.args(["-c", &change]));
        assert_ne!(done.code, 0, "{change}: {done:#?}");
    }
    session.kill().unwrap();
    session.wait().unwrap();
}
