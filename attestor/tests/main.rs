//! The attestor as its operator meets it: the program, its exit codes, its files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod ek_trust;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use holdfast_protocol::token::JoinToken;
use serde_json::Value;

struct Attestor {
    _folder: tempfile::TempDir,
    config: PathBuf,
}

impl Attestor {
    fn init() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let made = command()
            .args([
                "init",
                "--trust-domain",
                "example.org",
                "--listen",
                "127.0.0.1:0",
                "--state",
            ])
            .arg(&state)
            .output()
            .unwrap();
        assert_eq!(made.status.code(), Some(0), "{made:?}");
        Self {
            config: state.join("attestor.toml"),
            _folder: folder,
        }
    }

    fn state(&self) -> &Path {
        self.config.parent().unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        command()
            .args(args)
            .arg("--config")
            .arg(&self.config)
            .output()
            .unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn serve(&self) -> Serving {
        let child = command()
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Serving(child)
    }
}

/// A running attestor, killed if a test forgets it.
struct Serving(Child);

impl Serving {
    /// Lines of its log up to the one that has `text`.
    fn wait_for(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in BufReader::new(self.0.stderr.as_mut().unwrap()).lines() {
            let line = line.unwrap();
            let found = line.contains(text);
            lines.push(line);
            if found {
                return lines;
            }
        }
        assert!(lines.iter().any(|line| line.contains(text)), "{lines:?}");
        lines
    }

    fn terminate(mut self) -> i32 {
        let pid = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(Instant::now() < deadline, "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-attestor"));
    command
        .env_remove("HOLDFAST_ATTESTOR_CONFIG")
        .env_remove("RUST_LOG");
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn it_starts_says_where_it_listens_and_stops_when_told() {
    let attestor = Attestor::init();
    let mut serving = attestor.serve();
    let log = serving.wait_for("ready");
    let address = std::fs::read_to_string(attestor.state().join("address")).unwrap();
    let address = address.trim();
    assert!(log.last().unwrap().contains(address), "{log:?}");
    TcpStream::connect(address).unwrap();
    // Commands work beside a running attestor.
    assert_eq!(attestor.json(&["host", "list"]), Value::Array(vec![]));
    assert_eq!(serving.terminate(), 0);
    assert!(!attestor.state().join("address").exists());
}

#[test]
fn it_starts_again_after_it_was_killed() {
    let attestor = Attestor::init();
    let bundle = attestor.json(&["bundle", "show"]);
    let mut serving = attestor.serve();
    serving.wait_for("ready");
    serving.0.kill().unwrap();
    drop(serving);
    let mut serving = attestor.serve();
    serving.wait_for("ready");
    assert_eq!(attestor.json(&["bundle", "show"]), bundle);
    assert_eq!(serving.terminate(), 0);
}

#[test]
fn a_token_pins_the_authority_and_is_printed_once() {
    let attestor = Attestor::init();
    let output = attestor.run(&["token", "create", "--ttl", "5m"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let token: JoinToken = text.trim_end().parse().unwrap();
    assert_eq!(token.trust_domain.as_str(), "example.org");

    let bundle = attestor.json(&["bundle", "show"]);
    let root = bundle["keys"][0]["x5c"][0].as_str().unwrap();
    let root = data_encoding::BASE64.decode(root.as_bytes()).unwrap();
    assert_eq!(token.authority, holdfast_proof::hash::sha256(&root));

    // The registry has a hash, never the secret.
    let secret = token.secret.expose().as_slice();
    let text = text.trim_end().rsplit('.').next().unwrap().as_bytes();
    for entry in std::fs::read_dir(attestor.state()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for needle in [secret, text] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        }
    }
    let json = attestor.json(&["token", "create", "--host-name", "laptop"]);
    assert_eq!(json["host_name"], "laptop");
    assert!(json["token"].as_str().unwrap().parse::<JoinToken>().is_ok());
}

#[test]
fn the_bundle_is_pem_for_people() {
    let attestor = Attestor::init();
    let output = attestor.run(&["bundle", "show"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(text.lines().all(|line| line.len() <= 64));
}

#[test]
fn mistakes_in_the_configuration_are_usage_errors_and_open_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("attestor.toml");
    let state = folder.path().join("state");
    let text = format!("trust-domain = \"a\"\nstate = {state:?}\nlisen = \"127.0.0.1:0\"\n");
    std::fs::write(&config, text).unwrap();
    for words in [
        ["serve", "--json"].as_slice(),
        &["host", "list"],
        &["token", "create"],
    ] {
        let output = command()
            .args(words)
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let message = stderr(&output);
        assert!(message.contains("line 3"), "{message}");
        assert!(
            message.contains("`lisen`") && message.contains("`listen`"),
            "{message}"
        );
        assert!(message.contains("\n  next: "), "{message}");
    }
    assert!(!state.exists());

    let output = command()
        .args(["serve", "--config", "/nonexistent"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = command().arg("serf").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn failures_say_what_to_do_next() {
    let attestor = Attestor::init();
    let unknown = "a".repeat(26);
    for words in [["host", "show"], ["host", "revoke"], ["host", "relearn"]] {
        let output = attestor.run(&[words.as_slice(), &[&unknown]].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains("host list"), "{output:?}");
    }
    let output = attestor.run(&["token", "create", "--ttl", "8d"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");

    std::fs::set_permissions(attestor.state(), PermissionsExt::from_mode(0o755)).unwrap();
    let output = attestor.run(&["host", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("chmod 700"), "{output:?}");
}

#[test]
fn a_group_with_canaries_takes_no_update_past_them() {
    let attestor = Attestor::init();
    let text = std::fs::read_to_string(&attestor.config).unwrap();
    let groups = "[group.desks]\n[group.edge]\ncanary = \"first\"\n[group.first]\n";
    std::fs::write(&attestor.config, format!("{text}\n{groups}")).unwrap();
    let pcr = format!("11={}", "ab".repeat(32));
    let told = |words: &[&str], code: i32, said: &str| {
        let output = attestor.run(&[words, &["--pcr", &pcr]].concat());
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(stderr(&output).contains(said), "{output:?}");
    };
    told(
        &["host", "reference", "accept", "--group", "edge"],
        2,
        "rollout start edge",
    );
    told(&["rollout", "start", "desks"], 2, "has no canaries");
    told(&["rollout", "start", "gone"], 2, "says nothing of a group");
    told(
        &["rollout", "start", "edge"],
        1,
        "no host of the group `first`",
    );
    assert_eq!(attestor.json(&["rollout", "list"]), serde_json::json!([]));
    for words in ["show", "resume", "cancel"] {
        let output = attestor.run(&["rollout", words, "1"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains("rollout list"), "{output:?}");
        let output = attestor.run(&["rollout", words, "0"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

#[test]
fn an_address_that_is_taken_is_a_clear_failure() {
    let attestor = Attestor::init();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = std::fs::read_to_string(&attestor.config).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::fs::write(&attestor.config, text.replace("127.0.0.1:0", &address)).unwrap();
    let output = attestor.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains(&format!("cannot listen on {address}")),
        "{output:?}"
    );
}

#[test]
fn init_changes_nothing_that_is_there() {
    let attestor = Attestor::init();
    let before = std::fs::read(&attestor.config).unwrap();
    let output = command()
        .args(["init", "--trust-domain", "example.com", "--state"])
        .arg(attestor.state())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(std::fs::read(&attestor.config).unwrap(), before);
    let checked = attestor.run(&["config", "--check"]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}
