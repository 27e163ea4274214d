//! Agents outside Holdfast are found, told without their secrets, and brought in by one command.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{
    ModelServer, Scratch, Turn, bare_claude, bin, claude, wait_until,
};
use holdfast_hardware_tests::world::World;
use serde_json::Value;

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys that lie about; none of them may be told.
const KEYS: [&str; 3] = [
    "sk-ant-api03-InTheProcess",
    "sk-ant-api03-InTheStartupFile",
    "ghp_InTheConfiguration",
];

/// `holdfast` by somebody whose home this is.
fn holdfast(home: &Path, path: &str) -> Command {
    let mut command = Command::new(bin("holdfast"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", path)
        .env("SHELL", "/bin/bash")
        .current_dir(home);
    command
}

fn output(command: &mut Command) -> (i32, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&told).into_owned(),
    )
}

/// Ended when dropped.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_agent_that_runs_outside_is_found_without_its_secrets() {
    let Some(program) = claude() else { return };
    let scratch = Scratch::new();
    let home = scratch.folder("home");
    let bin_folder = scratch.folder("home/.local/bin");
    symlink(&program, bin_folder.join("claude")).unwrap();
    fs::write(
        home.join(".bashrc"),
        format!("export ANTHROPIC_API_KEY={}\n", KEYS[1]),
    )
    .unwrap();
    let servers = serde_json::json!({"mcpServers": {"github": {"command": "npx",
        "args": ["-y", "@modelcontextprotocol/server-github"], "env": {"GITHUB_TOKEN": KEYS[2]}}}});
    fs::write(home.join(".claude.json"), servers.to_string()).unwrap();

    // It waits for words on its standard input.
    let model = ModelServer::start(KEYS[0], Vec::new());
    let mut command = bare_claude(&program, &scratch, &model, KEYS[0]);
    command.args([
        "-p",
        "--verbose",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
    ]);
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = u64::from(child.id());
    let _agent = Agent(child);

    let path = format!("{}:/usr/bin:/bin", bin_folder.display());
    let look = || -> Value {
        let (code, json) = output(holdfast(&home, &path).args(["agents", "discover", "--json"]));
        assert_eq!(code, 0, "{json}");
        for key in KEYS {
            assert!(!json.contains(key), "{key} was told");
        }
        serde_json::from_str(&json).unwrap()
    };
    let mut found = Value::Null;
    wait_until(PATIENCE, "the agent in the report", || {
        let report = look();
        let human = &report["humans"][0];
        found = human.clone();
        let agents = human["agents"].as_array().unwrap();
        agents.iter().any(|agent| {
            let running = agent["running"].as_array().unwrap();
            agent["agent"] == "claude" && running.iter().any(|process| process["pid"] == pid)
        })
    });
    let agents = found["agents"].as_array().unwrap();
    let agent = agents
        .iter()
        .find(|agent| agent["agent"] == "claude")
        .unwrap();
    let installed = agent["installed"].as_array().unwrap();
    let place = bin_folder.join("claude").display().to_string();
    assert!(
        installed
            .iter()
            .any(|install| install["place"] == place.as_str()),
        "{agent:#}"
    );
    assert_eq!(agent["servers"][0]["given"][0], "GITHUB_TOKEN");
    let process = agent["running"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["pid"] == pid)
        .unwrap();
    assert_eq!(process["inside"], "nothing");
    let keys = found["keys"].as_array().unwrap();
    let of_process = keys
        .iter()
        .find(|key| key["place"]["process"] == pid)
        .unwrap();
    assert_eq!(of_process["name"], "ANTHROPIC_AUTH_TOKEN");
    assert_eq!(of_process["length"], KEYS[0].len());

    let (code, text) = output(holdfast(&home, &path).args(["agents", "discover", "--fail"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("holdfast connect claude"), "{text}");
    for key in KEYS {
        assert!(!text.contains(key), "{key} was told");
    }
}

/// A home with an agent that tells where it runs, and `holdfast` by a name that needs no `--socket`.
struct Home {
    home: PathBuf,
    path: String,
    holdfast: PathBuf,
}

impl Home {
    fn new(world: &World) -> Self {
        let home = Self::without(world);
        let agent = home.home.join("agents/claude");
        fs::write(
            &agent,
            "#!/bin/sh\necho \"agent $* session=${HOLDFAST_SESSION-none}\"\n",
        )
        .unwrap();
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
        home
    }

    /// One whose agent is this program.
    fn with(world: &World, program: &Path) -> Self {
        let home = Self::without(world);
        symlink(program, home.home.join("agents/claude")).unwrap();
        home
    }

    fn without(world: &World) -> Self {
        let home = world.scratch.folder("home");
        let agents = world.scratch.folder("home/agents");
        fs::write(home.join(".bashrc"), "# mine\n").unwrap();
        Self {
            path: format!("{}:/usr/bin:/bin", agents.display()),
            holdfast: bin("holdfast"),
            home,
        }
    }

    fn connect(&self, arguments: &[&str]) -> (i32, String) {
        output(
            holdfast(&self.home, &self.path)
                .arg("connect")
                .args(arguments),
        )
    }

    /// A line in a new shell that reads its startup file.
    fn shell(&self, world: &World, shell: &[&str], line: &str) -> String {
        let mut command = Command::new(shell[0]);
        command
            .args(&shell[1..])
            .arg(line)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", &self.path)
            .env("USER", "dev")
            .env("HOLDFAST_SOCKET", world.broker.socket())
            .current_dir(world.scratch.folder("home/project"));
        output(&mut command).1
    }
}

#[test]
fn the_bare_command_is_sealed_once_connected_and_bare_again_when_undone() {
    let Some(world) = World::sealed() else { return };
    let home = Home::new(&world);
    let bash = ["bash", "-i", "-c"];
    let bare = home.shell(&world, &bash, "claude --version");
    assert!(bare.contains("agent --version session=none"), "{bare}");

    // Without being told to it only says what to add.
    let (code, told) = home.connect(&["claude"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("export PATH="), "{told}");
    assert_eq!(
        fs::read_to_string(home.home.join(".bashrc")).unwrap(),
        "# mine\n"
    );
    let (code, told) = home.connect(&["claude", "--write"]);
    assert_eq!(code, 0, "{told}");
    let twice = fs::read_to_string(home.home.join(".bashrc")).unwrap();
    home.connect(&["claude", "--write"]);
    assert_eq!(
        fs::read_to_string(home.home.join(".bashrc")).unwrap(),
        twice
    );

    let sealed = home.shell(&world, &bash, "claude --version; type claude");
    assert!(sealed.contains("agent --version session="), "{sealed}");
    assert!(!sealed.contains("session=none"), "{sealed}");
    assert!(
        sealed.contains(".local/share/holdfast/bin/claude"),
        "{sealed}"
    );

    // Inside a session it starts the agent itself, in the same session.
    let line = format!(
        "{} run -- sh -c 'echo outer=$HOLDFAST_SESSION; claude inner'",
        home.holdfast.display()
    );
    let inside = home.shell(&world, &bash, &line);
    let outer = inside
        .lines()
        .find_map(|line| line.strip_prefix("outer="))
        .unwrap_or("");
    assert!(!outer.is_empty(), "{inside}");
    assert!(
        inside.contains(&format!("agent inner session={outer}")),
        "{inside}"
    );

    // An upgrade that moves the agent is found.
    let moved = world.scratch.folder("home/upgraded");
    fs::rename(home.home.join("agents/claude"), moved.join("claude")).unwrap();
    let line = format!("PATH=$PATH:{}; claude upgraded", moved.display());
    let upgraded = home.shell(&world, &bash, &line);
    assert!(upgraded.contains("agent upgraded session="), "{upgraded}");
    let gone = home.shell(&world, &bash, "claude; echo code $?");
    assert!(
        gone.contains("is not installed any more") && gone.contains("code 127"),
        "{gone}"
    );
    fs::rename(moved.join("claude"), home.home.join("agents/claude")).unwrap();

    let (_, found) = output(holdfast(&home.home, &home.path).args(["agents", "discover"]));
    assert!(found.contains("sealed by"), "{found}");

    let (code, told) = home.connect(&["claude", "--undo"]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(
        fs::read_to_string(home.home.join(".bashrc")).unwrap(),
        "# mine\n"
    );
    assert!(!home.home.join(".local/share/holdfast/bin").exists());
    let bare = home.shell(&world, &bash, "claude --version");
    assert!(bare.contains("session=none"), "{bare}");
}

#[test]
fn zsh_and_an_editors_extension_start_it_sealed_as_well() {
    let Some(world) = World::sealed() else { return };
    let home = Home::new(&world);
    let mut zsh = holdfast(&home.home, &home.path);
    let (code, told) = output(
        zsh.env("SHELL", "/usr/bin/zsh")
            .args(["connect", "claude", "--write"]),
    );
    assert_eq!(code, 0, "{told}");
    if Path::new("/usr/bin/zsh").exists() || Path::new("/bin/zsh").exists() {
        let sealed = home.shell(&world, &["zsh", "-i", "-c"], "claude --version");
        assert!(sealed.contains("agent --version session="), "{sealed}");
        assert!(!sealed.contains("session=none"), "{sealed}");
    } else {
        holdfast_hardware_tests::harness::skipped("no zsh is installed");
    }
    // As Claude Code's extension calls it: the wrapper, the extension's own program, its arguments.
    let extension = world.scratch.folder("home/agents/native-binary");
    fs::copy(home.home.join("agents/claude"), extension.join("claude")).unwrap();
    let wrapper = home.home.join(".local/share/holdfast/bin/editor/claude");
    for before in [
        extension.join("claude").display().to_string(),
        "/usr/bin/node /x/cli.js".to_owned(),
    ] {
        let line = format!(
            "PATH={}:$PATH; {} {before} --output-format stream-json",
            home.home.join(".local/share/holdfast/bin").display(),
            wrapper.display()
        );
        let sealed = home.shell(&world, &["bash", "-c"], &line);
        assert!(
            sealed.contains("agent --output-format stream-json session="),
            "{sealed}"
        );
        assert!(!sealed.contains("session=none"), "{sealed}");
    }
}

#[test]
fn the_real_agent_is_sealed_by_its_bare_name_and_by_an_editors_extension() {
    let Some(program) = claude() else { return };
    let Some(world) = World::sealed() else { return };
    let script = [
        Turn::Bash("echo in $HOLDFAST_SESSION".to_owned()),
        Turn::Text("The rock holds.".to_owned()),
    ];
    let model = ModelServer::start(KEYS[0], script);
    let (url, value) = (model.url(), world.scratch.private("value", KEYS[0]));
    let holdfast = |arguments: &[&str]| world.broker.holdfast(arguments).success();
    holdfast(&["secrets", "init", "--headless"]);
    let add = ["secrets", "add", "anthropic", "--anthropic-key"];
    holdfast(&[&add[..], &["--base-url", &url, "--value-file", &value]].concat());

    let home = Home::with(&world, &program);
    let bash = ["bash", "-i", "-c"];
    let (code, told) = home.connect(&["claude", "--write"]);
    assert_eq!(code, 0, "{told}");
    // As Claude Code's extension calls it: the wrapper, the extension's own program, its arguments.
    let extension = world.scratch.folder("home/extension/native-binary");
    symlink(&program, extension.join("claude")).unwrap();
    let wrapper = home.home.join(".local/share/holdfast/bin/editor/claude");
    let wrapped = format!(
        "{} {} --output-format stream-json --verbose -p 'Hold fast.'",
        wrapper.display(),
        extension.join("claude").display()
    );
    let mut before: Vec<Value> = Vec::new();
    for line in ["claude -p 'Hold fast.'", &wrapped] {
        let said = home.shell(&world, &bash, line);
        assert!(said.contains("The rock holds."), "{line}: {said}");
        let sessions = world.sessions();
        let mut new = sessions
            .iter()
            .filter(|session| !before.contains(&session["session"]));
        let (Some(session), None) = (new.next(), new.next()) else {
            panic!("{line}: one session is to be new: {sessions:#?}");
        };
        assert_eq!(session["kind"], "claude", "{line}: {session:#}");
        let results = model.tool_results();
        let inside = format!("in {}", session["session"].as_str().unwrap());
        assert_eq!(results[0].text, inside, "{line}: {results:#?}");
        before.push(session["session"].clone());
    }
}
