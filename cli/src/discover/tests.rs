#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;

/// Values that must never be seen.
const SECRETS: [&str; 14] = [
    "AnthropicInRc",
    "TokenOfGithub",
    "hunter2",
    "LoginOfClaude",
    "RefreshOfClaude",
    "KeyOfCodex",
    "KeyOfProcess",
    "TypedInFull",
    "BearerOfServer",
    "PathOfServer",
    "KeyOfServer",
    "AwsSecretHere",
    "KeyOfProject",
    "FromTheShell",
];

/// A machine that never was.
struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    fn new() -> Self {
        let fake = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fake.fill();
        fake
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn program(&self, path: &str, text: &str) {
        self.file(path, text);
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn process(&self, pid: u32, uid: u32, cgroup: &str, line: &[&str], variables: &[&str]) {
        let folder = format!("proc/{pid}");
        self.file(
            &format!("{folder}/status"),
            &format!("Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n"),
        );
        self.file(&format!("{folder}/cgroup"), &format!("0::{cgroup}\n"));
        let ended = |parts: &[&str]| {
            parts
                .iter()
                .map(|part| format!("{part}\0"))
                .collect::<String>()
        };
        self.file(&format!("{folder}/cmdline"), &ended(line));
        self.file(&format!("{folder}/environ"), &ended(variables));
        symlink(line[0], self.at(&format!("{folder}/exe"))).unwrap();
        symlink(self.at("home/work/app"), self.at(&format!("{folder}/cwd"))).unwrap();
    }

    fn fill(&self) {
        self.program("home/.local/bin/claude", "\u{7f}ELF");
        self.program(
            "home/.local/share/holdfast/bin/codex",
            "#!/bin/sh\n# holdfast connect: codex starts sealed\n",
        );
        let node = "home/.nvm/versions/node/v22.1.0";
        let package = format!("{node}/lib/node_modules/@openai/codex");
        self.file(
            &format!("{package}/package.json"),
            r#"{"name": "@openai/codex", "version": "0.9.1"}"#,
        );
        self.program(&format!("{node}/bin/codex"), "#!/usr/bin/env node\n");
        fs::create_dir_all(
            self.at("home/.vscode/extensions/anthropic.claude-code-2.1.3-linux-x64"),
        )
        .unwrap();
        fs::create_dir_all(self.at("home/.vscode/extensions/anthropic.claude-codex-9")).unwrap();
        fs::create_dir_all(self.at("home/.local/share/uv/tools/aider-chat")).unwrap();
        self.file("home/.claude/settings.json", "{}");
        self.file(
            "home/.claude/.credentials.json",
            r#"{"claudeAiOauth": {"accessToken": "sk-ant-oat01-LoginOfClaude", "refreshToken": "sk-ant-ort01-RefreshOfClaude",
                "expiresAt": 1}}"#,
        );
        let app = self.at("home/work/app").display().to_string();
        self.file(
            "home/.claude.json",
            &serde_json::json!({
                "mcpServers": {"github": {"command": "npx",
                    "args": ["-y", "@modelcontextprotocol/server-github", "--token", "ghp_TokenOfGithub"],
                    "env": {"GITHUB_TOKEN": "ghp_TokenOfGithub"}}},
                "projects": {app: {"mcpServers": {"web": {"type": "http",
                    "url": "https://u:hunter2@mcp.example/s/PathOfServer/mcp?key=KeyOfServer",
                    "headers": {"Authorization": "Bearer BearerOfServer"}}}}},
            })
            .to_string(),
        );
        self.file(
            "home/work/app/.mcp.json",
            "{\"mcpServers\": {\"odd\\u001b[2J\": {}, // comment\n}}",
        );
        self.file(
            "home/work/app/.env",
            "STRIPE_SECRET_KEY=sk_live_KeyOfProject\n",
        );
        self.file(
            "home/.codex/config.toml",
            "[mcp_servers.docs]\ncommand = \"docs-server\"\nargs = [\"TypedInFull\"]\n",
        );
        self.file(
            "home/.codex/auth.json",
            r#"{"OPENAI_API_KEY": "sk-proj-KeyOfCodex", "tokens": null}"#,
        );
        self.file("home/.gemini/settings.json", "not json at all");
        self.file(
            "home/.bashrc",
            "export ANTHROPIC_API_KEY=\"sk-ant-api03-AnthropicInRc\"\nexport PATH=x:$PATH\n",
        );
        self.file("home/.git-credentials", "https://dev:hunter2@git.example\n");
        self.file(
            "home/.netrc",
            "machine api.example login dev password hunter2\n",
        );
        self.file(
            "home/.aws/credentials",
            "[default]\naws_secret_access_key = AwsSecretHere\n",
        );
        self.file("home/.ssh/id_ed25519", "");
        self.file("home/.kube/config", "");
        fs::create_dir_all(self.at("run/user/1000")).unwrap();
        drop(UnixListener::bind(self.at("run/user/1000/bus")).unwrap());
        self.process(
            41,
            1000,
            // A human may call a cgroup of their own so.
            "/user.slice/holdfast-sessions/1000-1",
            &[
                "claude",
                "--dangerously-skip-permissions",
                "-p",
                "TypedInFull",
            ],
            &[
                "OPENAI_API_KEY=sk-proj-KeyOfProcess",
                "HOME=/x",
                "SSH_AUTH_SOCK=/run/user/1000/bus",
            ],
        );
        self.process(
            42,
            1000,
            "/user.slice",
            &[
                "/usr/bin/node",
                "--no-warnings",
                "/x/lib/node_modules/@google/gemini-cli/dist/index.js",
                "TypedInFull",
            ],
            &[],
        );
        self.process(
            43,
            70001,
            "/launcher/holdfast-sessions/70001-3",
            &["claude"],
            &["A_TOKEN=x"],
        );
        self.process(44, 1001, "/", &["claude"], &[]);
        self.process(45, 1000, "/", &["vim", "claude"], &[]);
    }

    fn report(&self) -> Report {
        let machine = Machine {
            root: self.folder.path().to_owned(),
            proc: self.at("proc"),
            humans: vec![Human {
                uid: 1000,
                name: "dev".to_owned(),
                home: self.at("home"),
                groups: vec!["dev".to_owned(), "docker".to_owned()],
            }],
            own_uid: 1000,
            path: vec![
                self.at("home/.local/share/holdfast/bin"),
                self.at("home/.local/bin"),
            ],
            environment: vec![
                ("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-FromTheShell"),
                ("LANG", "C"),
            ],
            projects: Vec::new(),
        };
        Report::look(&machine, &Catalog::built_in().unwrap())
    }

    /// Without the folder's own name, which is another each time.
    fn told(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "/fake")
    }
}

#[test]
fn what_runs_and_lies_about_is_told() {
    let fake = Fake::new();
    let report = fake.report();
    assert!(report.found_some());
    insta::assert_snapshot!(fake.told(&crate::render::discover::report(&report)));
}

#[test]
fn scripts_find_the_same_fields() {
    let fake = Fake::new();
    let json = serde_json::to_string_pretty(&fake.report()).unwrap();
    insta::assert_snapshot!(fake.told(&json));
}

#[test]
fn no_secret_is_told() {
    let fake = Fake::new();
    let report = fake.report();
    let told = [
        crate::render::discover::report(&report),
        serde_json::to_string(&report).unwrap(),
        format!("{report:?}"),
    ];
    // They are there to be told.
    let mut all = String::new();
    for entry in walk(fake.folder.path()) {
        all.push_str(&String::from_utf8_lossy(&fs::read(entry).unwrap()));
    }
    for secret in SECRETS {
        assert!(
            all.contains(secret) || secret == "FromTheShell",
            "{secret} is nowhere"
        );
        assert!(
            told.iter().all(|told| !told.contains(secret)),
            "{secret} was told"
        );
    }
    assert!(told.iter().all(|told| !told.contains('\u{1b}')));
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files.extend(walk(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn a_machine_without_agents_has_none() {
    let fake = Fake {
        folder: tempfile::tempdir().unwrap(),
    };
    fs::create_dir_all(fake.at("home")).unwrap();
    fs::create_dir_all(fake.at("proc")).unwrap();
    let report = fake.report();
    assert!(!report.found_some());
    assert!(report.humans[0].agents.is_empty());
}

#[test]
fn a_name_that_is_no_text_keeps_nothing_from_being_told() {
    use std::os::unix::ffi::OsStrExt;
    let fake = Fake::new();
    let odd = std::ffi::OsStr::from_bytes(b"v\xff\x1b");
    let folder = fake.at("home/.nvm/versions/node").join(odd).join("bin");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("amp"), "").unwrap();
    fs::set_permissions(folder.join("amp"), fs::Permissions::from_mode(0o755)).unwrap();
    let report = fake.report();
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.contains("\"agent\":\"amp\""), "{json}");
    assert!(json.contains("\"agent\":\"claude\""));
    assert!(!crate::render::discover::report(&report).contains('\u{1b}'));
}
