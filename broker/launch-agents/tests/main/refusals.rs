//! Launches that are refused, and leave nothing.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::chown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use holdfast_launch_agents::task::SessionError;
use holdfast_launch_agents::{Access, Idmap, Place, Stdio, Tree};
use holdfast_launcher::Refusal;
use holdfast_launcher::socket::LaunchError;
use holdfast_protocol::grade::SessionUid;
use rustix::fs::{Mode, OFlags, open};

use crate::host::{Host, place, tree};
use crate::human::{HUMAN, connection};
use crate::running::pipes;
use crate::skip::skipped;

fn refusal<T: std::fmt::Debug>(result: Result<T, SessionError>) -> Refusal {
    match result {
        Err(SessionError::Launch(LaunchError::Refused(refusal))) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_humans_have_sessions() {
    let Some(host) = Host::new() else { return };
    for uid in [0, 33, 999, 65534, 70005] {
        let (stdio, ..) = pipes();
        let prepared = host.prepare(Path::new("/bin/sh"), &[], stdio, uid).await;
        assert_eq!(refusal(prepared), Refusal::Human(uid));
    }
    assert!(host.leaves().is_empty());
}

#[tokio::test]
async fn the_kernel_says_who_the_human_is() {
    let Some(host) = Host::new() else { return };
    let (stdio, ..) = pipes();
    let theirs = connection(HUMAN + 1);
    let prepared = host
        .prepare_with(Path::new("/bin/sh"), &[], stdio, theirs, HUMAN, vec![])
        .await;
    assert!(matches!(
        prepared,
        Err(SessionError::Human { expected: HUMAN, actual }) if actual == HUMAN + 1
    ));
}

#[tokio::test]
async fn what_is_not_the_humans_is_not_lent_for_writing() {
    let Some(host) = Host::new() else { return };
    let foreign = host.scratch.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    chown(&foreign, Some(5555), Some(5555)).unwrap();
    let proc = Tree {
        source: open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap(),
        place: Place::parse("/host").unwrap(),
        access: Access::Public,
    };
    let kept = tree(&foreign, Access::Keep);
    for tree in [tree(&foreign, Access::Write), kept, proc] {
        let (stdio, ..) = pipes();
        let prepared = host
            .prepare_with(
                Path::new("/bin/sh"),
                &[],
                stdio,
                connection(HUMAN),
                HUMAN,
                vec![tree],
            )
            .await;
        assert_eq!(refusal(prepared), Refusal::Descriptors);
    }
    assert!(host.leaves().is_empty());
}

#[tokio::test]
async fn a_terminal_of_the_host_is_not_taken() {
    let Some(host) = Host::new() else { return };
    let Ok(terminal) = open("/dev/ptmx", OFlags::RDWR | OFlags::NOCTTY, Mode::empty()) else {
        skipped("this host has no terminals");
        return;
    };
    let stdio = Stdio::Pipes {
        input: terminal.try_clone().unwrap(),
        output: terminal.try_clone().unwrap(),
        errors: terminal,
    };
    let prepared = host.prepare(Path::new("/bin/sh"), &[], stdio, HUMAN).await;
    assert_eq!(refusal(prepared), Refusal::Stream);
}

#[tokio::test]
async fn a_connection_to_a_server_of_the_host_is_not_handed_in() {
    let Some(mut host) = Host::new() else { return };
    let path = host.scratch.path().join("server.sock");
    let name = format!("holdfast-server-{}", std::process::id());
    let name = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    let servers = [
        UnixListener::bind(&path).unwrap(),
        UnixListener::bind_addr(&name).unwrap(),
    ];
    for server in &servers {
        let called = UnixStream::connect_addr(&server.local_addr().unwrap()).unwrap();
        for at in 0..3 {
            let fds: [OwnedFd; 3] = std::array::from_fn(|index| {
                let (pair, _) = UnixStream::pair().unwrap();
                if index == at {
                    called.try_clone().unwrap().into()
                } else {
                    pair.into()
                }
            });
            let [input, output, errors] = fds;
            let stdio = Stdio::Pipes {
                input,
                output,
                errors,
            };
            let prepared = host.prepare(Path::new("/bin/sh"), &[], stdio, HUMAN).await;
            assert_eq!(refusal(prepared), Refusal::Stream);
        }
    }
    // A pair, as many programs start others with, is no server's.
    let (ours, theirs) = UnixStream::pair().unwrap();
    let theirs: OwnedFd = theirs.into();
    let stdio = Stdio::Pipes {
        input: theirs.try_clone().unwrap(),
        output: theirs.try_clone().unwrap(),
        errors: theirs,
    };
    let prepared = host
        .prepare(Path::new("/bin/echo"), &["hi"], stdio, HUMAN)
        .await;
    prepared.unwrap().begin().unwrap();
    host.next_ended().await;
    let mut said = [0; 3];
    ours.set_read_timeout(Some(std::time::Duration::from_secs(10)))
        .unwrap();
    (&ours).read_exact(&mut said).unwrap();
    assert_eq!(&said, b"hi\n");
}

#[tokio::test]
async fn a_place_that_an_agent_turned_into_a_link_is_not_followed() {
    let Some(host) = Host::new() else { return };
    // A tree is to be mounted below the project, where an earlier session left a link.
    std::os::unix::fs::symlink("/etc", host.project().join("git")).unwrap();
    let below = Tree {
        place: Place::parse(&format!("{}/git", place(&host.project()))).unwrap(),
        ..tree(&host.scratch.path().join("sockets"), Access::Public)
    };
    let (stdio, ..) = pipes();
    let trees = vec![tree(&host.project(), Access::Write), below];
    let prepared = host
        .prepare_with(
            Path::new("/bin/sh"),
            &[],
            stdio,
            connection(HUMAN),
            HUMAN,
            trees,
        )
        .await;
    assert!(matches!(refusal(prepared), Refusal::Host { .. }));
    assert!(host.leaves().is_empty());
}

#[tokio::test]
async fn the_next_session_is_made_after_a_refused_one() {
    let Some(mut host) = Host::new() else { return };
    let (stdio, ..) = pipes();
    host.prepare(Path::new("/bin/sh"), &[], stdio, 33)
        .await
        .unwrap_err();
    assert_eq!(host.run("echo ok").await.stdout, "ok\n");
}

#[tokio::test]
async fn no_session_runs_as_root_whatever_is_asked() {
    let Some(mut host) = Host::with(&["--allow-root-human"]) else {
        return;
    };
    host.runs_as = SessionUid::Humans;
    chown(host.project(), Some(0), Some(0)).unwrap();
    let (stdio, ..) = pipes();
    let prepared = host.prepare(Path::new("/bin/sh"), &[], stdio, 0).await;
    assert_eq!(refusal(prepared), Refusal::Human(0));
    assert!(host.leaves().is_empty());
}

#[tokio::test]
async fn a_tree_that_can_be_mapped_is_told_from_one_that_cannot() {
    let Some(host) = Host::new() else { return };
    let opened = |path: &Path| open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let bare = host.scratch.path().join("bare");
    fs::create_dir(&bare).unwrap();
    let mount = |program: &str, arguments: &[&str]| {
        let mut mount = std::process::Command::new(program);
        assert!(mount.args(arguments).arg(&bare).status().unwrap().success());
    };
    mount("mount", &["-t", "ramfs", "ramfs"]);
    let trees = vec![opened(&host.project()), opened(&bare)];
    let said = host.sessions.map(trees).await;
    mount("umount", &["--lazy"]);
    assert_eq!(said.unwrap(), [Idmap::Can, Idmap::Cannot]);
    let proc = host.sessions.map(vec![opened(Path::new("/proc"))]).await;
    assert_eq!(refusal(proc), Refusal::Descriptors);
    let started = std::time::Instant::now();
    for _ in 0..50 {
        let tree = opened(&host.project());
        assert_eq!(host.sessions.map(vec![tree]).await.unwrap(), [Idmap::Can]);
    }
    println!("asked in {:?} each", started.elapsed() / 50);
}
