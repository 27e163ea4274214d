//! A small world for one test: an attestor, a broker, a TPM of its own behind a counting proxy.
//!
//! Real programs, started as a service manager would start them. Nothing here looks inside them:
//! they are spoken to by their command lines and sockets alone.

mod account;
mod attestor;
mod broker;
mod launcher;

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    CountingProxy, DelayProfile, EkAuthority, EkKind, Scratch, Swtpm, skipped, wait_until,
};

pub use self::account::Account;
pub use self::attestor::Attestor;
pub use self::broker::{Broker, Ran};
pub use self::launcher::{Humans, Launcher, Terms};

/// How long a host may take until it is attested, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that one host and its attestor take. Dropped in the order of the fields.
pub struct World {
    /// The broker.
    pub broker: Broker,
    /// Who makes sealed sessions, where there are any.
    pub launcher: Option<Launcher>,
    /// The attestor.
    pub attestor: Attestor,
    /// What counts the commands between the broker and its TPM.
    pub proxy: CountingProxy,
    /// The broker's TPM.
    pub tpm: Swtpm,
    /// Who vouches for the TPM.
    pub ek_authority: EkAuthority,
    /// Where all of it lives.
    pub scratch: Scratch,
}

impl World {
    /// A broker and an attestor that runs, not yet acquainted.
    ///
    /// # Panics
    /// When one of them does not start.
    pub fn start() -> Self {
        Self::start_under(|scratch, _, _| Attestor::start(scratch))
    }

    /// As [`World::start`], with an attestor that may be started knowing the TPM and who vouches for it.
    ///
    /// # Panics
    /// When one of the programs does not start.
    pub fn start_under(attestor: impl FnOnce(&Scratch, &Swtpm, &EkAuthority) -> Attestor) -> Self {
        Self::assemble(rsa, attestor, None, "")
    }

    /// As [`World::start_under`], on a TPM that is made by `tpm`, with more lines for the broker's `[tpm]` table.
    ///
    /// # Panics
    /// When one of the programs does not start.
    pub fn start_on(
        tpm: impl FnOnce(&EkAuthority) -> Swtpm,
        lines: &str,
        attestor: impl FnOnce(&Scratch, &Swtpm, &EkAuthority) -> Attestor,
    ) -> Self {
        Self::assemble(tpm, attestor, None, lines)
    }

    /// As [`World::enrolled`], with a launcher and a broker that has no right of its own; `None`, loudly, where nobody may make sessions.
    ///
    /// # Panics
    /// When a part does not start, or where `CI` says that nothing may be left out.
    pub fn sealed() -> Option<Self> {
        let world = Self::sealed_stranger()?;
        world.enroll().success();
        Some(world)
    }

    /// As [`World::sealed`], with more configuration for the broker (TOML tables of their own).
    ///
    /// # Panics
    /// As [`World::sealed`].
    pub fn sealed_with(tables: &str) -> Option<Self> {
        let world = Self::sealed_on(Attestor::start, tables, Terms::default())?;
        world.enroll().success();
        Some(world)
    }

    /// As [`World::sealed`], on other terms.
    ///
    /// # Panics
    /// As [`World::sealed`].
    pub fn sealed_as(terms: Terms) -> Option<Self> {
        let world = Self::sealed_on(Attestor::start, "", terms)?;
        world.enroll().success();
        Some(world)
    }

    /// As [`World::sealed`], as on a host: the launcher makes sessions for humans alone.
    ///
    /// # Panics
    /// As [`World::sealed`].
    pub fn installed() -> Option<Self> {
        Self::sealed_as(Terms {
            humans: Humans::Only,
            ..Terms::default()
        })
    }

    /// As [`World::sealed`], and not enrolled.
    ///
    /// # Panics
    /// As [`World::sealed`].
    pub fn sealed_stranger() -> Option<Self> {
        Self::sealed_under(Attestor::start)
    }

    /// This host's sessions, as `holdfast sessions` lists them.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub fn sessions(&self) -> Vec<Value> {
        let listed = self.broker.holdfast(&["sessions", "--json"]).success();
        serde_json::from_str(&listed).expect("a list of sessions")
    }

    /// As [`World::sealed_stranger`], with an attestor of one's own.
    ///
    /// # Panics
    /// When a part does not start.
    pub fn sealed_under(attestor: impl FnOnce(&Scratch) -> Attestor) -> Option<Self> {
        Self::sealed_on(attestor, "", Terms::default())
    }

    fn sealed_on(
        attestor: impl FnOnce(&Scratch) -> Attestor,
        tables: &str,
        terms: Terms,
    ) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skipped("sealed sessions are made by root");
            return None;
        }
        Some(Self::assemble(
            rsa,
            |scratch, _, _| attestor(scratch),
            Some(terms),
            tables,
        ))
    }

    fn assemble(
        tpm: impl FnOnce(&EkAuthority) -> Swtpm,
        attestor: impl FnOnce(&Scratch, &Swtpm, &EkAuthority) -> Attestor,
        sealed: Option<Terms>,
        lines: &str,
    ) -> Self {
        let scratch = Scratch::new();
        let ek_authority = EkAuthority::new();
        let tpm = tpm(&ek_authority);
        let attestor = attestor(&scratch, &tpm, &ek_authority);
        let proxy = CountingProxy::start(&tpm, DelayProfile::None);
        let device = format!("swtpm:{}", proxy.ports().command());
        // Before the broker, which looks for it once.
        let socket = scratch.folder("l").join("launcher.sock");
        let launcher = sealed.map(|terms| Launcher::start(&scratch, &socket, terms));
        let account = sealed.map_or(Account::Own, |terms| terms.broker);
        let more = format!("{lines}\n[launcher]\nsocket = \"{}\"\n", socket.display());
        let broker = Broker::start_as(account, &scratch, &device, &more);
        Self {
            broker,
            launcher,
            attestor,
            proxy,
            tpm,
            ek_authority,
            scratch,
        }
    }

    /// As [`World::start`], with the host enrolled by a one-time token, and attested.
    ///
    /// # Panics
    /// When the enrollment fails.
    pub fn enrolled() -> Self {
        let world = Self::start();
        world.enroll().success();
        world
    }

    /// Starts the broker anew with this at its configuration's end, and waits until its host is attested again.
    ///
    /// # Panics
    /// When it does not start, or its host is not attested in time.
    pub fn declare(&mut self, more: &str) {
        let config = self.broker.config().to_owned();
        let text = fs::read_to_string(&config).expect("a configuration");
        fs::write(&config, format!("{text}\n{more}\n")).expect("a configuration to be written");
        self.broker.stop();
        self.broker.resume(&self.scratch);
        self.attested();
    }

    /// Waits until the host is attested.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn attested(&self) {
        wait_until(PATIENCE, "the host to be attested", || {
            let status = self.broker.holdfast(&["status", "--json"]);
            status.code == 0 && status.stdout.contains("\"attested\"")
        });
    }

    /// Enrolls the host with a fresh token.
    pub fn enroll(&self) -> Ran {
        let token = self.scratch.write("token", self.attestor.token());
        self.broker.holdfast(&[
            "enroll",
            &self.attestor.url(),
            "--token-file",
            &token.display().to_string(),
        ])
    }
}

/// The usual TPM.
fn rsa(authority: &EkAuthority) -> Swtpm {
    Swtpm::with_ek(EkKind::Rsa2048, authority)
}
