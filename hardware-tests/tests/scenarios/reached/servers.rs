//! Servers on the host's own loopback: Python's, and a PostgreSQL.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{Daemon, free_port, wait_until};
use holdfast_hardware_tests::world::World;

const PATIENCE: Duration = Duration::from_secs(20);

/// Python's own web server, whose `/name` says its name.
pub struct Web {
    daemon: Daemon,
    port: u16,
}

impl Web {
    pub fn start(world: &World, name: &str) -> Self {
        let folder = world.scratch.folder(format!("web-{name}"));
        std::fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        let port = free_port().port();
        let mut command = Command::new("/usr/bin/python3");
        command
            .args(["-u", "-m", "http.server", "--bind", "127.0.0.1"])
            .arg(port.to_string())
            .current_dir(&folder);
        let daemon = Daemon::spawn(&world.scratch, &format!("web-{name}"), command);
        wait_until(PATIENCE, "a web server", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { daemon, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The requests that it has answered.
    pub fn log(&self) -> String {
        self.daemon.stderr()
    }
}

/// A PostgreSQL of the test's own, which listens on a socket, and a port of the host's loopback that leads to it.
pub struct Postgres {
    script: Child,
    port: u16,
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/lib/postgres.sh");

impl Postgres {
    pub fn start() -> Self {
        let mut script = Command::new(SCRIPT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let words = script.stdout.take().unwrap();
        BufReader::new(words).read_line(&mut url).unwrap();
        let folder = url.trim().split_once("?host=").expect("a PostgreSQL").1;
        let socket = format!("{folder}/.s.PGSQL.5432");
        let listener = TcpListener::bind(free_port()).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                relay(near.unwrap(), UnixStream::connect(&socket).unwrap());
            }
        });
        Self { script, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Carries bytes both ways, until either end is done.
fn relay(near: TcpStream, far: UnixStream) {
    let (mut from_near, mut to_far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let (mut from_far, mut to_near) = (far, near);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_near, &mut to_far);
        let _ = to_far.shutdown(std::net::Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_far, &mut to_near);
        let _ = to_near.shutdown(std::net::Shutdown::Write);
    });
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The script ends when nobody can speak to it any more.
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
