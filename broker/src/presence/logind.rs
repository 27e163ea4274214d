//! systemd-logind over the system bus (org.freedesktop.login1(5)): who is logged in, and whose screen is locked.
//!
//! It only listens. It must never heed a signal of anybody but the owner of logind's name: every program on the
//! bus can send one to us directly.

use std::collections::{BTreeMap, HashMap};

use futures::StreamExt;
use tokio::sync::mpsc;
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::zvariant::{OwnedObjectPath, OwnedValue};
use zbus::{Connection, MatchRule, Message, MessageStream, Proxy};

use super::state::{Login, LoginId, Screen, Seen};

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// More logins than any host has; what lies beyond is not followed.
const MOST_LOGINS: usize = 4096;

/// logind cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum LogindError {
    /// There is no system bus, or no logind on it, or it does not answer: the environment.
    #[error("logind cannot be asked over the system bus")]
    Bus(#[from] zbus::Error),
    /// As above, from the bus itself.
    #[error("logind is not on the system bus")]
    Absent(#[from] zbus::fdo::Error),
    /// It says what it never says.
    #[error("logind's words are not understood")]
    Words(#[from] zbus::zvariant::Error),
}

/// A login as a listing has it: id, uid, the user's name, seat, path.
type Listed = (String, u32, String, String, OwnedObjectPath);

/// Tells `events` what happens, all logins first, until logind goes away.
///
/// # Errors
/// [`LogindError`].
pub async fn follow(events: mpsc::Sender<Seen>) -> Result<(), LogindError> {
    let bus = Connection::system().await?;
    let names = DBusProxy::new(&bus).await?;
    // Before the listing, so that nothing falls between.
    let mut gone = names
        .receive_name_owner_changed_with_args(&[(0, NAME)])
        .await?;
    let from_logind = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(NAME)?
        .build();
    let mut signals = MessageStream::for_match_rule(from_logind, &bus, None).await?;
    let owner = names
        .get_name_owner(BusName::try_from(NAME).map_err(zbus::Error::from)?)
        .await?;
    let mut logins = Logins::default();
    let all = logins.list(&bus).await?;
    if events.send(Seen::All(all)).await.is_err() {
        return Ok(());
    }
    loop {
        let signal = tokio::select! {
            _ = gone.next() => return Ok(()),
            signal = signals.next() => signal,
        };
        let Some(signal) = signal else { return Ok(()) };
        let seen = logins.heard(&bus, &owner, &signal?).await?;
        if let Some(seen) = seen
            && events.send(seen).await.is_err()
        {
            return Ok(());
        }
    }
}

/// The logins' places on the bus.
#[derive(Default)]
struct Logins(BTreeMap<String, LoginId>);

impl Logins {
    async fn list(&mut self, bus: &Connection) -> Result<BTreeMap<LoginId, Login>, LogindError> {
        let manager = Proxy::new(bus, NAME, PATH, MANAGER).await?;
        let listed: Vec<Listed> = manager.call("ListSessions", &()).await?;
        let mut all = BTreeMap::new();
        for (id, _, _, _, path) in listed.into_iter().take(MOST_LOGINS) {
            if let Some(login) = login(bus, &path).await {
                let id = LoginId(id);
                self.0.insert(path.to_string(), id.clone());
                all.insert(id, login);
            }
        }
        Ok(all)
    }

    /// What a signal says, if it is logind's and about a login.
    async fn heard(
        &mut self,
        bus: &Connection,
        owner: &OwnedUniqueName,
        signal: &Message,
    ) -> Result<Option<Seen>, LogindError> {
        let header = signal.header();
        if header.sender() != Some(&**owner) {
            return Ok(None);
        }
        let (Some(interface), Some(member)) = (header.interface(), header.member()) else {
            return Ok(None);
        };
        let about = header
            .path()
            .and_then(|path| self.0.get(path.as_str()))
            .cloned();
        Ok(match (interface.as_str(), member.as_str(), about) {
            (MANAGER, "SessionNew", _) if self.0.len() < MOST_LOGINS => {
                let (id, path): (String, OwnedObjectPath) = signal.body().deserialize()?;
                login(bus, &path).await.map(|login| {
                    let id = LoginId(id);
                    self.0.insert(path.to_string(), id.clone());
                    Seen::LoggedIn(id, login)
                })
            }
            (MANAGER, "SessionRemoved", _) => {
                let (_, path): (String, OwnedObjectPath) = signal.body().deserialize()?;
                self.0.remove(path.as_str()).map(Seen::LoggedOut)
            }
            (SESSION, "Lock", Some(id)) => Some(Seen::Locked(id)),
            (SESSION, "Unlock", Some(id)) => Some(Seen::Unlocked(id)),
            (PROPERTIES, "PropertiesChanged", Some(id)) => {
                type Changed = (String, HashMap<String, OwnedValue>, Vec<String>);
                let (_, changed, _): Changed = signal.body().deserialize()?;
                let hint = changed.get("LockedHint");
                match hint.and_then(|hint| bool::try_from(hint).ok()) {
                    Some(true) => Some(Seen::Locked(id)),
                    Some(false) => Some(Seen::Unlocked(id)),
                    None => None,
                }
            }
            _ => None,
        })
    }
}

/// A human's login; `None` for a greeter's or a service manager's, and for one that is gone again.
async fn login(bus: &Connection, path: &OwnedObjectPath) -> Option<Login> {
    let session = Proxy::new(bus, NAME, path, SESSION).await.ok()?;
    let class: String = session.get_property("Class").await.ok()?;
    if class != "user" {
        return None;
    }
    let (human, _): (u32, OwnedObjectPath) = session.get_property("User").await.ok()?;
    let kind: String = session.get_property("Type").await.ok()?;
    let locked: bool = session.get_property("LockedHint").await.unwrap_or(false);
    let screen = match (locked, kind.as_str()) {
        (true, _) => Screen::Locked,
        (false, "x11" | "wayland" | "mir") => Screen::Open,
        (false, _) => Screen::None,
    };
    Some(Login { human, screen })
}
