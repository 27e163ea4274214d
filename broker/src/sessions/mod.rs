//! Sealed sessions, from the human's wish to their end: where jobs 2, 3 and 4 meet.
//!
//! A session's program runs only after the session is on record; when the human's command line, the
//! program, or the broker ends, everything that the session held ends with it.

mod asked_for;
mod authority;
mod calls;
mod describe;
mod ended;
mod folder;
mod frames;
mod grants;
mod guards;
mod homes;
mod known;
mod launch;
mod lend;
mod live;
mod named;
mod own;
mod peers;
mod permission;
mod program;
mod published;
mod recorder;
mod removal;
mod repository;
mod serve;
mod shell;
mod socket;
mod subs;
mod uid;
mod unable;
mod vitals;
mod way_out;
mod widened;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use holdfast_attest_host::AttestHost;
use holdfast_authorize_calls::task::Authorizer;
use holdfast_issue_credentials::Issuer;
use holdfast_issue_credentials::bridge::Upstream;
use holdfast_issue_credentials::spares::Spares;
use holdfast_issue_credentials::vault::Vaults;
use holdfast_launch_agents::policy::Policy;
use holdfast_launch_agents::profile::Profile;
use holdfast_launch_agents::store::Store;
use holdfast_launch_agents::task::Sessions;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::contained;
use holdfast_protocol::grade::{Grade, Level};
use holdfast_protocol::record::Record;
use tokio::sync::watch;

use crate::disks::Disks;
use crate::limits::LimitsConfig;
use crate::warden::Acting;

pub use self::authority::NodeAuthority;
pub use self::ended::Endings;
pub use self::guards::Guarded;
pub use self::homes::Homes;
pub use self::launch::{attested, sockets_folder};
pub use self::lend::Lending;
pub use self::live::{Live, Place};
pub use self::own::Own;
pub use self::peers::whose;
pub use self::recorder::RecordSvids;
pub use self::serve::serve;
pub use self::words::{Counts, status};

/// What every session needs of the broker.
pub struct Ground {
    /// Job 2.
    pub sessions: Sessions,
    /// How sessions end, by session.
    pub endings: Endings,
    /// The measured programs.
    pub programs: Arc<Store>,
    /// What is known of each kind of agent.
    pub profiles: Vec<Profile>,
    /// What may be launched.
    pub launch: Policy,
    /// Job 3.
    pub issuer: Issuer,
    /// Job 3: the names that were signed ahead.
    pub spares: Spares,
    /// Job 1: the name that sessions' names lie below.
    pub attest_host: AttestHost,
    /// The identities of the sessions that live.
    pub live: Live,
    /// Whether sessions may begin.
    pub acting: watch::Receiver<Acting>,
    /// Job 5.
    pub record: Arc<dyn Record>,
    /// What agents keep from one session to the next.
    pub homes: Homes,
    /// What of the humans' sessions may be lent.
    pub lending: Lending,
    /// What guards projects.
    pub guarded: Guarded,
    /// Job 4.
    pub authorizer: Authorizer,
    /// Job 3: the humans' secrets.
    pub vaults: Vaults,
    /// Job 3: how requests leave the host.
    pub upstream: Upstream,
    /// What sessions may take, and how long they may live.
    pub limits: LimitsConfig,
    /// The disks that they write to.
    pub disks: Disks,
    /// What sessions are shown of Holdfast's own: the hook's program, agents' managed settings.
    pub own: Own,
    /// Where the sessions' sockets are.
    pub sockets: PathBuf,
    /// By which this host may act.
    pub clock: Clock,
    /// What kind of installation this is.
    pub grade: Grade,
}

impl Ground {
    /// How well it is known which calls are a session's: whoever has its human's uid could make those of a contained one.
    fn level(&self) -> Level {
        match self.grade {
            Grade::Hardware | Grade::Simulated => Level::L3,
            Grade::Contained => Level::L1,
        }
    }

    /// What the human is told at a session's start, besides what is this session's.
    fn notice(&self) -> Option<&'static str> {
        match self.grade {
            Grade::Hardware | Grade::Simulated => None,
            Grade::Contained => Some(contained::NOTICE),
        }
    }
}
