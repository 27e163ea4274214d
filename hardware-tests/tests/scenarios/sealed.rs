//! Promise 5: an agent that Holdfast launched reaches what it was given, and is who it was made.

mod apart;
mod desktop;
mod handed_on;
mod own_parts;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use holdfast_hardware_tests::harness::wait_until;
use holdfast_hardware_tests::world::World;

use crate::support::install_spiffe;

/// Fetches both kinds of SVID with Python's `spiffe`, unmodified, and prints what it got.
const CLIENT: &str = "
import sys; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    svid = client.fetch_x509_svid()
    print('x509', svid.spiffe_id)
    pem = b''.join(c.public_bytes(__import__('cryptography.hazmat.primitives.serialization', fromlist=['x']).Encoding.PEM) for c in svid.cert_chain)
    open('chain.pem', 'wb').write(pem)
    jwt = client.fetch_jwt_svid(audience={'api.example'})
    print('jwt', jwt.spiffe_id)
    client.validate_jwt_svid(jwt.token, 'api.example')
    print('valid')
";

fn project(world: &World) -> PathBuf {
    let project = world.scratch.folder("project");
    fs::write(project.join("client.py"), CLIENT).unwrap();
    project
}

#[test]
fn pythons_spiffe_gets_identities_inside_that_openssl_verifies() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    if !install_spiffe(&project.join("site")) {
        return;
    }
    let ran = world
        .broker
        .run(&project, &["/usr/bin/python3", "-S", "client.py"]);
    let output = ran.success();
    let lines: Vec<&str> = output.lines().collect();
    let prefix = "spiffe://world.test/host/";
    assert!(lines[0].starts_with(&format!("x509 {prefix}")), "{output}");
    assert!(lines[0].contains("/agent/shell/"), "{output}");
    assert_eq!(lines[1].replacen("jwt", "x509", 1), lines[0]);
    assert_eq!(lines[2], "valid");

    let bundle = world
        .scratch
        .write("bundle.pem", world.attestor.run(&["bundle", "show"]));
    let verified = Command::new("openssl")
        .args(["verify", "-CAfile"])
        .arg(&bundle)
        .arg(project.join("chain.pem"))
        .status()
        .unwrap();
    assert!(verified.success());

    let record = world.broker.holdfast(&["audit", "tail"]).success();
    for event in ["started by uid", "api.example", "ended: exited with 0"] {
        assert!(record.contains(event), "{event} is missing:\n{record}");
    }
}

#[test]
fn a_session_sees_its_project_and_nothing_else_of_the_host() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    let secret = world.scratch.write("secret", "hunter2");
    let script = format!(
        "cat {secret} && echo READ-SECRET; cat /etc/shadow && echo READ-SHADOW; \
         ls /proc | grep -c '^[0-9]'; ls /root/.ssh && echo READ-SSH; \
         ls /dev/tpm* && echo TPM; (exec 3<>/dev/tcp/127.0.0.1/{tpm}) && echo SWTPM; echo written > file; cat {state}/tpm.json && echo STATE; \
         (exec 3<>/dev/tcp/127.0.0.1/{port}) && echo NETWORK; unshare -U true && echo USERNS; \
         mount -t tmpfs none /mnt && echo MOUNT; true",
        secret = secret.display(),
        state = world.broker.state().display(),
        tpm = world.tpm.ports().command().port(),
        port = world.attestor.url().rsplit(':').next().unwrap(),
    );
    let ran = world.broker.run(&project, &["bash", "-c", &script]);
    for reached in [
        "READ-SECRET",
        "hunter2",
        "READ-SHADOW",
        "READ-SSH",
        "TPM",
        "SWTPM",
        "STATE",
        "NETWORK",
        "USERNS",
        "MOUNT",
    ] {
        assert!(!ran.stdout.contains(reached), "{reached}: {ran:#?}");
    }
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(
        fs::read_to_string(project.join("file")).unwrap(),
        "written\n"
    );
    // Its own few processes, and no other.
    let processes: u32 = ran.stdout.lines().next().unwrap().parse().unwrap();
    assert!(processes <= 6, "{ran:#?}");
}

#[test]
fn an_outsider_gets_no_identity_from_a_sessions_socket() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    if !install_spiffe(&project.join("site")) {
        return;
    }
    let mut session = world
        .broker
        .holdfast_command()
        .arg("run")
        .arg("--project")
        .arg(&project)
        .args(["--", "sh", "-c", "echo ready; exec sleep 60"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(session.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");

    // Root on the host can reach the socket; it is not of the session, so it has no identity.
    let sockets = world.broker.socket().with_file_name("sessions");
    let folder = fs::read_dir(sockets).unwrap().next().unwrap().unwrap();
    let socket = folder.path().join("session.sock");
    let outside = Command::new("/usr/bin/python3")
        .args([
            // Without the distribution's own packages, which do not fit the client's.
            "-S",
            "-c",
            "
import sys; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    try:
        print('GOT', client.fetch_x509_svid().spiffe_id)
    except Exception as error:
        while error and not hasattr(error, 'code'):
            said, error = error, error.__cause__ or error.__context__
        print('REFUSED', error and error.code().name, said)
",
        ])
        .current_dir(&project)
        .env(
            "SPIFFE_ENDPOINT_SOCKET",
            format!("unix://{}", socket.display()),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&outside.stdout);
    assert!(said.starts_with("REFUSED PERMISSION_DENIED"), "{said}");
    assert!(said.contains("no identity issued"), "{said}");

    // Without the command that keeps it, the session is gone at once, and so is all it held.
    session.kill().unwrap();
    session.wait().unwrap();
    let launcher = world.launcher.as_ref().unwrap();
    wait_until(Duration::from_secs(5), "the session is gone", || {
        launcher.sessions().is_empty() && !socket.exists()
    });
}

#[test]
fn a_frozen_session_stands_still_and_an_ended_one_is_gone() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    let mut session = world
        .broker
        .holdfast_command()
        .arg("run")
        .arg("--project")
        .arg(&project)
        .args([
            "--",
            "sh",
            "-c",
            "while :; do date +%N > beat; sleep 0.02; done",
        ])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let beat = project.join("beat");
    wait_until(Duration::from_secs(10), "a beat", || beat.exists());
    let listed = world.broker.holdfast(&["sessions", "--json"]).success();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let id = listed[0]["session"].as_str().unwrap().to_owned();

    world.broker.holdfast(&["sessions", "pause", &id]).success();
    let frozen = fs::read(&beat).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(fs::read(&beat).unwrap(), frozen);
    world
        .broker
        .holdfast(&["sessions", "resume", &id])
        .success();
    wait_until(Duration::from_secs(5), "it goes on", || {
        fs::read(&beat).unwrap() != frozen
    });

    let asked = Instant::now();
    world.broker.holdfast(&["sessions", "end", &id]).success();
    let exit = session.wait().unwrap();
    assert_eq!(exit.code(), Some(137));
    println!("ended within {:?}", asked.elapsed());
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    for act in ["pauses", "resumes", "ends"] {
        let line = format!("{act} session {id}");
        assert!(record.contains(&line), "{line} is missing:\n{record}");
    }
    let again = world.broker.holdfast(&["sessions", "end", &id]);
    assert_eq!(again.code, 1, "{again:#?}");
}

#[test]
fn no_session_without_an_attested_host() {
    let Some(world) = World::sealed_stranger() else {
        return;
    };
    let project = project(&world);
    let ran = world.broker.run(&project, &["true"]);
    assert_eq!(ran.code, 5, "{ran:#?}");
    assert!(ran.stderr.contains("not attested"), "{ran:#?}");
}
