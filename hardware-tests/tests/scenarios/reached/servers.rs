//! Servers on the host's own loopback: Python's, and a PostgreSQL.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{Daemon, free_port, wait_until};
use holdfast_hardware_tests::world::World;

const PATIENCE: Duration = Duration::from_secs(20);

/// This machine's own name, which leads to itself.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    name.trim().to_owned()
}

/// The address that it leads to, which is not always 127.0.0.1.
fn host_address() -> IpAddr {
    let mut addresses = (host_name(), 0).to_socket_addrs().unwrap();
    addresses.find(SocketAddr::is_ipv4).unwrap().ip()
}

/// Python's own web server, whose `/name` says its name.
pub struct Web {
    daemon: Daemon,
    port: u16,
}

impl Web {
    /// On the loopback.
    pub fn start(world: &World, name: &str) -> Self {
        Self::start_at(world, name, Ipv4Addr::LOCALHOST.into())
    }

    /// At the address of [`host_name`].
    pub fn at_name(world: &World, name: &str) -> Self {
        Self::start_at(world, name, host_address())
    }

    fn start_at(world: &World, name: &str, address: IpAddr) -> Self {
        let folder = world.scratch.folder(format!("web-{name}"));
        std::fs::write(folder.join("name"), format!("{name}\n")).unwrap();
        let port = free_port().port();
        let mut command = Command::new("/usr/bin/python3");
        command
            .args(["-u", "-m", "http.server", "--bind"])
            .args([address.to_string(), port.to_string()])
            .current_dir(&folder);
        let daemon = Daemon::spawn(&world.scratch, &format!("web-{name}"), command);
        wait_until(PATIENCE, "a web server", || {
            TcpStream::connect((address, port)).is_ok()
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

/// Git's own server, for its own protocol, with a repository of one file.
pub struct GitDaemon {
    // It goes with this.
    _daemon: Daemon,
    port: u16,
}

impl GitDaemon {
    pub fn start(world: &World) -> Self {
        let base = world.scratch.folder("git");
        super::named::repository(&world.scratch.folder("git/repository"));
        let port = free_port().port();
        let mut command = Command::new("git");
        command
            .args(["daemon", "--export-all", "--reuseaddr"])
            .arg(format!("--listen={}", host_address()))
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", base.display()))
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*");
        let daemon = Daemon::spawn(&world.scratch, "git-daemon", command);
        wait_until(PATIENCE, "git's server", || {
            TcpStream::connect((host_address(), port)).is_ok()
        });
        Self {
            _daemon: daemon,
            port,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
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
