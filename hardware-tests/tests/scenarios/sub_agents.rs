//! A sub-agent is known as itself, has no more than its parent, and ends with it or alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::wait_until;
use holdfast_hardware_tests::world::World;

use crate::support::install_spiffe;

const SUB: &str = "/opt/holdfast/libexec/holdfast-hook sub";

/// Prints the identity that the Workload API gives to whoever runs it.
const WHO: &str = "
import sys; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    print(client.fetch_x509_svid().spiffe_id)
    print(client.fetch_jwt_svid(audience={'api.example'}).spiffe_id)
";

fn project(world: &World) -> Option<PathBuf> {
    let project = world.scratch.folder("project");
    fs::write(project.join("who.py"), WHO).unwrap();
    install_spiffe(&project.join("site")).then_some(project)
}

fn listed(world: &World) -> serde_json::Value {
    world.sessions()[0].clone()
}

/// A session that runs `script` in the background, until it is ended.
fn background(world: &World, project: &Path, script: &str) -> Child {
    world
        .broker
        .holdfast_command()
        .arg("run")
        .arg("--project")
        .arg(project)
        .args(["--", "bash", "-c", script])
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_sub_agent_has_an_identity_of_its_own_below_its_parents() {
    let Some(world) = World::sealed() else { return };
    let Some(project) = project(&world) else {
        return;
    };
    let who = "/usr/bin/python3 -S who.py";
    let script = format!(
        "{who}; {SUB} --name one -- {who}; \
         {SUB} -- bash -c '{who}; {SUB} --name inner -- {who}; {SUB} -- {SUB} -- {SUB} -- true'; {who}"
    );
    let ran = world.broker.run(&project, &["bash", "-c", &script]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 10, "{ran:#?}\n{}", world.broker.log());
    let parent = lines[0];
    assert!(parent.contains("/agent/shell/"), "{parent}");
    for (line, below) in lines.iter().zip([
        "",
        "",
        "/sub/1",
        "/sub/1",
        "/sub/2",
        "/sub/2",
        "/sub/2/sub/1",
        "/sub/2/sub/1",
        "",
        "",
    ]) {
        assert_eq!(*line, format!("{parent}{below}"), "{ran:#?}");
    }
    // Sub-agents of sub-agents have none.
    assert!(ran.stderr.contains("two deep at most"), "{ran:#?}");
    let record = world
        .broker
        .holdfast(&["audit", "tail", "-n", "100"])
        .success();
    let session = parent.rsplit('/').next().unwrap();
    for event in [
        format!("made sub-agent shell/{session}/sub/1 of shell/{session}"),
        format!("made sub-agent shell/{session}/sub/2/sub/1 of shell/{session}/sub/2"),
        format!("sub-agent shell/{session}/sub/1 of session {session} ended"),
    ] {
        assert!(record.contains(&event), "{event} is missing:\n{record}");
    }
}

#[test]
fn a_sub_agent_cannot_take_its_parents_place() {
    let Some(world) = World::sealed() else { return };
    let Some(project) = project(&world) else {
        return;
    };
    // A connection that the parent opened, inherited by the sub-agent; and one of the sub-agent's that
    // the parent writes on. Both times the connection is closed, unanswered.
    let inherited = "
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect('/run/holdfast/session.sock'); s.set_inheritable(True)
os.execv('/opt/holdfast/libexec/holdfast-hook', ['holdfast-hook', 'sub', '--', '/usr/bin/python3', '-S', 'frame.py', str(s.fileno())])
";
    let frame = "
import json, socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
ask = json.dumps({'ask': 'git-credential', 'operation': 'get', 'attributes': 'protocol=https\\nhost=x\\n'}).encode()
try:
    s.sendall(len(ask).to_bytes(4, 'big') + ask)
    print('ANSWER', s.recv(4096))
except (ConnectionResetError, BrokenPipeError):
    print('ANSWER', b'')
";
    let given = "
import os, socket, subprocess
door = socket.socket(socket.AF_UNIX); door.bind('door'); door.listen()
sub = subprocess.Popen(['/opt/holdfast/libexec/holdfast-hook', 'sub', '--', '/usr/bin/python3', '-S', 'gives.py'])
sub_agents, _ = door.accept()
_, fds, _, _ = socket.recv_fds(sub_agents, 1, 1)
subprocess.run(['/usr/bin/python3', '-S', 'frame.py', str(fds[0])], pass_fds=fds)
sub_agents.close(); sub.wait()
";
    let gives = "
import socket
s = socket.socket(socket.AF_UNIX); s.connect('/run/holdfast/session.sock')
door = socket.socket(socket.AF_UNIX); door.connect('door')
socket.send_fds(door, [b'.'], [s.fileno()])
door.recv(1)
";
    fs::write(project.join("given.py"), given).unwrap();
    fs::write(project.join("gives.py"), gives).unwrap();
    fs::write(project.join("inherited.py"), inherited).unwrap();
    fs::write(project.join("frame.py"), frame).unwrap();
    let own = "import socket,os;s=socket.socket(socket.AF_UNIX);s.connect('/run/holdfast/session.sock');\
               s.set_inheritable(True);os.execv('/usr/bin/python3',['python3','-S','frame.py',str(s.fileno())])";
    fs::write(project.join("own.py"), own).unwrap();
    let script = format!(
        "/usr/bin/python3 -S own.py; /usr/bin/python3 -S inherited.py; /usr/bin/python3 -S given.py; \
         secret=parents-own sleep 60 & parent=$!; \
         {SUB} -- bash -c \"cat /proc/$parent/environ && echo READ; kill $parent && echo KILLED; \
         echo x > /proc/$parent/mem && echo WROTE; true\"; \
         kill -0 $parent && echo PARENT-LIVES; kill $parent"
    );
    let ran = world.broker.run(&project, &["bash", "-c", &script]);
    let answers: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| line.starts_with("ANSWER"))
        .collect();
    assert_eq!(answers.len(), 3, "{ran:#?}\n{}", world.broker.log());
    assert_ne!(answers[0], "ANSWER b''", "{ran:#?}");
    assert_eq!(answers[1..], ["ANSWER b''"; 2], "{ran:#?}");
    for reached in ["READ", "KILLED", "WROTE", "parents-own"] {
        assert!(!ran.stdout.contains(reached), "{reached}: {ran:#?}");
    }
    assert!(ran.stdout.contains("PARENT-LIVES"), "{ran:#?}");
}

#[test]
fn what_a_sub_agent_gave_up_it_does_not_get() {
    let Some(world) = World::sealed() else { return };
    let Some(project) = project(&world) else {
        return;
    };
    let reach = |port: &str| format!("(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null");
    let own = "port=${HTTP_PROXY##*:}";
    let script = format!(
        "{parents} && echo PARENT-OUT; \
         {SUB} --no-network -- bash -c '{parents} && echo NONE-PARENTS; env | grep -i proxy && echo NONE-PROXY; true'; \
         {SUB} --no-secrets -- bash -c '{own}; {mine} && echo OWN-OUT $port; {parents} && echo PARENTS-OUT; {names} && echo NAMES-OUT; \
             {SUB} -- bash -c \"{parents} && echo INNER-PARENTS; true\"; true'; \
         {SUB} --host api.example -- bash -c 'curl -sS -m 20 http://other.example/ ; true'; \
         {SUB} --read-only -- bash -c 'echo x > file && echo WROTE; echo y > $HOME/file && echo HOME; cat who.py >/dev/null && echo READS'",
        parents = reach("3128"),
        mine = reach("$port"),
        // What the parent's names lead to, on the one port that is not shut.
        names = "(exec 3<>/dev/tcp/198.18.0.1/$port) 2>/dev/null",
    );
    let ran = world.broker.run(&project, &["bash", "-c", &script]);
    for got in ["PARENT-OUT", "OWN-OUT", "HOME", "READS"] {
        assert!(ran.stdout.contains(got), "{got}: {ran:#?}");
    }
    for reached in [
        "NONE-PARENTS",
        "NONE-PROXY",
        "PARENTS-OUT",
        "NAMES-OUT",
        "INNER-PARENTS",
        "WROTE",
    ] {
        assert!(!ran.stdout.contains(reached), "{reached}: {ran:#?}");
    }
    assert!(!ran.stdout.contains("OWN-OUT 3128"), "{ran:#?}");
    assert!(!project.join("file").exists());
    let record = world
        .broker
        .holdfast(&["audit", "tail", "-n", "100"])
        .success();
    assert!(
        record.contains("was not lent that host"),
        "{record}\n{ran:#?}"
    );
}

#[test]
fn a_sub_agent_ends_alone_or_with_its_parent() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let beat = "#!/bin/bash\nwhile :; do date +%N > $1; sleep 0.02; done\n";
    let both = format!("#!/bin/bash\n{SUB} -- bash beat.sh inner & bash beat.sh second\n");
    fs::write(project.join("beat.sh"), beat).unwrap();
    fs::write(project.join("both.sh"), both).unwrap();
    let script = format!(
        "{SUB} --name first -- bash beat.sh first & {SUB} -- bash both.sh & bash beat.sh own"
    );
    let mut session = background(&world, &project, &script);
    let beats = |name: &str| fs::read(project.join(name)).unwrap_or_default();
    for name in ["own", "first", "second", "inner"] {
        wait_until(Duration::from_secs(20), name, || !beats(name).is_empty());
    }
    let before = listed(&world);
    let id = before["session"].as_str().unwrap().to_owned();
    assert_eq!(before["level"], "L3");
    let subs: Vec<&str> = before["subs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sub| sub["sub"].as_str().unwrap())
        .collect();
    // Which of the first two was first is theirs to settle.
    assert_eq!((subs.len(), &subs[..1]), (3, &["sub/1"][..]), "{before}");
    let stands_still = |name: &str| {
        let then = beats(name);
        std::thread::sleep(Duration::from_millis(200));
        beats(name) == then
    };

    // The pause of the session is theirs too.
    world.broker.holdfast(&["sessions", "pause", &id]).success();
    assert!(
        ["own", "first", "second", "inner"]
            .into_iter()
            .all(stands_still)
    );
    world
        .broker
        .holdfast(&["sessions", "resume", &id])
        .success();

    let second = before["subs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|sub| sub["name"].is_null() && sub["sub"].as_str().unwrap().len() == 5)
        .map(|sub| sub["sub"].as_str().unwrap().to_owned())
        .unwrap();
    let target = format!("{id}/{second}");
    world
        .broker
        .holdfast(&["sessions", "end", &target])
        .success();
    wait_until(
        Duration::from_secs(5),
        "both of the branch are gone",
        || listed(&world)["subs"].as_array().unwrap().len() == 1,
    );
    assert!(stands_still("second") && stands_still("inner"));
    assert!(!stands_still("first") && !stands_still("own"));
    let again = world.broker.holdfast(&["sessions", "end", &target]);
    assert_eq!(again.code, 1, "{again:#?}");
    let record = world
        .broker
        .holdfast(&["audit", "tail", "-n", "100"])
        .success();
    assert!(
        record.contains(&format!("ends {second} of session {id}")),
        "{record}"
    );
    let text = world.broker.holdfast(&["sessions"]).success();
    assert!(text.contains("/sub/") && text.contains("L3"), "{text}");

    world.broker.holdfast(&["sessions", "end", &id]).success();
    session.wait().unwrap();
    assert!(stands_still("first"));
    let launcher = world.launcher.as_ref().unwrap();
    wait_until(Duration::from_secs(5), "nothing is left", || {
        launcher.sessions().is_empty()
    });
}

#[test]
fn a_session_has_so_many_sub_agents_and_no_more() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let script = format!(
        "pids=; for n in $(seq 18); do {SUB} -- sleep 60 & pids=\"$pids $!\"; done; \
         gone() {{ gone=; for pid in $pids; do kill -0 $pid 2>/dev/null || gone=\"$gone $pid\"; done; set -- $gone; echo $#; }}; \
         until [ $(gone) -ge 2 ]; do sleep 0.1; done; sleep 0.5; \
         gone; for pid in $gone; do wait $pid; echo REFUSED $?; done; \
         kill $pids 2>/dev/null; wait; until {SUB} -- echo AGAIN; do sleep 0.2; done"
    );
    let ran = world.broker.run(&project, &["bash", "-c", &script]);
    let refused = ran.stdout.lines().filter(|line| *line == "REFUSED 126");
    assert_eq!(refused.count(), 2, "{ran:#?}");
    assert!(
        ran.stderr
            .contains("16 sub-agents of this session live already"),
        "{ran:#?}"
    );
    assert!(ran.stdout.ends_with("AGAIN\n"), "{ran:#?}");
}
