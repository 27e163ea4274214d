//! Secrets that were made a moment ago, and the search for them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::{Value, json};

/// What reads everything that a session can read.
const SWEEP: &str = include_str!("sweep.py");

/// As the sweep unmasks it.
const MASK: u8 = 0x5a;

/// The user's name at the git service.
pub const USER: &str = "agent";

/// What is to stay outside, and what is to be found inside if the search is any good.
pub struct Secrets {
    /// The model's real key.
    pub key: String,
    /// The git service's real token.
    pub token: String,
    /// No secret: it lies about in the session, in a file and in a variable.
    pub canary: String,
    /// No secret: a word of the human's prompt, which the agent's transcript has.
    pub prompt: String,
    since: SystemTime,
}

impl Secrets {
    /// Fresh ones.
    pub fn random() -> Self {
        Self {
            key: format!("sk-ant-api03-{}", random()),
            token: format!("ghp_{}", random()),
            canary: format!("canary-{}", random()),
            prompt: format!("prompt-{}", random()),
            // Clocks of file systems are coarse.
            since: SystemTime::now() - Duration::from_secs(2),
        }
    }

    /// What must be nowhere: a piece of each secret, in clear and as HTTP has them.
    fn hidden(&self) -> [(&'static str, String); 3] {
        let inner = |secret: &str| secret.chars().skip(8).take(32).collect();
        let basic = BASE64_NOPAD.encode(format!("{USER}:{}", self.token).as_bytes());
        [
            ("key", inner(&self.key)),
            ("token", inner(&self.token)),
            ("basic", inner(&basic)),
        ]
    }

    /// Puts the sweep into `project`, with a masked list of what it looks for.
    pub fn plant(&self, project: &Path) {
        let open = [("canary", &self.canary), ("prompt", &self.prompt)];
        let open = open.map(|(name, text)| (name, text.clone()));
        let needles: serde_json::Map<String, Value> = self
            .hidden()
            .into_iter()
            .chain(open)
            .map(|(name, text)| {
                let masked: Vec<u8> = text.bytes().map(|byte| byte ^ MASK).collect();
                (name.to_owned(), json!(HEXLOWER.encode(&masked)))
            })
            .collect();
        let since = self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let told = json!({"needles": needles, "since": since.as_secs_f64()});
        fs::write(project.join("needles.json"), told.to_string()).unwrap();
        fs::write(project.join("canary"), &self.canary).unwrap();
        fs::write(project.join("sweep.py"), SWEEP).unwrap();
    }

    /// That `text` has none of the secrets.
    pub fn are_not_in(&self, what: &str, text: &str) {
        for (name, secret) in self.hidden() {
            assert!(!text.contains(&secret), "the {name} is in {what}");
        }
    }

    /// That no file below `folder` has any of the secrets; the canary, which lies in one, is found.
    pub fn are_in_no_file_below(&self, folder: &Path) {
        for (name, secret) in self.hidden() {
            assert_eq!(files_with(&secret, folder), "", "the {name} is in files");
        }
        assert_ne!(files_with(&self.canary, folder), "", "the search is blind");
    }
}

/// What a sweep found.
pub struct Swept(Value);

impl Swept {
    /// The report of the sweep that ran in `project`; it is taken away.
    pub fn take(project: &Path) -> Self {
        let file = project.join("sweep.json");
        let report = fs::read_to_string(&file).expect("the sweep's report");
        fs::remove_file(file).unwrap();
        let swept = Self(serde_json::from_str(&report).unwrap());
        println!("swept: {} in {} s", swept.0["read"], swept.0["seconds"]);
        swept
    }

    /// Where `name` was found.
    pub fn places(&self, name: &str) -> Vec<&str> {
        let places = self.0["found"][name].as_array().unwrap();
        places.iter().map(|place| place.as_str().unwrap()).collect()
    }

    /// That no secret was found, and everything that lay open was: in a file, in an environment, in a memory.
    pub fn found_only_what_lay_open(&self) {
        for secret in ["key", "token", "basic"] {
            assert_eq!(self.places(secret), Vec::<&str>::new(), "{secret}");
        }
        let canaries = self.places("canary");
        for end in ["/canary", "/environ", "/mem"] {
            let found = canaries.iter().any(|place| place.ends_with(end));
            assert!(found, "the sweep is blind for {end}: {:#}", self.0);
        }
    }
}

fn random() -> String {
    let mut bytes = [0; 20];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty()).unwrap();
    assert_eq!(filled, bytes.len());
    HEXLOWER.encode(&bytes)
}

/// The files below `folder` that hold `text`, a line for each.
fn files_with(text: &str, folder: &Path) -> String {
    let mut grep = Command::new("grep")
        .args(["-rlaF", "--devices=skip", "-f", "-", "--"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut patterns = grep.stdin.take().unwrap();
    patterns.write_all(text.as_bytes()).unwrap();
    drop(patterns);
    let output = grep.wait_with_output().unwrap();
    // 1: nothing found. Sockets and what went away meanwhile make it 2, with or without finds.
    assert!(output.status.code().is_some(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
