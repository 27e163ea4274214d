//! What the quickstart plays against: a scripted model and a git service, both on loopback.
//!
//!     rehearsal FOLDER
//!
//! Reads the key and the token that they want from `FOLDER/model-key` and `FOLDER/git-token`, writes
//! their addresses to `FOLDER/model-url` and `FOLDER/git-url`, and serves until it is killed. It must
//! never answer who does not show the right one.

use std::path::Path;
use std::{fs, thread};

use holdfast_hardware_tests::harness::{GitRemote, Guarded, ModelServer, Scratch, Turn};

/// The user at the git service.
const USER: &str = "agent";

/// What the model wants done: the harmless, the forbidden, and what matters.
const SCRIPT: [&str; 3] = [
    "echo 'fn main() {}' > main.rs && git add main.rs && git commit -qm Begin && git log --oneline",
    "cat ~/.ssh/id_ed25519",
    "git push origin main",
];

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, "usage: rehearsal FOLDER")
    })?;
    let folder = Path::new(&folder);
    let read = |name: &str| fs::read_to_string(folder.join(name));
    let (key, token) = (read("model-key")?, read("git-token")?);

    let mut script: Vec<Turn> = SCRIPT.map(|line| Turn::Bash(line.to_owned())).into();
    script.push(Turn::Text("Committed and pushed.".to_owned()));
    let model = ModelServer::start(key.trim(), script);
    let scratch = Scratch::new();
    let git = GitRemote::start(&scratch, USER, token.trim(), Guarded::Everything);

    // The second file says that both serve.
    fs::write(folder.join("model-url"), model.url())?;
    fs::write(folder.join("git-url"), git.url())?;
    loop {
        thread::park();
    }
}
