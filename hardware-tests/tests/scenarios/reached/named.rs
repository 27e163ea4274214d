//! Names, for programs that ask no proxy.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::wait_until;
use holdfast_hardware_tests::world::World;

use super::servers::{GitDaemon, Web, host_name};
use super::{project, run_with, session};

const PATIENCE: Duration = Duration::from_secs(15);

/// Python's sockets, as any program uses them; prints what the server at the name says.
const SOCKETS: &str = "
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
assert socket.gethostbyname(host).startswith('198.18.'), host
with socket.create_connection((host, port), 5) as s:
    s.sendall(b'GET /name HTTP/1.0\\r\\n\\r\\n')
    print(s.makefile().read().split()[-1])
";

#[test]
fn programs_that_ask_no_proxy_reach_what_was_given_by_name() {
    let Some(world) = World::sealed() else { return };
    let (web, other) = (Web::at_name(&world, "given"), Web::at_name(&world, "other"));
    let git = GitDaemon::start(&world);
    fs::write(project(&world).join("sockets.py"), SOCKETS).unwrap();
    let name = host_name();
    let script = format!(
        "curl -s -m 5 --noproxy '*' http://{name}:{0}/name; \\
         /usr/bin/python3 sockets.py {name} {0}; \\
         git clone -q git://{name}:{1}/repository cloned && cat cloned/file; \\
         curl -s -m 2 --noproxy '*' http://{name}:{2}/name || echo not reached",
        web.port(),
        git.port(),
        other.port(),
    );
    let [web, git] = [web.port(), git.port()].map(|port| format!("{name}:{port}"));
    let ran = run_with(&world, &["--reach", &web, "--reach", &git], &script);
    assert_eq!(
        ran.stdout, "given\ngiven\ncontent\nnot reached\n",
        "{ran:#?}"
    );
    assert!(other.log().is_empty(), "{}", other.log());
    let record = world
        .broker
        .holdfast(&["audit", "tail", "-n", "60"])
        .success();
    assert!(record.contains("connect"), "{record}");
}

#[test]
fn a_name_that_was_not_given_is_asked_about_and_a_denial_names_the_flag() {
    let Some(world) = World::sealed() else { return };
    let script = "curl -s -m 20 --noproxy '*' http://denied.example/; \\
                  curl -s -m 20 --noproxy '*' https://denied.example/ || echo refused $?";
    let session = session(&world, &[], script)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for port in [80, 443] {
        let mut question = None;
        wait_until(PATIENCE, "a question", || {
            let listed = world.broker.holdfast(&["approvals", "--json"]).success();
            let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
            question = listed.get(0).cloned();
            question.is_some()
        });
        let question = question.unwrap();
        let headline = format!("Send something to `denied.example:{port}`");
        assert_eq!(question["headline"], headline, "{question:#}");
        let id = question["call"].as_str().unwrap();
        world.broker.holdfast(&["approvals", "deny", id]).success();
    }
    let output = session.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("holdfast run --host denied.example"),
        "{said}"
    );
    // In TLS nothing can be said: the connection is reset.
    assert!(said.ends_with("refused 35\n"), "{said}");
}

#[test]
fn what_was_never_asked_for_by_name_leads_nowhere() {
    let Some(world) = World::sealed() else { return };
    let script = "
import socket, errno
def reach(address, port, kind=socket.SOCK_STREAM):
    try:
        with socket.socket(socket.AF_INET, kind) as s:
            s.settimeout(5)
            s.connect((address, port))
            s.sendall(b'hello')
            print(s.recv(1))
    except OSError as error:
        print(errno.errorcode.get(error.errno, error))
def look(name):
    try: print(socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error: print('none')
reach('198.18.9.9', 80)
reach('198.19.255.254', 5432)
reach('198.18.0.1', 443, socket.SOCK_DGRAM)
reach('169.254.169.254', 80)
reach('10.0.0.1', 80)
for name in ['localhost', 'printer.local', 'a.invalid', 'database', 'crates.io', 'crates.io.', 'docs.rs']:
    look(name)
";
    fs::write(project(&world).join("reach.py"), script).unwrap();
    let ran = run_with(&world, &[], "/usr/bin/python3 reach.py");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let [reset, refused, nowhere] = ["ECONNRESET", "ECONNREFUSED", "ENETUNREACH"];
    assert_eq!(
        lines[..5],
        [reset, reset, refused, nowhere, nowhere],
        "{ran:#?}"
    );
    let names = &lines[5..];
    assert!(["127.0.0.1", "::1"].contains(&names[0]), "{ran:#?}");
    assert_eq!(names[1..4], ["none"; 3], "{ran:#?}");
    assert_eq!(
        names[4..],
        ["198.18.0.1", "198.18.0.1", "198.18.0.2"],
        "{ran:#?}"
    );
}

#[test]
fn one_sessions_names_are_not_anothers() {
    let Some(world) = World::sealed() else { return };
    let web = Web::at_name(&world, "given");
    let name = host_name();
    let reach = format!("{name}:{}", web.port());
    let knows =
        format!("getent ahostsv4 {name} | head -n 1 | cut -d ' ' -f 1; echo ready; sleep 60");
    let mut first = session(&world, &["--reach", &reach], &knows)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "198.18.0.1");
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    // The same right, and the address that the first has for it: in this session it means nothing.
    let script = format!(
        "curl -s -m 5 --noproxy '*' http://198.18.0.1:{}/name || echo refused $?",
        web.port()
    );
    let ran = run_with(&world, &["--reach", &reach], &script);
    // The bridge closes it: before curl has seen the connection stand (7), or asked (56), or while it waits (52).
    let refused = ["refused 7\n", "refused 52\n", "refused 56\n"];
    assert!(refused.contains(&ran.stdout.as_str()), "{ran:#?}");
    first.kill().unwrap();
    first.wait().unwrap();
}

/// Kept here because only names need it: a repository with one file, served by git's own daemon.
pub fn repository(folder: &std::path::Path) {
    let git = |arguments: &[&str]| {
        let status = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
            .args(arguments)
            .current_dir(folder)
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    fs::write(folder.join("file"), "content\n").unwrap();
    git(&["add", "file"]);
    git(&["commit", "-q", "-m", "One file"]);
}
