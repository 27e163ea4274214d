//! Job 1 itself, enrolled and attested in the test's own process: a host with a node SVID whose key is in the TPM.

use std::sync::Arc;
use std::time::Duration;

use holdfast_attest_host::{AttestHost, Connection, Host, Kept, Registration, Trust, connect};
use holdfast_hardware_tests::harness::{Scratch, Swtpm};
use holdfast_hardware_tests::world::Attestor;
use holdfast_protocol::audit::What;
use holdfast_protocol::grade::Grade;
use holdfast_protocol::orders::Instance;
use holdfast_protocol::record::{Record, Recording};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Chip, clock, in_every_bank, pcr};

/// A host with a node SVID.
pub struct Node {
    pub spiffe_id: String,
    job: AttestHost,
    registration: Registration,
    stop: CancellationToken,
    running: JoinSet<()>,
    chip: Chip,
}

impl Node {
    pub async fn attested(scratch: &Scratch, tpm: &Swtpm, attestor: &Attestor) -> Self {
        let chip = Chip::open(tpm.ports().command(), None).await;
        let path = scratch.join("enrollment.json");
        let host = Host {
            name: "node".to_owned(),
            grade: Grade::Simulated,
            event_log: None,
            ima_list: None,
            systemd_log: None,
            pcr_interval: Duration::from_millis(200),
        };
        let instance = Instance([1; 16]);
        let kept = Kept {
            enrollment: path.clone(),
            floor: scratch.join("clock.json"),
        };
        let unread: Arc<dyn Record> = Arc::new(Unread);
        let (job, task) =
            AttestHost::new(chip.tpm.clone(), host, unread, kept, instance, clock()).unwrap();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(task.run(stop.clone()));
        let trust = Trust::Token(attestor.token().parse().unwrap());
        let status = job.enroll(attestor.url().parse().unwrap(), trust);
        let spiffe_id = status.await.unwrap().spiffe_id.to_string();
        let registration = Registration::load(&path).unwrap().unwrap();
        Self {
            spiffe_id,
            job,
            registration,
            stop,
            running,
            chip,
        }
    }

    /// A connection on which this host shows its node SVID.
    pub async fn with_certificate(&self) -> Connection {
        let identity = Arc::new(self.job.identity().unwrap());
        let (url, pin) = (&self.registration.attestor, self.registration.pin());
        connect(url, &pin, Some(identity), &clock()).await.unwrap()
    }

    /// A connection on which it shows nothing.
    pub async fn without_certificate(&self) -> Connection {
        let (url, pin) = (&self.registration.attestor, self.registration.pin());
        connect(url, &pin, None, &clock()).await.unwrap()
    }

    /// Extends a PCR, as a kernel that measures something does.
    pub async fn measure(&self, index: u8) {
        let tpm = self.chip.tpm.tpm();
        let measured = in_every_bank(b"another kernel");
        tpm.extend_pcr(pcr(index), measured).await.unwrap();
    }

    pub async fn close(self) {
        self.stop.cancel();
        self.running.join_all().await;
        drop(self.job);
        self.chip.nothing_is_left().await;
        self.chip.close();
    }
}

/// Job 1's records are the subject of other scenarios.
struct Unread;

impl Record for Unread {
    fn record(&self, _what: What) -> Recording<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}
