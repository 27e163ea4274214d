//! What the daemons take, beside what other people's take that do some of the work.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use holdfast_hardware_tests::world::World;

use crate::table::{Figure, Row};

const SESSIONS: usize = 100;
/// Until what a start took is given back.
const SETTLE: Duration = Duration::from_secs(2);

/// In KiB (proc_pid_smaps(5)).
#[derive(Clone, Copy)]
struct Memory {
    resident: u64,
    /// Its own, and its share of what it shares.
    proportional: u64,
}

pub fn measure() -> Vec<Row> {
    let Some(world) = World::sealed() else {
        return Vec::new();
    };
    let agent = Agent::start(&world.scratch.socket("agent"));
    sleep(SETTLE);
    let broker = world.broker.pid().unwrap();
    let idle = Memory::of(broker);
    let attestor = Memory::of(child("holdfast-attest"));
    let launcher = Memory::of(child("holdfast-launch"));
    let swtpm = Memory::of(child("swtpm"));
    let ssh_agent = Memory::of(agent.0.id());

    let project = world.scratch.folder("project");
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|_| Agent::session(&world, &project))
        .collect();
    sleep(SETTLE);
    let full = Memory::of(broker);
    let pids = world.launcher.as_ref().unwrap().pids();
    let own = Memory::each(&pids, SESSIONS);
    assert!(pids.len() >= SESSIONS, "{} processes", pids.len());
    let waits = Agent(Command::new("sleep").arg("600").spawn().unwrap());
    let bare = Memory::of(waits.0.id());
    drop(waits);
    drop(sessions);

    let to_swtpm = ("swtpm", swtpm);
    [
        ("holdfastd, idle", idle, to_swtpm, "<= 30 MB"),
        ("holdfastd, 100 sessions", full, to_swtpm, "<= 80 MB"),
        (
            "a session of `sleep`, all its own",
            own,
            ("sleep", bare),
            "-",
        ),
        ("holdfast-attestor, idle", attestor, to_swtpm, "<= 40 MB"),
        (
            "holdfast-launcher, idle",
            launcher,
            ("ssh-agent", ssh_agent),
            "-",
        ),
    ]
    .into_iter()
    .flat_map(|(name, ours, (reference, theirs), goal)| {
        [
            ("RSS", ours.resident, theirs.resident, goal),
            ("PSS", ours.proportional, theirs.proportional, "-"),
        ]
        .map(|(measure, ours, theirs, goal)| Row {
            name: format!("{name}, {measure}"),
            median: Figure::Memory(ours),
            p99: None,
            reference: (format!("{reference}, {measure}"), Figure::Memory(theirs)),
            goal,
        })
    })
    .collect()
}

impl Memory {
    /// What so many sessions take each, that have these processes together.
    fn each(pids: &[u32], sessions: usize) -> Self {
        let all: Vec<Self> = pids.iter().map(|pid| Self::of(*pid)).collect();
        let sessions = u64::try_from(sessions).unwrap();
        Self {
            resident: all.iter().map(|one| one.resident).sum::<u64>() / sessions,
            proportional: all.iter().map(|one| one.proportional).sum::<u64>() / sessions,
        }
    }

    fn of(pid: u32) -> Self {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let kib = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let number = line.unwrap().trim().trim_end_matches(" kB");
            number.parse().unwrap()
        };
        Self {
            resident: kib("Rss:"),
            proportional: kib("Pss:"),
        }
    }
}

/// The child of this process with this name, as far as the kernel keeps it.
fn child(name: &str) -> u32 {
    let own = std::process::id();
    let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap();
    let named = |pid: &&str| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm"));
        comm.is_ok_and(|comm| comm.trim_end().starts_with(name))
    };
    let found = children.split_whitespace().find(named);
    found
        .unwrap_or_else(|| panic!("{name} is no child"))
        .parse()
        .unwrap()
}

/// A child that ends with its owner.
struct Agent(Child);

impl Agent {
    /// OpenSSH's agent, which keeps keys in memory and signs.
    fn start(socket: &Path) -> Self {
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(socket);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    /// A session that waits, once it runs.
    fn session(world: &World, project: &Path) -> Self {
        let mut command = world.broker.holdfast_command();
        command.current_dir(project);
        command.args(["run", "--", "sh", "-c", "echo ready; exec sleep 600"]);
        let mut session = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = session.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(session)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
