//! The leases' shell: asks the TPM what the core needs, one question at a time.
//!
//! Whoever finds a question under way waits for its answer instead of asking again. It must never ask the TPM for a
//! secret whose lease's key is there: that is the hot path.

pub mod state;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::clock::Clock;
use tokio::sync::Notify;

use self::state::{Due, Generation, KeyState, LASTS, Leases};
use super::ambient::{NoRandomness, random_key};
use super::seal::{SealError, SealedLease, Sealer, Urgency};

/// How often a lease that the TPM takes back at once is made again.
const ATTEMPTS: usize = 3;

/// The longest sleep: the wall clock may be set, or the machine suspended, behind our back.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The one lease, and all that lies under it.
pub struct Lessor {
    sealer: Arc<dyn Sealer>,
    clock: Clock,
    state: Mutex<Leases>,
    /// Held while the TPM is asked.
    asking: tokio::sync::Mutex<()>,
    changed: Notify,
}

/// There is no lease to be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The TPM refuses or fails.
    #[error("the TPM gives no lease")]
    Tpm(#[source] SealError),
    /// Environment: this host may do nothing, by its attestor's word or because its certificate has ended.
    #[error("this host may use no secret now: see `holdfast status`")]
    Withheld,
    /// Environment: the TPM takes back what it has just given, time and again.
    #[error("the TPM takes each lease back at once")]
    TakenBack,
    /// Environment.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl Lessor {
    pub fn new(sealer: Arc<dyn Sealer>, clock: Clock) -> Self {
        Self {
            sealer,
            clock,
            state: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Asks or tells the core.
    pub fn with<T>(&self, act: impl FnOnce(&mut Leases, Timestamp) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut state, self.clock.now())
    }

    /// Sees to it that the lease's key is there; says when the lease ends.
    pub async fn key(&self, urgency: Urgency) -> Result<Timestamp, LeaseError> {
        let _alone = self.asking.lock().await;
        for _ in 0..ATTEMPTS {
            match self.with(Leases::key) {
                KeyState::Opened(until) => return Ok(until),
                KeyState::Sealed(generation, sealed) => {
                    self.open(generation, &sealed, urgency).await?;
                }
                KeyState::Missing => self.make(urgency).await?,
                KeyState::Withheld => return Err(LeaseError::Withheld),
            }
        }
        Err(LeaseError::TakenBack)
    }

    /// Does what is due, and says whether all that sessions hold has to be put under a new lease.
    pub async fn work(&self) -> Worked {
        let _alone = self.asking.lock().await;
        let (done, worked) = match self.with(Leases::due) {
            None => return Worked::Nothing,
            Some(Due::Renew) => (self.make(Urgency::Background).await, Worked::Renewed),
            Some(Due::Refresh(generation, sealed)) => {
                let done = self.open(generation, &sealed, Urgency::Background).await;
                (done, Worked::Nothing)
            }
        };
        match done {
            Ok(()) => worked,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a lease is not renewed yet"
                );
                self.with(|leases, now| leases.failed(now));
                Worked::Nothing
            }
        }
    }

    /// Waits until something may be due.
    pub async fn rest(&self) {
        let sleep = self.with(|leases, now| {
            let wake = leases.wake_at(now).map(|at| at.since(now));
            // A core that would wake at once has been asked a moment ago.
            wake.map_or(LONGEST_SLEEP, |sleep| {
                sleep.clamp(Duration::from_millis(10), LONGEST_SLEEP)
            })
        });
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = self.changed.notified() => {}
        }
    }

    async fn open(
        &self,
        generation: Generation,
        sealed: &SealedLease,
        urgency: Urgency,
    ) -> Result<(), LeaseError> {
        let asked = self.clock.now();
        match self.sealer.open_lease(sealed, urgency).await {
            Ok(key) => self.with(|leases, _| leases.opened(generation, key, asked)),
            Err(SealError::Refused(why)) => {
                tracing::info!(%why, "the TPM refuses the lease: it is over");
                self.with(|leases, _| leases.refused(generation));
            }
            Err(error @ (SealError::Failed(_) | SealError::WrongCode)) => {
                return Err(LeaseError::Tpm(error));
            }
        }
        self.changed.notify_one();
        Ok(())
    }

    async fn make(&self, urgency: Urgency) -> Result<(), LeaseError> {
        let made = self.clock.now();
        let key = random_key()?;
        let sealed = self.sealer.make_lease(&key, LASTS, urgency).await;
        let sealed = sealed.map_err(LeaseError::Tpm)?;
        self.with(|leases, _| leases.install(key, sealed, made));
        self.changed.notify_one();
        Ok(())
    }
}

/// What [`Lessor::work`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// Nothing that others have to follow.
    Nothing,
    /// There is another lease, and nothing under it.
    Renewed,
}
