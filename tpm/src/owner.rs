//! The one thread that owns the TPM, and the handles through which everything else asks it.
//!
//! No other thread may hold the ESAPI context; no caller may run code on this one that waits for anything but the TPM.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::config::TpmConfig;
use crate::engine::{Engine, Slot};
use crate::error::TpmError;
use crate::queue::{Full, Priority, Queue};

/// A handle to the TPM: cheap to clone, usable from any thread. When the last one is dropped, the thread ends.
#[derive(Clone, Debug)]
pub struct Tpm {
    shared: Arc<Shared>,
    /// Counts the handles; the thread itself holds only `shared`.
    _alive: Arc<Alive>,
}

/// The owner of the TPM's thread: closing it lets queued jobs finish and joins the thread.
#[derive(Debug)]
pub struct TpmOwner {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Tpm {
    /// Opens the TPM on a thread of its own.
    ///
    /// # Errors
    /// [`TpmError::Unreachable`] where no TPM answers; [`TpmError::Unsupported`] where no thread can be had.
    pub async fn open(config: TpmConfig) -> Result<(Self, TpmOwner), TpmError> {
        let (opened, receiver) = oneshot::channel();
        let both = Self::spawn(config, opened)?;
        receiver
            .await
            .unwrap_or(Err(TpmError::Closed))
            .map(|()| both)
    }

    /// Runs `job` on the TPM's thread and waits for it without blocking. A job whose caller gave up is not started.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        priority: Priority,
        job: impl FnOnce(&mut Engine) -> Result<T, TpmError> + Send + 'static,
    ) -> Result<T, TpmError> {
        let (reply, answer) = oneshot::channel();
        self.shared.push(
            priority,
            Box::new(move |slot| {
                if !reply.is_closed() {
                    // A caller who went away while the job ran needs no answer.
                    let _ = reply.send(slot.run(job));
                }
            }),
        )?;
        answer.await.unwrap_or(Err(TpmError::Closed))
    }

    /// Runs `job` on the TPM's thread and blocks until it is done; for callers that cannot wait asynchronously.
    pub(crate) fn run_blocking<T: Send + 'static>(
        &self,
        priority: Priority,
        job: impl FnOnce(&mut Engine) -> Result<T, TpmError> + Send + 'static,
    ) -> Result<T, TpmError> {
        // Not a tokio channel: its blocking receive panics on a runtime's thread, where TLS handshakes run.
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.shared.push(
            priority,
            Box::new(move |slot| {
                let _ = reply.send(slot.run(job));
            }),
        )?;
        answer.recv().unwrap_or(Err(TpmError::Closed))
    }

    /// Queues a job that gives resources back; it is never refused because the queue is full, and nobody waits for it.
    pub(crate) fn release(&self, job: impl FnOnce(&mut Slot) + Send + 'static) {
        let mut state = self.shared.lock();
        if let Stage::Open = state.stage {
            state
                .queue
                .push_unbounded(Priority::Approval, Box::new(job));
            self.shared.wake.notify_one();
        }
    }

    fn spawn(
        config: TpmConfig,
        opened: oneshot::Sender<Result<(), TpmError>>,
    ) -> Result<(Self, TpmOwner), TpmError> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(),
                stage: Stage::Open,
            }),
            wake: Condvar::new(),
        });
        let thread = std::thread::Builder::new()
            .name("holdfast-tpm".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || serve(&shared, config, opened)
            })
            .map_err(|_| TpmError::Unsupported {
                what: "no thread for it can be started",
            })?;
        let tpm = Self {
            _alive: Arc::new(Alive(Arc::clone(&shared))),
            shared: Arc::clone(&shared),
        };
        let owner = TpmOwner {
            shared,
            thread: Some(thread),
        };
        Ok((tpm, owner))
    }
}

impl TpmOwner {
    /// Refuses new jobs, lets queued ones finish, and waits until the TPM is released.
    pub fn close(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take() {
            // The thread does not panic; if it did, its jobs' callers have been told that the TPM is closed.
            let _ = thread.join();
        }
    }
}

impl Drop for TpmOwner {
    fn drop(&mut self) {
        self.stop();
    }
}

type Job = Box<dyn FnOnce(&mut Slot) + Send>;

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    queue: Queue<Job>,
    stage: Stage,
}

enum Stage {
    Open,
    Closing,
}

#[derive(Debug)]
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Shared {
    fn push(&self, priority: Priority, job: Job) -> Result<(), TpmError> {
        let mut state = self.lock();
        match state.stage {
            Stage::Open => state
                .queue
                .push(priority, job)
                .map_err(|Full| TpmError::Busy)?,
            Stage::Closing => return Err(TpmError::Closed),
        }
        self.wake.notify_one();
        Ok(())
    }

    fn close(&self) {
        self.lock().stage = Stage::Closing;
        self.wake.notify_one();
    }

    /// The next job; `None` once closed and empty.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop() {
                return Some(job);
            }
            match state.stage {
                Stage::Open => {
                    state = self
                        .wake
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Stage::Closing => return None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under the lock can leave the queue half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared(..)")
    }
}

fn serve(shared: &Shared, config: TpmConfig, opened: oneshot::Sender<Result<(), TpmError>>) {
    let _serving = Serving(shared);
    let mut slot = match Slot::open(config) {
        Ok(slot) => slot,
        Err(error) => {
            let _ = opened.send(Err(error));
            return;
        }
    };
    let _ = opened.send(Ok(()));
    while let Some(job) = shared.next() {
        job(&mut slot);
    }
}

/// However the thread ends, its queued jobs are dropped, so that their callers hear that the TPM is closed.
struct Serving<'a>(&'a Shared);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.close();
        while self.0.next().is_some() {}
    }
}
