//! A small world for one test: an attestor, a broker, a TPM of its own behind a counting proxy.
//!
//! Real programs, started as a service manager would start them. Nothing here looks inside them:
//! they are spoken to by their command lines and sockets alone.

mod attestor;
mod broker;

use crate::harness::{CountingProxy, DelayProfile, EkAuthority, EkKind, Scratch, Swtpm};

pub use self::attestor::Attestor;
pub use self::broker::{Broker, Ran};

/// Everything that one host and its attestor take. Dropped in the order of the fields.
pub struct World {
    /// The broker.
    pub broker: Broker,
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
        let scratch = Scratch::new();
        let ek_authority = EkAuthority::new();
        let tpm = Swtpm::with_ek(EkKind::Rsa2048, &ek_authority);
        let proxy = CountingProxy::start(&tpm, DelayProfile::None);
        let attestor = Attestor::start(&scratch);
        let device = format!("swtpm:{}", proxy.ports().command());
        let broker = Broker::start(&scratch, &device);
        Self {
            broker,
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
