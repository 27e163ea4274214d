//! Waking from sleep, and a wall clock that was set: what ordinary timers do not notice.
//!
//! Timers count waking time, certificates wall time. The kernel tells of both events at once by a timer that is canceled
//! (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`); which one it was is seen by the clock that runs on in sleep.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Sleep that is shorter than this changes nothing that a certificate or a quote says.
const NAP: Duration = Duration::from_secs(1);

/// When the timer would go off if nobody set a clock: never, in practice.
const NEVER: i64 = 1 << 40;

/// What happened to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jump {
    /// The machine slept that long.
    Slept(Duration),
    /// The wall clock was set.
    Set,
}

/// Waits for such jumps.
#[derive(Debug)]
pub(crate) struct Wake {
    timer: AsyncFd<OwnedFd>,
    asleep: Duration,
}

impl Wake {
    /// Waits from now on.
    ///
    /// # Errors
    /// As the kernel refuses.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        #[expect(
            deprecated,
            reason = "an `OwnedFd` gives the same descriptor for as long as it lives"
        )]
        let timer = AsyncFd::new(timer)?;
        let wake = Self {
            timer,
            asleep: asleep(),
        };
        wake.arm()?;
        Ok(wake)
    }

    /// The next jump. Dropping the future loses none.
    ///
    /// # Errors
    /// As the kernel refuses; no jump is noticed any more then.
    pub(crate) async fn jumped(&mut self) -> io::Result<Jump> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut count = [0; 8];
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut count)?));
            match read {
                // It went off, or nothing is there yet.
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(error)) if error.raw_os_error() == Some(CANCELED) => {
                    self.arm()?;
                    let before = std::mem::replace(&mut self.asleep, asleep());
                    return Ok(jump(before, self.asleep));
                }
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    fn arm(&self) -> io::Result<()> {
        let at = Timespec {
            tv_sec: NEVER,
            tv_nsec: 0,
        };
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: at,
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.timer, flags, &once)?;
        Ok(())
    }
}

/// The next jump of time, if they can be noticed.
pub(crate) async fn jumped(wake: &mut Option<Wake>) -> Jump {
    if let Some(noticing) = wake {
        match noticing.jumped().await {
            Ok(jump) => return jump,
            Err(error) => tracing::warn!(%error, "waking from sleep is noticed late"),
        }
    }
    *wake = None;
    std::future::pending().await
}

const CANCELED: i32 = rustix::io::Errno::CANCELED.raw_os_error();

fn jump(before: Duration, now: Duration) -> Jump {
    match now.saturating_sub(before) {
        slept if slept >= NAP => Jump::Slept(slept),
        _ => Jump::Set,
    }
}

/// How long the machine has slept since it was started.
fn asleep() -> Duration {
    let since_start = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    // In this order, so that the difference is never too large.
    let with_sleep = since_start(ClockId::Boottime);
    with_sleep.saturating_sub(since_start(ClockId::Monotonic))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn sleep_and_a_clock_that_was_set_are_told_apart() {
        let hour = Duration::from_secs(3600);
        assert_eq!(jump(hour, hour * 3), Jump::Slept(hour * 2));
        assert_eq!(jump(hour, hour + Duration::from_millis(3)), Jump::Set);
        // The difference of two readings wavers.
        assert_eq!(jump(hour, hour - Duration::from_millis(3)), Jump::Set);
    }

    #[tokio::test]
    async fn as_long_as_time_runs_on_nothing_jumps() {
        let mut wake = Wake::new().unwrap();
        let jumped = tokio::time::timeout(Duration::from_millis(100), wake.jumped());
        assert!(jumped.await.is_err());
    }
}
