//! Which humans are here, and what it means for their sessions that they leave or come back.
//!
//! Pure. A human with several screens has left when all of them are locked; one who is logged in more
//! than once has logged out with the last. It must never take a login that ended for an unlocked screen.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_protocol::bounds::Because;

use super::{OnLock, OnLogout, PresenceConfig};

/// logind's name for a login.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoginId(pub String);

/// Whether a screen shows what its human does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// It does.
    Open,
    /// It is locked.
    Locked,
    /// There is none: a login from afar, a console.
    None,
}

/// One login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// Whose.
    pub human: u32,
    /// Its screen.
    pub screen: Screen,
}

/// What logind tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// These are all logins.
    All(BTreeMap<LoginId, Login>),
    /// One more.
    LoggedIn(LoginId, Login),
    /// One less.
    LoggedOut(LoginId),
    /// Its screen was locked.
    Locked(LoginId),
    /// Its screen was unlocked.
    Unlocked(LoginId),
}

/// What is to be done to all sessions of a human.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Those that run are frozen.
    Pause(u32),
    /// Those that were frozen for a locked screen go on.
    Resume(u32),
    /// They are ended.
    End(u32, Because),
}

/// How a human is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Here {
    Open,
    Locked,
    Gone,
}

/// All humans' logins.
#[derive(Debug)]
pub struct Desks {
    config: PresenceConfig,
    logins: BTreeMap<LoginId, Login>,
}

impl Desks {
    /// Nobody is there.
    pub fn new(config: PresenceConfig) -> Self {
        Self {
            config,
            logins: BTreeMap::new(),
        }
    }

    /// What `seen` asks for.
    pub fn on_seen(&mut self, seen: Seen) -> Vec<Act> {
        let before = self.logins.clone();
        match seen {
            Seen::All(logins) => self.logins = logins,
            Seen::LoggedIn(id, login) => {
                self.logins.insert(id, login);
            }
            Seen::LoggedOut(id) => {
                self.logins.remove(&id);
            }
            Seen::Locked(id) => self.show(&id, Screen::Locked),
            Seen::Unlocked(id) => self.show(&id, Screen::Open),
        }
        let both = before.values().chain(self.logins.values());
        let humans: BTreeSet<u32> = both.map(|login| login.human).collect();
        humans
            .into_iter()
            .filter_map(|human| self.step(human, here(&before, human), here(&self.logins, human)))
            .collect()
    }

    /// The humans who are there.
    pub fn open(&self) -> BTreeSet<u32> {
        let humans = self.logins.values().map(|login| login.human);
        humans
            .filter(|human| here(&self.logins, *human) == Here::Open)
            .collect()
    }

    fn show(&mut self, id: &LoginId, screen: Screen) {
        if let Some(login) = self.logins.get_mut(id) {
            login.screen = screen;
        }
    }

    fn step(&self, human: u32, before: Here, after: Here) -> Option<Act> {
        match (before, after) {
            (Here::Open | Here::Gone, Here::Locked) => match self.config.on_lock {
                OnLock::Nothing => None,
                OnLock::Pause => Some(Act::Pause(human)),
                OnLock::End => Some(Act::End(human, Because::ScreenLocked)),
            },
            (Here::Locked | Here::Gone, Here::Open) => Some(Act::Resume(human)),
            (Here::Open | Here::Locked, Here::Gone) => match self.config.on_logout {
                OnLogout::Nothing => None,
                OnLogout::End => Some(Act::End(human, Because::LoggedOut)),
            },
            (Here::Open, Here::Open) | (Here::Locked, Here::Locked) | (Here::Gone, Here::Gone) => {
                None
            }
        }
    }
}

fn here(logins: &BTreeMap<LoginId, Login>, human: u32) -> Here {
    let screens = || {
        let own = logins.values().filter(|login| login.human == human);
        own.map(|login| login.screen)
    };
    if screens().count() == 0 {
        Here::Gone
    } else if screens().any(|screen| screen == Screen::Locked)
        && screens().all(|screen| screen != Screen::Open)
    {
        Here::Locked
    } else {
        Here::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: u32 = 1000;

    fn desks(on_lock: OnLock, on_logout: OnLogout) -> Desks {
        Desks::new(PresenceConfig { on_lock, on_logout })
    }

    fn id(name: &str) -> LoginId {
        LoginId(name.to_owned())
    }

    fn login(name: &str, screen: Screen) -> Seen {
        Seen::LoggedIn(id(name), Login { human: ANN, screen })
    }

    #[test]
    fn a_lock_pauses_and_an_unlock_resumes() {
        let mut desks = desks(OnLock::Pause, OnLogout::Nothing);
        desks.on_seen(login("1", Screen::Open));
        assert_eq!(desks.on_seen(Seen::Locked(id("1"))), [Act::Pause(ANN)]);
        assert_eq!(desks.on_seen(Seen::Locked(id("1"))), []);
        assert_eq!(desks.on_seen(Seen::Unlocked(id("1"))), [Act::Resume(ANN)]);
        // Somebody else's, and nobody's.
        assert_eq!(desks.on_seen(Seen::Locked(id("9"))), []);
    }

    #[test]
    fn who_works_at_another_screen_has_not_left() {
        let mut desks = desks(OnLock::Pause, OnLogout::End);
        desks.on_seen(login("1", Screen::Open));
        desks.on_seen(login("2", Screen::Open));
        desks.on_seen(login("ssh", Screen::None));
        assert_eq!(desks.on_seen(Seen::Locked(id("1"))), []);
        assert_eq!(desks.on_seen(Seen::Locked(id("2"))), [Act::Pause(ANN)]);
        assert_eq!(desks.open(), BTreeSet::new());
    }

    #[test]
    fn only_the_last_login_that_ends_is_a_logout() {
        let mut desks = desks(OnLock::Nothing, OnLogout::End);
        desks.on_seen(login("1", Screen::Open));
        desks.on_seen(login("ssh", Screen::None));
        assert_eq!(desks.on_seen(Seen::LoggedOut(id("1"))), []);
        let end = Act::End(ANN, Because::LoggedOut);
        assert_eq!(desks.on_seen(Seen::LoggedOut(id("ssh"))), [end]);
    }

    #[test]
    fn a_locked_screen_that_goes_away_resumes_nothing_before_its_human_is_back() {
        let mut desks = desks(OnLock::Pause, OnLogout::Nothing);
        desks.on_seen(login("1", Screen::Open));
        desks.on_seen(Seen::Locked(id("1")));
        assert_eq!(desks.on_seen(Seen::LoggedOut(id("1"))), []);
        assert_eq!(desks.on_seen(login("2", Screen::Open)), [Act::Resume(ANN)]);
    }

    #[test]
    fn what_happened_while_nobody_told_is_made_up_for() {
        let mut desks = desks(OnLock::End, OnLogout::End);
        let both = [("1", ANN), ("2", 1001)].map(|(name, human)| {
            let screen = Screen::Open;
            (id(name), Login { human, screen })
        });
        assert_eq!(
            desks.on_seen(Seen::All(BTreeMap::from(both.clone()))).len(),
            2
        );
        let mut later = BTreeMap::from(both);
        later.remove(&id("2"));
        later.insert(
            id("1"),
            Login {
                human: ANN,
                screen: Screen::Locked,
            },
        );
        let acts = [
            Act::End(ANN, Because::ScreenLocked),
            Act::End(1001, Because::LoggedOut),
        ];
        assert_eq!(desks.on_seen(Seen::All(later)), acts);
    }
}
