//! What a scenario is made of. Everything here is owned by one test and gone when that test ends.
//!
//! Nothing in here may be shared between tests by way of the file system, a fixed port or a global: tests run in
//! parallel, as threads and as processes.

mod agents;
mod authority;
mod claude;
mod command;
mod daemon;
mod delay;
mod git_remote;
mod http;
mod logind;
mod manufacture;
mod model_server;
mod ports;
mod proxy;
mod scratch;
mod skip;
mod small_disk;
mod space;
mod swtpm;
mod tmux;
mod tools;
mod wait;
mod window;
mod wire;
mod wrong_clock;

pub use self::agents::Agent;
pub use self::authority::{EkAuthority, ListAge};
pub use self::claude::{bare_claude, claude};
pub use self::command::CommandCode;
pub use self::daemon::{Daemon, Ready, bin};
pub use self::delay::DelayProfile;
pub use self::git_remote::{GitRemote, GitRequest, Guarded, git, plain_git};
pub use self::logind::Logind;
pub use self::manufacture::{Banks, EkKind};
pub use self::model_server::{ModelRequest, ModelServer, TASK, ToolResult, Turn};
pub use self::ports::{PortPair, free_port};
pub use self::proxy::{CountingProxy, Exchange};
pub use self::scratch::Scratch;
pub use self::skip::skipped;
pub use self::small_disk::SmallDisk;
pub use self::swtpm::Swtpm;
pub use self::tmux::Tmux;
pub use self::tools::Tools;
pub use self::wait::{eventually, wait_until};
pub use self::window::{Scheme, Window};
pub use self::wrong_clock::WrongClock;
