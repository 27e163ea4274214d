//! What a human's locked screen and logout mean for their sessions, as systemd-logind tells of them.
//!
//! First it freezes, then it records: a freeze lets nothing leave. It must never let a session go on that it did
//! not freeze itself, nor any while this host may not act.

mod logind;
mod state;

use std::time::Duration;

use holdfast_launch_agents::state::{Phase, Session};
use holdfast_protocol::bounds::Because;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::management::Presence;
use holdfast_protocol::words::with_causes;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::state::{Act, Desks, Seen};
use crate::stops::Stops;
use crate::warden::Acting;

/// How long logind is left alone after it could not be followed.
const PAUSE: Duration = Duration::from_secs(5);

/// Events that wait: a login or two change at a time.
const EVENTS: usize = 64;

/// What a human's locked screen and logout mean for their sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PresenceConfig {
    /// When the screen is locked.
    pub on_lock: OnLock,
    /// When the last login ends.
    pub on_logout: OnLogout,
}

/// What a locked screen means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLock {
    /// Nothing: agents work while their human is away.
    #[default]
    Nothing,
    /// Sessions are frozen, and go on when it is unlocked.
    Pause,
    /// Sessions are ended.
    End,
}

/// What a logout means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLogout {
    /// Nothing.
    Nothing,
    /// Sessions are ended.
    #[default]
    End,
}

impl PresenceConfig {
    fn wants_nothing(&self) -> bool {
        (self.on_lock, self.on_logout) == (OnLock::Nothing, OnLogout::Nothing)
    }
}

/// The task that follows humans.
pub struct PresenceTask {
    stops: Stops,
    acting: watch::Receiver<Acting>,
    desks: Desks,
    wanted: Wanted,
    tell: watch::Sender<Presence>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

impl PresenceTask {
    /// Follows nobody yet; says from then on whether it can.
    pub fn new(
        config: PresenceConfig,
        stops: Stops,
        acting: watch::Receiver<Acting>,
    ) -> (Self, watch::Receiver<Presence>) {
        let wanted = if config.wants_nothing() {
            Wanted::No
        } else {
            Wanted::Yes
        };
        let first = match wanted {
            Wanted::No => Presence::Unwanted,
            Wanted::Yes => Presence::Unseen {
                why: "logind was not asked yet".to_owned(),
            },
        };
        let (tell, seen) = watch::channel(first);
        let task = Self {
            stops,
            acting,
            desks: Desks::new(config),
            wanted,
            tell,
        };
        (task, seen)
    }

    /// Follows humans until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        if self.wanted == Wanted::No {
            return stop.cancelled().await;
        }
        loop {
            let (events, received) = mpsc::channel(EVENTS);
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = logind::follow(events) => ended,
                () = self.heed(received) => continue,
            };
            let why = match ended {
                Ok(()) => "logind went away".to_owned(),
                Err(error) => with_causes(&error),
            };
            let unseen = Presence::Unseen { why: why.clone() };
            let news = self.tell.send_if_modified(|now| {
                let news = *now != unseen;
                *now = unseen;
                news
            });
            if news {
                tracing::warn!(
                    why,
                    "a locked screen or a logout goes unnoticed: sessions go on"
                );
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Does what the events of one connection to logind ask, until they end.
    async fn heed(&mut self, mut events: mpsc::Receiver<Seen>) {
        loop {
            tokio::select! {
                seen = events.recv() => {
                    let Some(seen) = seen else {
                        // The other arm has the reason.
                        return std::future::pending().await;
                    };
                    if let Seen::All(logins) = &seen {
                        tracing::info!(logins = logins.len(), "logind tells of locked screens and logouts");
                        self.tell.send_replace(Presence::Followed);
                    }
                    for act in self.desks.on_seen(seen) {
                        self.act(act).await;
                    }
                }
                // What was to go on while the host was held goes on with it.
                changed = self.acting.changed() => {
                    if changed.is_err() {
                        // The broker is stopping.
                        return std::future::pending().await;
                    }
                    for human in self.desks.open() {
                        self.act(Act::Resume(human)).await;
                    }
                }
            }
        }
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Pause(human) => {
                for (session, state) in self.of(human) {
                    if let Phase::Running(_) = state.phase {
                        self.stops.pause(session, Because::ScreenLocked).await;
                    }
                }
            }
            Act::Resume(human) => {
                if *self.acting.borrow() == Acting::No {
                    return;
                }
                for (session, state) in self.of(human) {
                    let by_lock = state.because == Some(Because::ScreenLocked);
                    if let (Phase::Frozen(_), true) = (state.phase, by_lock) {
                        self.stops.resume(session, Because::ScreenUnlocked).await;
                    }
                }
            }
            Act::End(human, because) => {
                for (session, state) in self.of(human) {
                    if let Phase::Running(_) | Phase::Frozen(_) = state.phase {
                        self.stops.end(session, because).await;
                    }
                }
            }
        }
    }

    fn of(&self, human: u32) -> impl Iterator<Item = (SessionId, Session)> + use<> {
        let sessions = self.stops.sessions().list().into_iter();
        sessions.filter(move |(_, session)| session.facts.human == human)
    }
}
