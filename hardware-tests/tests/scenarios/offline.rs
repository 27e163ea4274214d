//! Sessions start while the attestor is away, each with a name of its own that was signed ahead; no such name is used after
//! its host was stopped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use holdfast_hardware_tests::harness::{GitRemote, Guarded, git, wait_until};
use holdfast_hardware_tests::world::{Ran, World};
use serde_json::Value;

use crate::support::install_spiffe;

/// How long a step may take on a busy machine, the longest pause between two looks for the attestor included.
const PATIENCE: Duration = Duration::from_secs(120);

const TWO_SHELLS: &str = "[sessions]\nspares = 2\nspare-kinds = [\"shell\"]";

const USER: &str = "agent";
const TOKEN: &str = "glpat-Zq7Lm2Xv9Tb4Rk1Yd6Fs";

/// Tries both kinds of SVID with Python's `spiffe`, unmodified; prints what came, in words that a test reads.
const CLIENT: &str = "
import sys; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
from cryptography.hazmat.primitives.serialization import Encoding
def say(what, fetch):
    try:
        print(what, fetch())
    except Exception as error:
        while error and not hasattr(error, 'details'):
            error = error.__cause__ or error.__context__
        print(what, 'REFUSED', error.code().name, error.details())
def x509():
    svid = client.fetch_x509_svid()
    open('chain.pem', 'wb').write(b''.join(c.public_bytes(Encoding.PEM) for c in svid.cert_chain))
    return svid.spiffe_id
with WorkloadApiClient() as client:
    say('x509', x509)
    say('jwt', lambda: client.fetch_jwt_svid(audience={'api.example'}).spiffe_id)
";

/// What the attestor being away means for who asks for an SVID.
const AWAY: &str = "REFUSED UNAVAILABLE the attestor cannot be reached, and only it signs SVIDs";

#[test]
fn sessions_start_while_the_attestor_is_away_each_with_a_name_of_its_own() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    let project = world.scratch.folder("project");
    if !install_spiffe(&project.join("site")) {
        return;
    }
    fs::write(project.join("client.py"), CLIENT).unwrap();
    let _remote = remote_with_secret(&world, &project);
    world.declare(TWO_SHELLS);
    wait_until(PATIENCE, "names are signed ahead", || ready(&world) == 2);
    let bundle = world.attestor.run(&["bundle", "show"]);
    let bundle = world.scratch.write("bundle.pem", bundle);

    world.attestor.kill();
    let mut names = BTreeSet::new();
    for left in [1, 0] {
        // Its secret comes out of a lease that is made without the attestor, too.
        let script = "git ls-remote origin && exec /usr/bin/python3 -S client.py";
        let said = world.broker.run(&project, &["sh", "-c", script]).success();
        names.insert(name(&said));
        assert!(verifies(&bundle, &project), "{said}");
        assert!(said.contains(&format!("jwt {AWAY}")), "{said}");
        assert_eq!(ready(&world), left);
    }
    assert_eq!(names.len(), 2, "{names:?}");
    let told = world.broker.holdfast(&["status"]).success();
    assert!(
        told.contains("0 shell can start while the attestor is away"),
        "{told}"
    );

    // The third lives, and is told what it lacks.
    let third = client(&world, &project);
    assert!(third.stderr.contains("no SVID until"), "{third:#?}");
    let said = third.success();
    assert!(said.contains(&format!("x509 {AWAY}")), "{said}");

    world.attestor.resume(&world.scratch);
    wait_until(PATIENCE, "names are signed again", || ready(&world) == 2);
    let said = client(&world, &project).success();
    assert!(names.insert(name(&said)), "{said}: {names:?}");
    assert!(said.contains("jwt spiffe://"), "{said}");
    // Which of the names that it signed became sessions, the attestor reads in its copy of the log.
    let record = world.broker.holdfast(&["audit", "tail", "-n", "200"]);
    let record = record.success();
    for name in &names {
        let (_, session) = name.rsplit_once('/').unwrap();
        let started = format!("session {session} started by uid");
        assert_eq!(record.matches(&started).count(), 1, "{name}:\n{record}");
    }
    wait_until(PATIENCE, "the attestor has the log", || mirrored(&world));
}

#[test]
fn no_name_that_was_signed_before_a_ban_is_used_after_it() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    let project = world.scratch.folder("project");
    // No checkpoint comes by itself: that would be counted, too.
    let rarely = "[audit]\ncheckpoint-seconds = 86400\ncheckpoint-records = 100000";
    world.declare(&format!("{TWO_SHELLS}\n{rarely}"));
    wait_until(PATIENCE, "names are signed ahead", || ready(&world) == 2);
    // Whatever connects, has: each connection has the node key sign once.
    wait_until(PATIENCE, "the host listens", || {
        let log = world.attestor.log();
        log.rfind("a host listens") > log.rfind("attestation: attested")
    });
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    wait_until(PATIENCE, "the attestor has the log", || mirrored(&world));

    // One is used and replaced, and the TPM is not asked.
    let before = signed(&world);
    world.proxy.reset();
    let first = session(&world, &project).success();
    assert!(before.contains(first.trim()), "{first}: {before:?}");
    wait_until(PATIENCE, "another is signed", || ready(&world) == 2);
    assert_eq!(signed(&world).len(), before.len() + 1);
    assert_eq!(world.proxy.total(), 0, "{:?}", world.proxy.counts());

    let before = signed(&world);
    let listed = world.attestor.run(&["host", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let host = listed[0]["id"].as_str().unwrap().to_owned();
    world.attestor.run(&["host", "ban", &host, "--why", "lost"]);
    wait_until(PATIENCE, "none is left", || ready(&world) == 0);
    let refused = session(&world, &project);
    assert_eq!(refused.code, 5, "{refused:#?}");
    assert!(refused.stderr.contains("banned it: lost"), "{refused:#?}");

    world.attestor.run(&["host", "unban", &host]);
    world.attested();
    wait_until(PATIENCE, "names are signed anew", || ready(&world) == 2);
    let second = session(&world, &project).success();
    assert!(!before.contains(second.trim()), "{second}: {before:?}");
    assert!(signed(&world).contains(second.trim()), "{second}");
}

/// How many shells can start without the attestor, by the broker's word.
fn ready(world: &World) -> u64 {
    let status = world.broker.holdfast(&["status", "--json"]).stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    let shells = status["spares"].as_array().unwrap();
    assert_eq!(shells.len(), 1, "{status}");
    assert_eq!(shells[0]["kind"], "shell");
    shells[0]["ready"].as_u64().unwrap()
}

fn mirrored(world: &World) -> bool {
    let told = world.broker.holdfast(&["status"]).success();
    told.contains("all of it cosigned")
}

/// The names of sessions that the attestor has signed, by its log.
fn signed(world: &World) -> BTreeSet<String> {
    let log = world.attestor.log();
    let words = log.split_whitespace();
    let names = words.filter_map(|word| word.strip_prefix("spiffe_id="));
    let names = names.filter(|name| name.contains("/agent/"));
    names.map(str::to_owned).collect()
}

/// A session that says by which name it goes, and asks for nothing.
fn session(world: &World, project: &Path) -> Ran {
    let host = world.broker.holdfast(&["status", "--json"]).stdout;
    let host: Value = serde_json::from_str(&host).unwrap();
    let host = host["node"]["spiffe_id"].as_str().unwrap_or_default();
    let say = format!("echo {host}/agent/shell/$HOLDFAST_SESSION");
    world.broker.run(project, &["sh", "-c", &say])
}

fn client(world: &World, project: &Path) -> Ran {
    let python = ["/usr/bin/python3", "-S", "client.py"];
    world.broker.run(project, &python)
}

/// The name that the client was given.
fn name(said: &str) -> String {
    let line = said.lines().find_map(|line| line.strip_prefix("x509 "));
    let name = line.unwrap_or_default().to_owned();
    assert!(name.starts_with("spiffe://world.test/host/"), "{said}");
    name
}

fn verifies(bundle: &Path, project: &Path) -> bool {
    let chain: PathBuf = project.join("chain.pem");
    let verified = Command::new("openssl")
        .args(["verify", "-CAfile"])
        .args([bundle, &chain])
        .status();
    fs::remove_file(chain).unwrap();
    verified.unwrap().success()
}

/// A remote of the project's that wants a token, which lies in the vault.
fn remote_with_secret(world: &World, project: &Path) -> GitRemote {
    let remote = GitRemote::start(&world.scratch, USER, TOKEN, Guarded::Everything);
    git(project, &["init", "--quiet", "-b", "main"]);
    git(project, &["remote", "add", "origin", &remote.url()]);
    let token = world.scratch.private("token", TOKEN);
    let holdfast = |arguments: &[&str]| world.broker.holdfast(arguments).success();
    holdfast(&["secrets", "init", "--headless"]);
    let origin = ["origin", "--git", &remote.url(), "--username", USER];
    holdfast(&[&["secrets", "add"], &origin[..], &["--value-file", &token]].concat());
    remote
}
