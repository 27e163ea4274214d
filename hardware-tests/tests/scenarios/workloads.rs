//! Level L2: a service that Holdfast did not launch has an identity if it is a registered unit or
//! container, and nobody else has it.
//!
//! No systemd and no container engine run where these tests do. A unit is imitated by a cgroup that
//! root makes where systemd would; the engine is a scripted server that answers as Docker's API does.

mod nobody;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use holdfast_hardware_tests::world::World;

const SERVICE: u32 = 1001;
const OTHER: u32 = 1002;

/// A Workload API client of bytes, which answers the PING unless told otherwise: it asks for an
/// X.509-SVID, prints the names in what comes, and the status where there is none.
const CLIENT: &str = include_str!("workloads/client.py");

/// A cgroup where systemd would make a unit's; root's, unless given away. Removed when dropped.
struct Cgroup {
    path: PathBuf,
    parents: Vec<PathBuf>,
}

impl Cgroup {
    fn make(place: &str) -> Self {
        let hierarchy = hierarchy();
        let mut path = hierarchy;
        let mut parents = Vec::new();
        for name in place.split('/') {
            path.push(name);
            if !path.exists() {
                fs::create_dir(&path).unwrap();
                parents.push(path.clone());
            }
        }
        Self { path, parents }
    }

    /// Gives it, and what is above it and was made for it, to `uid`.
    fn give_to(&self, uid: u32) {
        for folder in &self.parents {
            for file in [
                "",
                "cgroup.procs",
                "cgroup.threads",
                "cgroup.subtree_control",
            ] {
                chown(folder.join(file), Some(uid), Some(uid)).unwrap();
            }
        }
    }

    fn unit(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::write(self.path.join("cgroup.kill"), "1").ok();
        for _ in 0..200 {
            self.parents.retain(|folder| folder.exists());
            for folder in self.parents.iter().rev() {
                // Another test's unit may be in a slice that this one made.
                fs::remove_dir(folder).ok();
            }
            if !self.path.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

fn hierarchy() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut mounts = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let v2 = mounts.find(|fields| fields.get(2) == Some(&"cgroup2"));
    PathBuf::from(v2.unwrap()[1])
}

fn unique(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("holdfast-test-{}-{number}.{kind}", std::process::id())
}

/// Runs `command` in a cgroup, as `uid`.
fn run_in(cgroup: &Path, uid: u32, command: &[&str]) -> Output {
    let ids = format!(
        "echo $$ > {}/cgroup.procs && exec setpriv --reuid {uid} --regid {uid} --clear-groups \"$@\"",
        cgroup.display()
    );
    Command::new("/bin/sh")
        .args(["-c", &ids, "sh"])
        .args(command)
        .output()
        .unwrap()
}

struct Stage {
    world: World,
    client: PathBuf,
    python: PathBuf,
}

impl Stage {
    /// A host with these registrations, once they are known.
    fn with(registrations: &str) -> Option<Self> {
        let mut world = World::sealed()?;
        let client = world.scratch.write("client.py", CLIENT);
        world.declare(registrations);
        open_up(&client);
        open_up(&socket(&world));
        let python = fs::canonicalize("/usr/bin/python3").unwrap();
        Some(Self {
            world,
            client,
            python,
        })
    }

    fn ask(&self, cgroup: &Path, uid: u32, how: &[&str]) -> String {
        self.ask_with(&self.python, cgroup, uid, how)
    }

    fn ask_with(&self, python: &Path, cgroup: &Path, uid: u32, how: &[&str]) -> String {
        let socket = socket(&self.world);
        let mut command = vec![
            python.to_str().unwrap(),
            "-S",
            self.client.to_str().unwrap(),
            socket.to_str().unwrap(),
        ];
        command.extend(how);
        let output = run_in(cgroup, uid, &command);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.is_empty(), "{errors}");
        said
    }

    fn record(&self) -> String {
        let record = self.world.broker.holdfast(&["audit", "tail", "-n", "200"]);
        record.success()
    }
}

fn socket(world: &World) -> PathBuf {
    world.broker.socket().with_file_name("workload.sock")
}

/// Lets other users through to a file of the test's.
fn open_up(file: &Path) {
    for folder in file.ancestors().skip(1) {
        if folder == Path::new("/tmp") || folder == Path::new("/") {
            break;
        }
        let mode = fs::metadata(folder).unwrap().permissions().mode();
        if mode & 0o001 == 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o011)).unwrap();
        }
    }
}

fn registration(name: &str, selectors: &[String]) -> String {
    format!("[[workload]]\nname = \"{name}\"\nselectors = {selectors:?}\n")
}

#[test]
fn a_registered_unit_has_an_identity_and_its_neighbors_have_none() {
    let unit = Cgroup::make(&format!("system.slice/{}", unique("service")));
    let id = format!("systemd:id:{}", unit.unit());
    let uid = format!("unix:uid:{SERVICE}");
    let Some(stage) = Stage::with(&registration("mqtt-bridge", &[id, uid])) else {
        return;
    };
    let said = stage.ask(&unit.path, SERVICE, &["answer"]);
    assert!(
        said.contains("SVID spiffe://world.test/host/")
            && said.contains("/agent/service/mqtt-bridge"),
        "{said}\n{}",
        stage.world.broker.log()
    );

    // Another user in the unit; the user outside of it; in another unit; in a part of the tree that
    // the user was given, under the unit's own name; and in a unit that was given to the user.
    assert_eq!(stage.ask(&unit.path, OTHER, &["answer"]), "DONE\n");
    let elsewhere = Cgroup::make(&unique("scope"));
    assert_eq!(stage.ask(&elsewhere.path, SERVICE, &["answer"]), "DONE\n");
    let neighbor = Cgroup::make(&format!("system.slice/{}", unique("service")));
    assert_eq!(stage.ask(&neighbor.path, SERVICE, &["answer"]), "DONE\n");
    let own = unique("slice");
    let named = Cgroup::make(&format!("{own}/{}", unit.unit()));
    named.give_to(SERVICE);
    assert_eq!(stage.ask(&named.path, SERVICE, &["answer"]), "DONE\n");
    let moved = run_in(
        &elsewhere.path,
        SERVICE,
        &[
            "sh",
            "-c",
            &format!("echo $$ > {}/cgroup.procs", unit.path.display()),
        ],
    );
    assert!(!moved.status.success(), "{moved:?}");

    let record = stage.record();
    for line in [
        "workload-api of service in session",
        "has no identity here (L1): no registered workload is such a process",
    ] {
        assert!(record.contains(line), "{line} is missing:\n{record}");
    }
    let export = stage.world.scratch.join("ocsf.jsonl");
    let ocsf = export.display().to_string();
    stage
        .world
        .broker
        .holdfast(&["audit", "export", "--ocsf", &ocsf])
        .success();
    let exported = fs::read_to_string(export).unwrap();
    assert!(exported.contains("\"level\":\"L2\""), "{exported}");
}

#[test]
fn a_program_that_is_trusted_does_not_lend_its_name() {
    let unit = Cgroup::make(&format!("system.slice/{}", unique("service")));
    let id = format!("systemd:id:{}", unit.unit());
    let python = fs::canonicalize("/usr/bin/python3").unwrap();
    let sleep = fs::canonicalize("/usr/bin/sleep").unwrap();
    let by_path = |path: &Path| format!("unix:path:{}", path.display());
    let digest = Command::new("sha256sum").arg(&python).output().unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap();
    let digest = digest.split(' ').next().unwrap();
    let Some(stage) = Stage::with(&format!(
        "{}{}{}",
        registration("by-path", &[id.clone(), by_path(&python)]),
        registration("sleeper", &[id.clone(), by_path(&sleep)]),
        registration(
            "by-digest",
            &[id, by_path(&python), format!("unix:sha256:{digest}")]
        ),
    )) else {
        return;
    };
    let said = stage.ask(&unit.path, SERVICE, &["answer"]);
    assert!(
        said.contains("/agent/service/by-digest"),
        "{said}\n{}",
        stage.world.broker.log()
    );

    // A copy of the program at another path is not the program.
    let copy = stage.world.scratch.join("python3");
    fs::copy(&python, &copy).unwrap();
    open_up(&copy);
    let said = stage.ask_with(&copy, &unit.path, SERVICE, &["answer"]);
    assert_eq!(said, "DONE\n");

    // Connect, ask, hand the connection on, and only then execute what is trusted: its path is the
    // registered one by the time that anybody looks, and whoever answers the PING is not it.
    let sleep = sleep.to_str().unwrap();
    let said = stage.ask(&unit.path, SERVICE, &["hand-on", sleep]);
    assert!(!said.contains("SVID"), "{said}");
    // A child answers for its parent; or nobody does.
    for how in ["child-answers", "silent"] {
        let said = stage.ask(&unit.path, SERVICE, &[how]);
        assert!(!said.contains("SVID"), "{how}: {said}");
    }
    // None of this has cost the service its identity.
    let said = stage.ask(&unit.path, SERVICE, &["answer"]);
    assert!(said.contains("/agent/service/by-digest"), "{said}");
}

#[test]
fn a_container_is_named_by_what_its_engine_says() {
    let container = "0f".repeat(32);
    let scope = Cgroup::make(&format!("system.slice/docker-{container}.scope"));
    let engine = tempfile::tempdir().unwrap();
    let engine_socket = engine.path().join("docker.sock");
    let listener = UnixListener::bind(&engine_socket).unwrap();
    // As a host lets its broker's account ask: by a group of the socket's.
    open_up(&engine_socket);
    fs::set_permissions(&engine_socket, fs::Permissions::from_mode(0o666)).unwrap();
    let answers = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let told = std::sync::Arc::clone(&answers);
    // The scripted engine: it answers each question with what it was told last.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut asked = [0; 1024];
            let read = stream.read(&mut asked).unwrap_or(0);
            let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
            let body = told.lock().unwrap().clone();
            let status = if asked.starts_with("GET /containers/0f0f") {
                "200 OK"
            } else {
                "404 No"
            };
            write!(
                stream,
                "HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{body}"
            )
            .ok();
        }
    });
    let Some(stage) = Stage::with(&format!(
        "[workloads]\ndocker-socket = \"{}\"\n{}",
        engine_socket.display(),
        registration(
            "bridge",
            &[
                "docker:label:role:bridge".to_owned(),
                "docker:image_id:mqtt:2".to_owned()
            ]
        )
    )) else {
        return;
    };
    let describe = |id: &str, image: &str, role: &str| {
        *answers.lock().unwrap() = format!(
            r#"{{"Id":"{id}","Image":"sha256:11","Config":{{"Image":"{image}","Labels":{{"role":"{role}"}},"Env":[]}}}}"#
        );
    };
    describe(&container, "mqtt:2", "bridge");
    let said = stage.ask(&scope.path, SERVICE, &["answer"]);
    assert!(
        said.contains("/agent/service/bridge"),
        "{said}\n{}",
        stage.world.broker.log()
    );
    for (id, image, role) in [
        (container.as_str(), "mqtt:3", "bridge"),
        (container.as_str(), "mqtt:2", "other"),
        ("ff", "mqtt:2", "bridge"),
    ] {
        describe(id, image, role);
        assert_eq!(
            stage.ask(&scope.path, SERVICE, &["answer"]),
            "DONE\n",
            "{id} {image} {role}"
        );
    }
    *answers.lock().unwrap() = "{".to_owned();
    assert_eq!(stage.ask(&scope.path, SERVICE, &["answer"]), "DONE\n");
}
