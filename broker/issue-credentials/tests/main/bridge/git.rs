//! The real git, led by the variables that a session has, against a service that wants a token.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use holdfast_issue_credentials::bridge::{Upstream, credential, environment};
use holdfast_protocol::call::{Effect, History};
use holdfast_protocol::session::{
    GitCredentialOperation, GitCredentialRequest, GitCredentialResponse,
};
use rustix::process::{Pid, Signal, kill_process_group};
use rustls::RootCertStore;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::clock;

use super::git_service::GitService;
use super::world::{Rule, TOKEN, World, git, plain};

/// A session's git: its variables, its helper, its home.
struct Session {
    world: World,
    service: GitService,
    home: TempDir,
    /// Ends with the session.
    _helper: JoinSet<()>,
    variables: Vec<(String, String)>,
}

impl Session {
    async fn start(below: &str, rule: fn(&str) -> Rule) -> Self {
        let service = GitService::start().await;
        let granted = vec![git("hub", &format!("{}{below}", service.url))];
        let world = World::start(granted, plain(), move |asked| rule(asked.tool)).await;
        Self::of(world, service).await
    }

    async fn of(world: World, service: GitService) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut tasks = JoinSet::new();
        let helper = helper(home.path(), &world, &mut tasks).await;
        let variables = environment(&world.granted, world.port, helper.to_str().unwrap());
        Self {
            world,
            service,
            home,
            _helper: tasks,
            variables,
        }
    }

    /// The remote, as a person writes it.
    fn remote(&self) -> String {
        format!("{}/org/repo.git", self.service.url)
    }

    async fn git(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("GIT_AUTHOR_NAME", "a")
            .env("GIT_AUTHOR_EMAIL", "a@example.org")
            .env("GIT_COMMITTER_NAME", "a")
            .env("GIT_COMMITTER_EMAIL", "a@example.org")
            .envs(self.variables.clone())
            .kill_on_drop(true);
        command
    }

    async fn cloned(&self) {
        done(&self.git(&["clone", "-q", &self.remote(), "work"]).await);
    }

    async fn commit(&self) {
        done(
            &self
                .git(&["-C", "work", "commit", "-q", "--allow-empty", "-m", "x"])
                .await,
        );
    }

    async fn push(&self, arguments: &[&str]) -> Output {
        let arguments = [&["-C", "work", "push"], arguments].concat();
        self.git(&arguments).await
    }

    async fn head(&self) -> String {
        done(&self.git(&["-C", "work", "rev-parse", "HEAD"]).await)
    }
}

/// A helper that hands git's words to [`credential::wanted`], as the command line does by the
/// session's socket.
async fn helper(home: &Path, world: &World, tasks: &mut JoinSet<()>) -> PathBuf {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (granted, port) = (world.granted.clone(), world.port);
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (reader, mut writer) = stream.split();
            let mut reader = BufReader::new(reader);
            let mut operation = String::new();
            reader.read_line(&mut operation).await.unwrap();
            let mut attributes = Vec::new();
            reader
                .take(64 * 1024)
                .read_until(b'\0', &mut attributes)
                .await
                .unwrap();
            attributes.pop();
            let operation = match operation.trim() {
                "get" => GitCredentialOperation::Get,
                "store" => GitCredentialOperation::Store,
                "erase" => GitCredentialOperation::Erase,
                other => panic!("{other}"),
            };
            let attributes = String::from_utf8(attributes).unwrap();
            let request = GitCredentialRequest {
                operation,
                attributes,
            };
            let answer = match credential::wanted(&granted, port, &request) {
                Ok(wanted) => wanted.placeholder(),
                Err(answer) => answer,
            };
            let said = match answer {
                GitCredentialResponse::Placeholder { username, password } => {
                    format!("username={username}\npassword={}\n", *password.expose())
                }
                GitCredentialResponse::Nothing => String::new(),
                GitCredentialResponse::Refused { why } => {
                    eprintln!("{why}");
                    "quit=1\n".to_owned()
                }
            };
            writer.write_all(said.as_bytes()).await.unwrap();
        }
    });
    let (host, port) = (address.ip(), address.port());
    let script = format!(
        "#!/bin/bash\nexec 3<>/dev/tcp/{host}/{port}\n{{ echo \"$1\"; cat; printf '\\0'; }} >&3\ncat <&3\n"
    );
    let path = home.join("helper");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .trim()
        .to_owned()
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

fn allow(_tool: &str) -> Rule {
    Rule::Allow
}

#[tokio::test]
async fn over_tls_a_push_arrives_at_whom_the_host_trusts_and_at_nobody_else() {
    let (service, certificate) = GitService::with_tls().await;
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate).unwrap();
    let granted = vec![git("hub", &format!("{}/org", service.url))];
    let upstream = Upstream::trusting(trusted, &clock()).unwrap();
    let world = World::start(granted, upstream, |_| Rule::Allow).await;
    let session = Session::of(world, service).await;
    assert!(session.remote().starts_with("https://localhost:"));
    session.cloned().await;
    session.commit().await;
    done(&session.push(&["origin", "main"]).await);
    let head = session.head().await;
    assert_eq!(session.service.names("refs/heads/main"), Some(head));
    let asked = session.world.asked();
    let pushed = asked.iter().filter(|asked| asked.tool == "git-push");
    assert_eq!(pushed.count(), 1);

    // The same service, to a host that does not trust it: the token stays here.
    let (stranger, _) = GitService::with_tls().await;
    let granted = vec![git("hub", &format!("{}/org", stranger.url))];
    let session = Session::of(World::allowing(granted).await, stranger).await;
    let output = session.git(&["ls-remote", &session.remote()]).await;
    assert!(!output.status.success(), "{}", said(&output));
    assert!(session.service.shown().is_empty());
}

fn no_push(tool: &str) -> Rule {
    match tool {
        "git-push" => Rule::Deny("a push to `main` wants a human, and she said no"),
        _ => Rule::Allow,
    }
}

#[tokio::test]
async fn clone_fetch_and_push_work_without_the_token() {
    let session = Session::start("/org", allow).await;
    session.cloned().await;
    session.commit().await;
    done(
        &session
            .push(&["origin", "main", "HEAD:refs/heads/new"])
            .await,
    );
    let head = session.head().await;
    assert_eq!(session.service.names("refs/heads/main"), Some(head.clone()));
    assert_eq!(session.service.names("refs/heads/new"), Some(head));
    done(&session.git(&["-C", "work", "fetch", "-q"]).await);
    done(&session.push(&["origin", ":refs/heads/new"]).await);
    assert_eq!(session.service.names("refs/heads/new"), None);

    // The service saw the token and nothing else; the project has neither it nor the placeholder.
    let expected = data_encoding::BASE64.encode(format!("x-access-token:{TOKEN}").as_bytes());
    assert!(
        session
            .service
            .shown()
            .iter()
            .all(|shown| *shown == format!("Basic {expected}"))
    );
    let config = std::fs::read_to_string(session.home.path().join("work/.git/config")).unwrap();
    assert!(config.contains(&session.remote()), "{config}");
    assert!(
        !config.contains("hf_") && !config.contains(TOKEN),
        "{config}"
    );

    let pushes: Vec<_> = session
        .world
        .asked()
        .into_iter()
        .filter(|asked| asked.tool == "git-push")
        .collect();
    let remote = Some(session.remote());
    let push = |name: &str, history| Effect::Pushes {
        remote: remote.clone(),
        refspec: Some(format!("refs/heads/{name}")),
        history,
    };
    let secret = Effect::UsesSecret {
        name: "hub".to_owned(),
    };
    assert_eq!(
        pushes[0].effects,
        [
            push("main", History::Kept),
            push("new", History::Kept),
            secret.clone()
        ]
    );
    assert_eq!(pushes[0].arguments["commands"][0]["update"], true);
    assert_eq!(pushes[0].arguments["commands"][1]["update"], false);
    assert_eq!(
        pushes[1].effects,
        [push("new", History::Overwritten), secret]
    );
    let ended = session.world.end().await;
    assert!(
        ended
            .iter()
            .all(|(outcome, _)| outcome.starts_with("HTTP ")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_denied_push_says_why_and_changes_nothing() {
    let session = Session::start("/org", no_push).await;
    session.cloned().await;
    let before = session.service.names("refs/heads/main");
    session.commit().await;
    let output = session.push(&["origin", "main"]).await;
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    let why = "holdfast: a push to `main` wants a human, and she said no";
    assert!(
        text.contains(&format!("! [remote rejected] main -> main ({why})")),
        "{text}"
    );
    assert!(text.contains(&format!("remote: {why}")), "{text}");
    assert_eq!(session.service.names("refs/heads/main"), before);
    println!("{text}");
}

#[tokio::test]
async fn a_push_larger_than_gits_buffer_is_streamed_or_denied() {
    for (rule, allowed) in [(allow as fn(&str) -> Rule, true), (no_push, false)] {
        let session = Session::start("/org", rule).await;
        session.cloned().await;
        // Random, so that no compression makes it small.
        let script = "head -c 6000000 /dev/urandom > work/large && git -C work add large";
        let status = Command::new("sh")
            .args(["-c", script])
            .current_dir(session.home.path())
            .status()
            .await
            .unwrap();
        assert!(status.success());
        session.commit().await;
        let output = session.push(&["origin", "main"]).await;
        assert_eq!(output.status.success(), allowed, "{}", said(&output));
        let arrived = session.service.names("refs/heads/main") == Some(session.head().await);
        assert_eq!(arrived, allowed);
        if !allowed {
            assert!(
                said(&output).contains("[remote rejected] main -> main"),
                "{}",
                said(&output)
            );
        }
    }
}

#[tokio::test]
async fn one_repository_can_be_the_remote() {
    let session = Session::start("/org/repo.git", allow).await;
    session.cloned().await;
    session.commit().await;
    done(&session.push(&["origin", "main"]).await);
    assert_eq!(
        session.service.names("refs/heads/main"),
        Some(session.head().await)
    );
    assert_eq!(
        session.world.asked()[0].arguments["remote"],
        session.remote()
    );
}

#[tokio::test]
async fn options_make_a_push_one_that_cannot_be_inspected() {
    let session = Session::start("/org", allow).await;
    session.cloned().await;
    session.commit().await;
    done(
        &session
            .push(&["-o", "merge_request.create", "origin", "HEAD:refs/heads/x"])
            .await,
    );
    let asked = session.world.asked();
    let push = asked.iter().find(|asked| asked.tool == "git-push").unwrap();
    assert!(
        push.effects
            .iter()
            .any(|effect| matches!(effect, Effect::Uninspectable { why, .. }
            if why.contains("merge_request.create"))),
        "{push:?}"
    );
}

#[tokio::test]
async fn without_the_placeholder_there_is_no_token() {
    let mut session = Session::start("/org", allow).await;
    // Whoever shows something else is refused before the service hears of it.
    let mut wrong = session.variables.clone();
    let bridge = format!("http://127.0.0.1:{}", session.world.port);
    for (_, value) in &mut wrong {
        if value.ends_with("/helper") {
            *value = "!f() { echo username=u; echo password=hf_wrong; }; f".to_owned();
        }
    }
    let right = std::mem::replace(&mut session.variables, wrong);
    let output = session
        .git(&["clone", "-q", &session.remote(), "work"])
        .await;
    assert!(!output.status.success());
    assert!(said(&output).contains("403"), "{}", said(&output));
    assert!(session.service.shown().is_empty());
    // Whoever has no helper gets the service's own refusal.
    session.variables = right
        .into_iter()
        .map(|(name, value)| {
            (
                name,
                if value.ends_with("/helper") {
                    String::new()
                } else {
                    value
                },
            )
        })
        .collect();
    let output = session
        .git(&["clone", "-q", &session.remote(), "work"])
        .await;
    assert!(!output.status.success());
    assert!(
        said(&output).contains("could not read Username"),
        "{}",
        said(&output)
    );
    // Another name at the bridge is refused by the helper and by the bridge.
    let output = session
        .git(&["clone", "-q", &format!("{bridge}/git/other/x"), "work"])
        .await;
    assert!(said(&output).contains("403"), "{}", said(&output));
    assert!(session.service.shown().is_empty());
}

#[tokio::test]
async fn a_push_waits_for_its_human_and_is_given_up_with_its_git() {
    let service = GitService::start().await;
    let granted = vec![git("hub", &format!("{}/org", service.url))];
    let human = Arc::new(Notify::new());
    let held = human.clone();
    let world = World::start(granted, plain(), move |asked| match asked.tool {
        "git-push" => Rule::Hold(held.clone()),
        _ => Rule::Allow,
    })
    .await;
    let session = Session::of(world, service).await;
    session.cloned().await;
    let before = session.service.names("refs/heads/main");
    session.commit().await;
    let asked = || {
        session
            .world
            .tools()
            .iter()
            .filter(|tool| **tool == "git-push")
            .count()
    };

    // Git's transport is a process of its own, and all of them go.
    let mut given_up = session.command(&["-C", "work", "push", "origin", "main"]);
    let mut given_up = given_up.process_group(0).spawn().unwrap();
    until(|| asked() == 1).await;
    let group = Pid::from_raw(given_up.id().unwrap().cast_signed()).unwrap();
    kill_process_group(group, Signal::KILL).unwrap();
    given_up.wait().await.unwrap();
    // The question is dropped with the connection: nobody is left to wake.
    tokio::time::sleep(Duration::from_millis(200)).await;
    human.notify_waiters();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(session.service.names("refs/heads/main"), before);

    let push = session
        .command(&["-C", "work", "push", "origin", "main"])
        .spawn()
        .unwrap();
    until(|| asked() == 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(session.service.names("refs/heads/main"), before);
    human.notify_waiters();
    done(&push.wait_with_output().await.unwrap());
    assert_eq!(
        session.service.names("refs/heads/main"),
        Some(session.head().await)
    );
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to that");
}
