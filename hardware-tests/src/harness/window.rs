//! The approval window, driven as a human would: seen, typed into, clicked.
//!
//! A display, a message bus and WebKitGTK's own WebDriver, all private to one test and killed with it. It must never
//! reach around the window: what it does goes through what is on the screen.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{Daemon, Ready, Scratch, bin, free_port, wait_until};

/// How long a program may take to start, and the window to come up, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the window may take to show what it should.
const SOON: Duration = Duration::from_secs(20);

/// Names an element in WebDriver's answers (W3C WebDriver §12.2.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Which way a desktop is colored.
#[derive(Clone, Copy, Debug)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// A running `holdfast-ui` on a desktop of its own. Dropped in the order of the fields.
#[derive(Debug)]
pub struct Window {
    session: String,
    port: u16,
    driver: Daemon,
    _bus: Daemon,
    _display: Daemon,
}

impl Window {
    /// Starts `holdfast-ui` against the broker at `socket`, which has a question to show.
    ///
    /// # Panics
    /// When a program is missing, or the window does not come up.
    pub fn open(socket: &Path, scratch: &Scratch) -> Self {
        Self::open_in(socket, scratch, Scheme::Light)
    }

    /// As [`Window::open`], on a desktop of the given scheme.
    ///
    /// # Panics
    /// As [`Window::open`].
    pub fn open_in(socket: &Path, scratch: &Scratch, scheme: Scheme) -> Self {
        let display = xvfb(scratch);
        let number = display.stdout().trim().to_owned();
        let bus = bus(scratch);
        let address = bus.stdout().trim().to_owned();
        let port = free_port().port();
        let mut driver = Command::new("WebKitWebDriver");
        driver
            .arg(format!("--port={port}"))
            .arg("--host=127.0.0.1")
            .env_remove("WAYLAND_DISPLAY")
            .env("DISPLAY", format!(":{number}"))
            .env("DBUS_SESSION_BUS_ADDRESS", address)
            .env("TAURI_WEBVIEW_AUTOMATION", "true")
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("HOME", scratch.folder("desktop"))
            .env("XDG_RUNTIME_DIR", scratch.folder("desktop/run"))
            .env("XDG_DATA_HOME", scratch.folder("desktop/data"))
            .env("XDG_CACHE_HOME", scratch.folder("desktop/cache"))
            .env("XDG_CONFIG_HOME", scratch.folder("desktop/config"))
            .env(
                "GTK_THEME",
                match scheme {
                    Scheme::Light => "Adwaita",
                    Scheme::Dark => "Adwaita:dark",
                },
            );
        let driver = Daemon::spawn(scratch, "webdriver", driver);
        driver.wait_ready(Ready::Tcp(([127, 0, 0, 1], port).into()), PATIENCE);
        let wanted = json!({"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": {
            "binary": bin("holdfast-ui"),
            "args": ["--socket", socket, "--allow-automation"],
        }}}});
        // A first session can time out on a loaded machine where the next one runs.
        let made = ask(port, "POST", "/session", Some(&wanted))
            .or_else(|_| ask(port, "POST", "/session", Some(&wanted)))
            .unwrap_or_else(|error| panic!("no window: {error}\n{}", driver.stderr()));
        let session = made["sessionId"].as_str().expect("a session").to_owned();
        Self {
            session,
            port,
            driver,
            _bus: bus,
            _display: display,
        }
    }

    /// Waits until a question is on the screen; gives its headline.
    pub fn wait_question(&self) -> String {
        wait_until(PATIENCE, "a question in the window", || {
            !self.found("#headline").is_empty()
        });
        self.text_of("#headline")
    }

    /// All that can be read in the window.
    pub fn text(&self) -> String {
        self.text_of("body")
    }

    /// What can be read in one part of it (a CSS selector).
    pub fn text_of(&self, selector: &str) -> String {
        let element = self.element(selector);
        self.said("GET", &format!("/element/{element}/text"), None)
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until the window says `words`.
    pub fn wait_text(&self, words: &str) {
        let start = Instant::now();
        while !self.text().contains(words) {
            assert!(
                start.elapsed() < SOON,
                "the window does not say `{words}`:\n{}",
                self.text()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The id of what has the focus.
    pub fn focus(&self) -> String {
        let active = self.said("GET", "/element/active", None);
        self.property(element_id(&active), "id")
    }

    /// Whether a part is there.
    pub fn has(&self, selector: &str) -> bool {
        !self.found(selector).is_empty()
    }

    /// Whether a part can be used; it has to be there.
    pub fn is_enabled(&self, selector: &str) -> bool {
        let element = self.element(selector);
        self.said("GET", &format!("/element/{element}/enabled"), None) == Value::Bool(true)
    }

    /// Types into the PIN's field.
    pub fn type_pin(&self, pin: &str) {
        let field = self.element("#pin");
        self.said(
            "POST",
            &format!("/element/{field}/value"),
            Some(&json!({"text": pin})),
        );
    }

    /// What stands in the PIN's field.
    pub fn pin_field(&self) -> String {
        self.property(&self.element("#pin"), "value")
    }

    /// Presses Approve.
    pub fn press_approve(&self) {
        self.press("#approve");
    }

    /// Presses Deny.
    pub fn press_deny(&self) {
        self.press("#deny");
    }

    /// Presses a button.
    pub fn press(&self, selector: &str) {
        let element = self.element(selector);
        self.said(
            "POST",
            &format!("/element/{element}/click"),
            Some(&json!({})),
        );
    }

    /// Keeps a picture of the window's content, PNG.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn screenshot(&self, path: &Path) {
        let image = self.said("GET", "/screenshot", None);
        let bytes = BASE64
            .decode(image.as_str().unwrap_or_default().as_bytes())
            .expect("a picture");
        std::fs::write(path, bytes).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
    }

    /// How often a window has come up and listened, this one included. WebDriver drives the first alone.
    pub fn times_ready(&self) -> usize {
        self.driver.stderr().matches("window ready").count()
            + self.driver.stdout().matches("window ready").count()
    }

    /// Whether the window has gone.
    pub fn is_closed(&self) -> bool {
        let handles = self.ask("GET", "/window/handles", None);
        !handles.is_ok_and(|handles| handles.as_array().is_some_and(|all| !all.is_empty()))
    }

    fn element(&self, selector: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(element) = self.found(selector).into_iter().next() {
                return element;
            }
            assert!(start.elapsed() < SOON, "no `{selector}` in the window");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn found(&self, selector: &str) -> Vec<String> {
        let wanted = json!({"using": "css selector", "value": selector});
        let found = self.said("POST", "/elements", Some(&wanted));
        let elements = found.as_array().into_iter().flatten();
        elements.map(|one| element_id(one).to_owned()).collect()
    }

    fn property(&self, element: &str, name: &str) -> String {
        self.said("GET", &format!("/element/{element}/property/{name}"), None)
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn said(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.ask(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        ask(
            self.port,
            method,
            &format!("/session/{}{path}", self.session),
            body,
        )
    }
}

/// A display that the server itself numbers.
fn xvfb(scratch: &Scratch) -> Daemon {
    let mut command = Command::new("Xvfb");
    command.args([
        "-displayfd",
        "1",
        "-screen",
        "0",
        "1000x900x24",
        "-nolisten",
        "tcp",
    ]);
    announced(Daemon::spawn(scratch, "display", command), "a display")
}

/// A session bus that says where it is, and starts nobody: the machine's own services are not part of a test.
fn bus(scratch: &Scratch) -> Daemon {
    let config = scratch.write(
        "bus.conf",
        format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
             <busconfig><type>session</type><listen>unix:dir={}</listen><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n",
            scratch.folder("desktop/run").display()
        ),
    );
    let mut command = Command::new("dbus-daemon");
    command.arg(format!("--config-file={}", config.display()));
    command.args(["--nofork", "--nopidfile", "--print-address=1"]);
    announced(Daemon::spawn(scratch, "bus", command), "a message bus")
}

fn announced(daemon: Daemon, what: &str) -> Daemon {
    wait_until(PATIENCE, what, || daemon.stdout().ends_with('\n'));
    daemon
}

fn element_id(value: &Value) -> &str {
    value[ELEMENT].as_str().unwrap_or_default()
}

/// One WebDriver command (W3C WebDriver §6): its value, or its error in words.
fn ask(port: u16, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
    let failed = |error: std::io::Error| error.to_string();
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let (_, json) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let mut value: Value =
        serde_json::from_str(json).map_err(|error| format!("{error}: {json}"))?;
    match value["value"]["error"].as_str() {
        Some(error) => Err(format!("{error}: {}", value["value"]["message"])),
        None => Ok(value["value"].take()),
    }
}
