//! A system bus of the test's own, and a stand-in for systemd-logind on it.
//!
//! The bus is a real dbus-daemon. logind is not: it wants to be the system's, and a test has no system of its own. The
//! stand-in answers and signals as org.freedesktop.login1(5) says, and knows nothing else.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tokio::runtime::Runtime;
use zbus::zvariant::{ObjectPath, OwnedObjectPath, Value};
use zbus::{Connection, connection, interface};

use super::{Daemon, Ready, Scratch, skipped};

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const SESSION: &str = "org.freedesktop.login1.Session";
/// The only login.
const LOGIN: &str = "/org/freedesktop/login1/session/_31";
const PATIENCE: Duration = Duration::from_secs(20);

/// A bus with a stand-in for logind, which has one login: of one human, at a screen.
pub struct Logind {
    runtime: Runtime,
    connection: Connection,
    address: String,
    _bus: Daemon,
}

impl Logind {
    /// Starts the bus; `None`, loudly, where there is no dbus-daemon.
    ///
    /// # Panics
    /// When a part does not start, or where `CI` says that nothing may be left out.
    pub fn start(scratch: &Scratch, human: u32) -> Option<Self> {
        if Command::new("dbus-daemon")
            .arg("--version")
            .output()
            .is_err()
        {
            skipped("needs dbus-daemon");
            return None;
        }
        let socket: PathBuf = scratch.socket("bus");
        let address = format!("unix:path={}", socket.display());
        let config = scratch.write(
            "bus.conf",
            format!(
                "<busconfig><type>system</type><listen>{address}</listen><auth>EXTERNAL</auth>\
                 <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
                 <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/></policy></busconfig>"
            ),
        );
        let mut command = Command::new("dbus-daemon");
        command
            .args(["--nofork", "--nopidfile", "--config-file"])
            .arg(config);
        let bus = Daemon::spawn(scratch, "dbus-daemon", command);
        bus.wait_ready(Ready::Socket(&socket), PATIENCE);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let connection = runtime
            .block_on(async {
                connection::Builder::address(address.as_str())?
                    .serve_at(PATH, Manager { human })?
                    .serve_at(LOGIN, Login { human })?
                    .name(NAME)?
                    .build()
                    .await
            })
            .expect("a place on the bus");
        Some(Self {
            runtime,
            connection,
            address,
            _bus: bus,
        })
    }

    /// Where the bus is, as D-Bus says it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The human's screen is locked, as their desktop tells logind.
    pub fn lock(&self) {
        self.hint(true);
    }

    /// It is unlocked.
    pub fn unlock(&self) {
        self.hint(false);
    }

    /// logind asks the desktop to lock the screen (`loginctl lock-session`).
    pub fn ask_to_lock(&self) {
        self.signal(&self.connection, None, LOGIN, SESSION, "Lock", &());
    }

    /// The human logs out.
    pub fn log_out(&self) {
        let manager = "org.freedesktop.login1.Manager";
        let login = ObjectPath::try_from(LOGIN).expect("a path");
        self.signal(
            &self.connection,
            None,
            PATH,
            manager,
            "SessionRemoved",
            &("1", login),
        );
    }

    /// Another program on the bus sends everybody on it what only logind may say.
    ///
    /// # Panics
    /// When it is not even delivered.
    pub fn forge_logout(&self) {
        let forger = self
            .runtime
            .block_on(async {
                connection::Builder::address(self.address.as_str())?
                    .build()
                    .await
            })
            .expect("a connection");
        let names: Vec<String> = self
            .runtime
            .block_on(async {
                let names = zbus::fdo::DBusProxy::new(&forger)
                    .await?
                    .list_names()
                    .await?;
                Ok::<_, zbus::Error>(names.iter().map(ToString::to_string).collect())
            })
            .expect("a list of names");
        let unique: Vec<&String> = names.iter().filter(|name| name.starts_with(':')).collect();
        assert!(unique.len() >= 3, "the broker is on the bus: {names:?}");
        let login = ObjectPath::try_from(LOGIN).expect("a path");
        for name in unique {
            let manager = "org.freedesktop.login1.Manager";
            let body = ("1", login.clone());
            self.signal(&forger, Some(name), PATH, manager, "SessionRemoved", &body);
            self.signal(&forger, Some(name), LOGIN, SESSION, "Lock", &());
        }
    }

    fn hint(&self, locked: bool) {
        let changed = HashMap::from([("LockedHint", Value::from(locked))]);
        let body = (SESSION, changed, Vec::<String>::new());
        let properties = "org.freedesktop.DBus.Properties";
        self.signal(
            &self.connection,
            None,
            LOGIN,
            properties,
            "PropertiesChanged",
            &body,
        );
    }

    fn signal<B>(
        &self,
        from: &Connection,
        to: Option<&str>,
        path: &str,
        interface: &str,
        name: &str,
        body: &B,
    ) where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.runtime
            .block_on(from.emit_signal(to, path, interface, name, body))
            .expect("a signal to be sent");
    }
}

struct Manager {
    human: u32,
}

type Listed = (String, u32, String, String, OwnedObjectPath);

#[interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    fn list_sessions(&self) -> Vec<Listed> {
        let login = OwnedObjectPath::try_from(LOGIN).expect("a path");
        vec![(
            "1".to_owned(),
            self.human,
            "ann".to_owned(),
            "seat0".to_owned(),
            login,
        )]
    }
}

struct Login {
    human: u32,
}

#[interface(name = "org.freedesktop.login1.Session")]
impl Login {
    #[zbus(property)]
    fn class(&self) -> String {
        "user".to_owned()
    }

    #[zbus(property)]
    fn user(&self) -> (u32, OwnedObjectPath) {
        let path = "/org/freedesktop/login1/user/_0";
        (self.human, OwnedObjectPath::try_from(path).expect("a path"))
    }

    #[zbus(property, name = "Type")]
    fn kind(&self) -> String {
        "wayland".to_owned()
    }

    #[zbus(property)]
    fn locked_hint(&self) -> bool {
        false
    }
}
