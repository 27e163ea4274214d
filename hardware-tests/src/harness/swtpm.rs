//! A software TPM that belongs to one test.
//!
//! It must never be shared, never use a port or state folder that another test may know, and never survive its owner.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::manufacture::{self, Banks, EkKind};
use super::ports::PortPair;
use super::tools::Tools;
use super::{EkAuthority, Scratch};

/// swtpm is ready in some 20 ms; the rest is for a machine under the load of a whole test run.
const START: Duration = Duration::from_secs(20);

/// How long the TPM may be busy for another client before a command of our own is given up.
const ANSWER: Duration = Duration::from_secs(5);

/// A new port pair each time: only somebody who takes ports as fast as we choose them gets past this.
const PORT_ATTEMPTS: usize = 20;

/// A running swtpm with fresh seeds, all PCR banks, and no resource manager: three slots for objects, three for
/// sessions, one client at a time.
#[derive(Debug)]
pub struct Swtpm {
    power: Power,
    ports: PortPair,
    scratch: Scratch,
}

#[derive(Debug)]
enum Power {
    On(Child),
    Off,
}

/// `TPM2_Startup` at power-on (TPM 2.0 Library, Part 3, §9.3).
#[derive(Clone, Copy, Debug)]
enum Startup {
    Clear,
    State,
}

/// `TPM2_Shutdown` before power-off (TPM 2.0 Library, Part 3, §9.4).
#[derive(Clone, Copy, Debug)]
enum Shutdown {
    Clear,
    State,
}

impl Swtpm {
    /// A TPM without endorsement certificates: started in a few milliseconds.
    ///
    /// # Panics
    /// When swtpm is not installed or does not start.
    pub fn bare() -> Self {
        Self::power_on(Scratch::new())
    }

    /// As [`Swtpm::bare`], with these PCR banks.
    ///
    /// # Panics
    /// As [`Swtpm::bare`], and when tpm2-tools are not installed or fail.
    pub fn keeping(banks: Banks) -> Self {
        let mut tpm = Self::bare();
        tpm.tools().run("pcrallocate", [banks.allocation()]);
        // Banks change with a reset alone.
        tpm.restart();
        tpm
    }

    /// A TPM as it leaves `authority`'s factory, with a certified endorsement key of this kind: takes about a second.
    ///
    /// # Panics
    /// When swtpm, swtpm-tools or tpm2-tools are not installed or fail.
    pub fn with_ek(kind: EkKind, authority: &EkAuthority) -> Self {
        Self::made(kind, Banks::All, authority)
    }

    /// As [`Swtpm::with_ek`], with these PCR banks; a P-256 key comes with all of them alone.
    ///
    /// # Panics
    /// As [`Swtpm::with_ek`].
    pub fn made(kind: EkKind, banks: Banks, authority: &EkAuthority) -> Self {
        let scratch = Scratch::new();
        let state = scratch.folder("state");
        match kind {
            EkKind::Rsa2048 | EkKind::P384 => {
                manufacture::rsa_state(&state, authority, "2048", banks);
                Self::power_on(scratch)
            }
            EkKind::Rsa3072 => {
                manufacture::rsa_state(&state, authority, "3072", banks);
                Self::power_on(scratch)
            }
            EkKind::P256 => {
                let mut tpm = Self::power_on(scratch);
                manufacture::p256_certificate(&tpm.tools(), &tpm.scratch, authority);
                // The platform hierarchy's objects and the vendor's counters do not follow a chip out of the factory.
                tpm.restart();
                tpm
            }
        }
    }

    /// The TCTI configuration that reaches this TPM, for tpm2-tools and ESAPI.
    pub fn tcti(&self) -> String {
        self.ports.tcti()
    }

    /// Where it listens. The same after every restart.
    pub fn ports(&self) -> PortPair {
        self.ports
    }

    /// tpm2-tools for this TPM. Needs that no client holds it.
    pub fn tools(&self) -> Tools {
        Tools::new(self.tcti(), self.scratch.path().to_owned())
    }

    /// Writes `content` into an NV index as the vendor does, replacing what is there: on-die chains, malformed
    /// certificates.
    ///
    /// # Panics
    /// When the TPM refuses, or a client holds it.
    pub fn write_vendor_nv(&self, index: u32, content: &[u8]) {
        manufacture::vendor_nv(&self.tools(), &self.scratch, index, content);
    }

    /// A reboot in good order, a *TPM Reset*: `resetCount` + 1, `restartCount` 0, PCRs and sessions gone, clock safe.
    ///
    /// # Panics
    /// When a client still holds the TPM: on a real machine it would be gone by then. [`Swtpm::power_cut`] does not ask.
    pub fn restart(&mut self) {
        self.shut_down(Shutdown::Clear);
        self.cut();
        self.start(Startup::Clear);
    }

    /// Suspend to memory and wake, a *TPM Resume*: `restartCount` + 1, static PCRs kept, transient objects gone.
    ///
    /// # Panics
    /// As [`Swtpm::restart`].
    pub fn suspend(&mut self) {
        self.shut_down(Shutdown::State);
        self.cut();
        self.start(Startup::State);
    }

    /// The power fails and comes back, whoever is using the TPM: a *TPM Reset* as well, but nothing was saved and the
    /// clock is not safe at first.
    ///
    /// # Panics
    /// When swtpm does not start again.
    pub fn power_cut(&mut self) {
        self.cut();
        self.start(Startup::Clear);
    }

    /// Another chip with all that this one holds, as it stands now: what no hardware allows, and a copied folder does.
    ///
    /// # Panics
    /// When the state cannot be copied, or swtpm does not start.
    pub fn copied(&self) -> Self {
        let scratch = Scratch::new();
        let state = scratch.folder("state");
        for entry in fs::read_dir(self.scratch.join("state")).expect("the TPM's state") {
            let entry = entry.expect("the TPM's state");
            let name = entry.file_name();
            // A lock is of its process.
            if !name.to_string_lossy().starts_with('.') {
                fs::copy(entry.path(), state.join(name)).expect("a copy of the TPM's state");
            }
        }
        Self::power_on(scratch)
    }

    /// The TPM is gone until [`Swtpm::power_cut`] brings it back.
    pub fn cut(&mut self) {
        if let Power::On(mut child) = std::mem::replace(&mut self.power, Power::Off) {
            // Both fail only when the process has ended already, which is the aim.
            let _killed = child.kill();
            let _reaped = child.wait();
        }
    }

    fn power_on(scratch: Scratch) -> Self {
        scratch.folder("state");
        for _ in 0..PORT_ATTEMPTS {
            let ports = PortPair::free();
            if let Some(child) = launch(&scratch, ports, Startup::Clear) {
                return Self {
                    power: Power::On(child),
                    ports,
                    scratch,
                };
            }
        }
        panic!("no swtpm in {PORT_ATTEMPTS} attempts\n{}", log(&scratch));
    }

    fn start(&mut self, startup: Startup) {
        let start = Instant::now();
        while start.elapsed() < START {
            if let Some(child) = launch(&self.scratch, self.ports, startup) {
                self.power = Power::On(child);
                return;
            }
            // Somebody looks whether our port is free, just now.
            thread::sleep(Duration::from_millis(50));
        }
        panic!(
            "swtpm does not start again on {:?}\n{}",
            self.ports,
            log(&self.scratch)
        );
    }

    fn shut_down(&self, shutdown: Shutdown) {
        let startup_type = match shutdown {
            Shutdown::Clear => 0,
            Shutdown::State => 1,
        };
        // TPM_ST_NO_SESSIONS, 12 bytes, TPM_CC_Shutdown, TPM_SU.
        let command = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, startup_type];
        let answer = exchange(self.ports.command(), &command)
            .unwrap_or_else(|e| panic!("TPM2_Shutdown: {e}: does a client still hold the TPM?"));
        assert_eq!(answer[6..10], [0; 4], "TPM2_Shutdown refused");
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.cut();
    }
}

/// One swtpm on these ports, listening; none when it could not have them.
fn launch(scratch: &Scratch, ports: PortPair, startup: Startup) -> Option<Child> {
    let pid_file = scratch.join("swtpm.pid");
    // Absent at the first start.
    let _absent = fs::remove_file(&pid_file);
    let mut child = Command::new("swtpm")
        .args(["socket", "--tpm2"])
        .arg("--tpmstate")
        .arg(format!("dir={}", scratch.join("state").display()))
        .arg("--server")
        .arg(format!("type=tcp,port={}", ports.command().port()))
        .arg("--ctrl")
        .arg(format!("type=tcp,port={}", ports.control().port()))
        .arg("--flags")
        .arg(match startup {
            Startup::Clear => "not-need-init,startup-clear",
            Startup::State => "not-need-init,startup-state",
        })
        .arg("--pid")
        .arg(format!("file={}", pid_file.display()))
        .arg("--log")
        .arg(format!("file={}", scratch.join("swtpm.log").display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("run swtpm: {e}"));

    // The process writes its id once it has both ports. Connecting would prove less: another TPM may have won them.
    let pid = child.id().to_string();
    let start = Instant::now();
    while fs::read_to_string(&pid_file).unwrap_or_default().trim() != pid {
        if child.try_wait().expect("the state of a child").is_some() {
            return None;
        }
        if start.elapsed() > START {
            let _killed = child.kill();
            let _reaped = child.wait();
            panic!("swtpm is not ready after {START:?}\n{}", log(scratch));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Some(child)
}

fn exchange(address: SocketAddr, command: &[u8]) -> std::io::Result<[u8; 10]> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(command)?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn log(scratch: &Scratch) -> String {
    fs::read_to_string(scratch.join("swtpm.log")).unwrap_or_default()
}
