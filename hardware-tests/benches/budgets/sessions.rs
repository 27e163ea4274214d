//! Stopping a session, and work in one beside the same work outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holdfast_hardware_tests::harness::claude;
use holdfast_hardware_tests::world::World;

use crate::samples::{Samples, time};
use crate::table::Row;

const STOPS: usize = 100;
const WORKS: usize = 7;
const STARTS: usize = 20;
const FILES: usize = 50_000;

pub fn measure() -> Vec<Row> {
    let Some(world) = World::sealed() else {
        return Vec::new();
    };
    let mut rows = stops(&world);
    let many = world.scratch.folder("many");
    many_files(&many);
    rows.extend(starts_in(&world, &many));
    rows.extend(work(&world, many));
    rows.extend(start_of_an_agent(&world));
    rows
}

/// Freeze, thaw and end, by the command line, beside one that only asks.
fn stops(world: &World) -> Vec<Row> {
    let project = world.scratch.folder("stopped");
    let mut took: [Vec<Duration>; 4] = Default::default();
    for _ in 0..STOPS {
        let script = "for i in 1 2 3 4 5 6 7 8; do sleep 600 & done; echo up; while :; do :; done";
        let mut session = running(world, &project, script);
        let id = live(world);
        let acts: [&[&str]; 3] = [
            &["sessions"],
            &["sessions", "pause", &id],
            &["sessions", "resume", &id],
        ];
        for (act, took) in acts.iter().zip(&mut took) {
            let (ran, spent) = time(|| world.broker.holdfast(act));
            ran.success();
            took.push(spent);
        }
        // Until the command that keeps it has been told, which is last of all.
        let (_, spent) = time(|| {
            world.broker.holdfast(&["sessions", "end", &id]).success();
            session.wait().unwrap()
        });
        took[3].push(spent);
    }
    let [asked, paused, resumed, ended] = took.map(Samples::new);
    let row = |name: &str, samples: &Samples, goal| Row {
        name: name.to_owned(),
        median: samples.median(),
        p99: samples.p99(),
        reference: ("holdfast sessions".to_owned(), asked.median()),
        goal,
    };
    vec![
        row("freeze a session of 10 processes", &paused, "< 100 ms"),
        row("let it go on", &resumed, "-"),
        row("end it, until nothing is left", &ended, "< 100 ms"),
    ]
}

/// The same script inside and outside, which times its own work.
fn work(world: &World, many: PathBuf) -> Vec<Row> {
    let package = world.scratch.folder("package");
    package_of_node(&package);
    let tiny = world.scratch.folder("tiny");
    crate_of_rust(&tiny);
    [
        ("git status, 50,000 files", many, "git status --porcelain"),
        (
            "npm ci of a local package",
            package,
            "npm ci --offline --no-audit --no-fund --cache /tmp/npm-cache-$$",
        ),
        (
            "cargo build of a small crate",
            tiny,
            "rm -rf target && cargo build --offline --quiet",
        ),
    ]
    .into_iter()
    .map(|(name, project, command)| {
        let script = format!(
            "set -e; for i in $(seq {WORKS}); do s=$(date +%s%N); {{ {command}; }} >/dev/null; \
             e=$(date +%s%N); echo $((e - s)); done"
        );
        let mut bare = Command::new("bash");
        bare.current_dir(&project).args(["-c", &script]);
        let bare = bare.stdin(Stdio::null()).output().unwrap();
        let inside = world.broker.run(&project, &["bash", "-c", &script]);
        assert!(bare.status.success(), "{name}, outside: {bare:?}");
        let inside = inside.success();
        Row {
            name: format!("{name}, sealed"),
            median: told(&inside).median(),
            p99: None,
            reference: (
                "the same outside".to_owned(),
                told(&String::from_utf8_lossy(&bare.stdout)).median(),
            ),
            goal: "-",
        }
    })
    .collect()
}

/// A session that does nothing in a project of many files, beside one in an empty folder: the first, which copies all of
/// them for an undo, and those after it, which look at what has changed.
fn starts_in(world: &World, many: &Path) -> Vec<Row> {
    let empty = world.scratch.folder("empty");
    let run = |project: &Path| {
        let (ran, took) = time(|| world.broker.run(project, &["true"]));
        ran.success();
        took
    };
    let first = [many, &empty].map(|project| Samples::new(vec![run(project)]));
    let mut further: [Vec<Duration>; 2] = Default::default();
    for _ in 0..STARTS {
        for (project, took) in [many, &empty].iter().zip(&mut further) {
            took.push(run(project));
        }
    }
    let row = |name: &str, [many, empty]: [Samples; 2]| Row {
        name: format!("{name} in a project of 50,000 files"),
        median: many.median(),
        p99: None,
        reference: (format!("{name} in an empty folder"), empty.median()),
        goal: "-",
    };
    vec![
        row("the first holdfast run -- true", first),
        row("holdfast run -- true", further.map(Samples::new)),
    ]
}

fn start_of_an_agent(world: &World) -> Vec<Row> {
    let Some(claude) = claude() else {
        return Vec::new();
    };
    let project = world.scratch.folder("agent");
    let program = claude.display().to_string();
    let (mut sealed, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let (ran, took) = time(|| world.broker.run(&project, &[&program, "--version"]));
        ran.success();
        sealed.push(took);
        let mut command = Command::new(&claude);
        command.arg("--version").stdin(Stdio::null());
        let (ran, took) = time(|| command.output().unwrap());
        assert!(ran.status.success());
        bare.push(took);
    }
    let (sealed, bare) = (Samples::new(sealed), Samples::new(bare));
    vec![Row {
        name: "holdfast run -- claude --version".to_owned(),
        median: sealed.median(),
        p99: None,
        reference: ("bare claude --version".to_owned(), bare.median()),
        goal: "<= +60 ms",
    }]
}

fn running(world: &World, project: &Path, script: &str) -> Child {
    let mut command = world.broker.holdfast_command();
    command.current_dir(project).args(["run", "--project"]);
    command.arg(project).args(["--", "sh", "-c", script]);
    let mut session = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut byte = [0; 3];
    std::io::Read::read_exact(session.stdout.as_mut().unwrap(), &mut byte).unwrap();
    session
}

fn live(world: &World) -> String {
    let listed = world.broker.holdfast(&["sessions", "--json"]).success();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let sessions = listed.as_array().unwrap().iter();
    let live: Vec<_> = sessions
        .filter(|session| session["phase"] == "running")
        .collect();
    live[0]["session"].as_str().unwrap().to_owned()
}

fn told(output: &str) -> Samples {
    let nanos = output.lines().map(|line| line.trim().parse().unwrap());
    Samples::new(nanos.map(Duration::from_nanos).collect())
}

fn many_files(project: &Path) {
    let started = Instant::now();
    for file in 0..FILES {
        let folder = project.join(format!("d{}", file / 250));
        if file % 250 == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(format!("f{file}")), file.to_string()).unwrap();
    }
    for arguments in [&["init", "-q"][..], &["add", "."]] {
        let mut git = Command::new("git");
        assert!(
            git.current_dir(project)
                .args(arguments)
                .status()
                .unwrap()
                .success()
        );
    }
    eprintln!("made {FILES} files in {:?}", started.elapsed());
}

fn package_of_node(project: &Path) {
    let own = project.join("own");
    fs::create_dir_all(&own).unwrap();
    fs::write(
        own.join("package.json"),
        "{\"name\":\"own\",\"version\":\"1.0.0\"}",
    )
    .unwrap();
    fs::write(own.join("index.js"), "module.exports = 1;").unwrap();
    let package =
        "{\"name\":\"app\",\"version\":\"1.0.0\",\"dependencies\":{\"own\":\"file:own\"}}";
    fs::write(project.join("package.json"), package).unwrap();
    let mut npm = Command::new("npm");
    npm.current_dir(project);
    npm.args([
        "install",
        "--offline",
        "--no-audit",
        "--no-fund",
        "--silent",
    ]);
    let installed = npm.status().expect("npm is installed");
    assert!(installed.success(), "npm install: {installed}");
}

fn crate_of_rust(project: &Path) {
    fs::create_dir_all(project.join("src")).unwrap();
    let manifest =
        "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    fs::write(project.join("Cargo.toml"), manifest).unwrap();
    fs::write(
        project.join("src/main.rs"),
        "fn main() { println!(\"{}\", 6 * 7); }\n",
    )
    .unwrap();
}
