//! The command line, as a contract: its words, its help.

mod agents;
mod secrets;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Parser, Subcommand};
use holdfast_protocol::contained::Places;
use holdfast_protocol::id::{AgentKind, CallId, SessionId};
use holdfast_protocol::sub::Target;
use holdfast_protocol::widening::{HostName, Publish, Reach};

pub use agents::{Agents, Connect, Discover};
pub use secrets::{AddSecret, Import, Secrets, Source};

/// Where the host's own broker is managed.
const HOSTS_BROKER: &str = "/run/holdfast/management.sock";

/// Gives the AI agents on this machine an identity that its TPM vouches for.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "holdfast",
    version,
    about,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 denied by policy, \
                  4 denied by the human or no answer, 5 not attested."
)]
pub struct Args {
    /// The broker's management socket.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "HOLDFAST_SOCKET",
        default_value = HOSTS_BROKER
    )]
    pub socket: PathBuf,

    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,

    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    /// The same, asked of the broker at `socket`.
    pub fn at(&self, socket: PathBuf) -> Self {
        Self {
            socket,
            ..self.clone()
        }
    }

    /// Names the human's own broker where the host has none and nobody named another.
    pub fn find_broker(&mut self) {
        let host = Path::new(HOSTS_BROKER);
        if self.socket != host || host.exists() {
            return;
        }
        let own = Places::find(|name| std::env::var_os(name)).map(|places| places.management());
        if let Some(own) = own.filter(|own| own.exists()) {
            self.socket = own;
        }
    }
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Enroll this host with an attestor, and attest it.
    ///
    /// The host shows its TPM's endorsement key and, with --token-file, a one-time token from the
    /// attestor's operator. A token also pins the attestor's authority; without one, say which
    /// authority to trust with --authority.
    Enroll {
        /// Where the attestor is: https://host:port.
        url: String,
        /// A file that holds a one-time token ("-" for standard input).
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// The attestor's authority, PEM, where no token pins it.
        #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
        authority: Option<PathBuf>,
    },
    /// Run a program in a sealed session.
    ///
    /// It sees the project, the system and the tools on your PATH, and nothing else of this machine:
    /// no network but what policy, you and these flags let through, no other processes, a home of its own.
    /// The session ends with this command.
    ///
    /// Ctrl-Z, `fg`, `bg` and `kill %1` are as with any program. One that is stopped is idle: a bound on
    /// that ends it.
    ///
    /// Its home and what its tools fetch stay for the next session of the same project. Your instructions
    /// for an agent come for reading. A profile of your own, ~/.config/holdfast/profiles/KIND.toml, adds to
    /// what Holdfast knows of an agent, or defines another kind: `names`, `keep`, `set`, `instructions`,
    /// `tools`, `hosts`.
    ///
    /// It may change the project, but for configuration of agents and CI that is there (`--show` lists it).
    /// What it changed that runs by itself, such as a build script, is said at its end, and `holdfast undo`
    /// puts the project back.
    ///
    /// Over the project's `.git` it has a git folder of its own, without your hooks and settings. At its
    /// end its commits, branches, tags, stash and index are checked and brought into yours, unless you
    /// changed the same meanwhile: then they are kept below refs/holdfast/. A repository that it made or
    /// changed elsewhere in the project is renamed, because its settings would run as you.
    ///
    /// Not in a session: container engines (start containers outside), a browser's own sandbox (start it
    /// with --no-sandbox), sudo, ping, the system's services.
    Run(Run),
    /// Bring back what sessions did in git.
    ///
    /// `holdfast run` does so at its end, and at its start for the same project where an earlier one was
    /// killed.
    #[command(subcommand)]
    Git(GitCommand),
    /// Open a shell of your own in a session of yours that runs.
    ///
    /// It sees what the session sees and may what it may, beside what runs there. That it was opened is on record. It
    /// ends with the session.
    Shell {
        /// The session [default: your only one].
        session: Option<SessionId>,
    },
    /// Find the coding agents of this machine.
    #[command(subcommand)]
    Agents(Agents),
    /// Make the bare command of an agent sealed: `claude` then starts `holdfast run -- claude`.
    ///
    /// A shim of that name is put into a folder that has to come first on your PATH. Nothing else is changed unless
    /// --write says so; --undo takes back exactly what was added. Inside a session the shim starts the agent itself.
    Connect(Connect),
    /// List the sessions of this host, or act on one.
    Sessions {
        #[command(subcommand)]
        command: Option<Sessions>,
    },
    /// Put a project back as it was before a session, or list the sessions that can be undone.
    ///
    /// Before a session begins, the project is copied to your state folder, but for `.git` and the folders
    /// that git is told to ignore. What you changed after the session stays as it is, and the undo can be
    /// undone itself.
    Undo(Undo),
    /// List the questions that wait for you, show one, or answer it.
    Approvals {
        #[command(subcommand)]
        command: Option<Approvals>,
    },
    /// Enroll what proves that it is you who approves.
    #[command(subcommand)]
    Factors(Factors),
    /// List the secrets that your vault keeps for agents, or change it.
    ///
    /// An agent never sees them: its session gets placeholders, which are worth nothing elsewhere, and
    /// the secret takes their place on the way out.
    Secrets {
        #[command(subcommand)]
        command: Option<Secrets>,
    },
    /// Show this host's identity, its TPM, and its audit log's head.
    Status {
        /// Attest again first.
        #[arg(long)]
        renew: bool,
    },
    /// Check this installation, and say what to mend.
    Doctor,
    /// Read, verify and export the audit log.
    #[command(subcommand)]
    Audit(Audit),
    /// Check or show the broker's configuration.
    #[command(subcommand)]
    Config(Config),
    /// Answer an agent's hook, from inside a session (= holdfast-hook).
    Hook {
        /// The agent: claude.
        #[arg(value_name = "AGENT")]
        agent: OsString,
    },
    /// Become a sub-agent of this session and run a program, from inside it (= holdfast-hook sub).
    ///
    /// It has an identity of its own below the session's, and no right that was not its parent's. It
    /// ends with its parent; `holdfast sessions end SESSION/sub/N` ends it alone.
    Sub {
        /// [--name NAME] [--no-secrets] [--no-network | --host HOST…] [--read-only] -- CMD…
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "OPTIONS -- CMD"
        )]
        arguments: Vec<OsString>,
    },
    /// Answer a tool that asks its credential helper, from inside a session.
    #[command(subcommand)]
    Credential(Credential),
}

/// Git.
#[derive(Clone, Debug, Subcommand)]
pub enum GitCommand {
    /// Bring back what is left of sessions whose command was killed, or that could not be brought back.
    Recover {
        /// Of this project alone [default: of all].
        #[arg(long, value_name = "DIR")]
        project: Option<PathBuf>,
    },
}

/// Credential helpers.
#[derive(Clone, Debug, Subcommand)]
pub enum Credential {
    /// Git's: attributes on standard input, a placeholder on standard output.
    Git {
        /// What git asks: get, store or erase.
        #[arg(value_name = "OPERATION")]
        operation: OsString,
    },
}

/// A program, and the session that it is to have.
#[derive(Clone, Debug, ClapArgs)]
pub struct Run {
    /// The agent's kind; the program has to be of it, by its package, its name, or this host's list.
    #[arg(long, value_name = "KIND")]
    pub agent: Option<AgentKind>,
    /// The folder that the session may change [default: the git work tree here, or this folder].
    #[arg(long, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Lend it this folder or file too, for reading; may be given more than once. It is recorded.
    #[arg(long, value_name = "PATH")]
    pub ro: Vec<PathBuf>,
    /// Lend it this folder or file of yours too, to be changed; may be given more than once. It is recorded.
    #[arg(long, value_name = "PATH")]
    pub rw: Vec<PathBuf>,
    /// Start without the home and the caches that earlier sessions of this project left, and leave none.
    #[arg(long)]
    pub fresh: bool,
    /// What it is for; it stands in listings and in the record.
    #[arg(long, value_name = "TEXT")]
    pub purpose: Option<String>,
    /// Let it open TCP to a host and port by name, even if that is this machine's own; repeatable. It is
    /// recorded.
    ///
    /// With `localhost:PORT` or an address of this machine's loopback, the session's own 127.0.0.1:PORT
    /// leads there.
    #[arg(long, value_name = "HOST:PORT")]
    pub reach: Vec<Reach>,
    /// Let it reach a public host without asking you; repeatable.
    #[arg(long, value_name = "NAME")]
    pub host: Vec<HostName>,
    /// Show a port of its own 127.0.0.1 on this machine's, as the same port or another; repeatable.
    ///
    /// Every program on this machine can connect there, until the session ends.
    #[arg(long, value_name = "[HOSTPORT:]PORT")]
    pub publish: Vec<Publish>,
    /// Let the session change this agent configuration or CI file, which it only reads otherwise. You are asked
    /// first, and it is recorded.
    #[arg(long, value_name = "PATH")]
    pub unguard: Vec<PathBuf>,
    /// Take no snapshot of the project: the session cannot be undone, nor is said at its end what changed.
    #[arg(long)]
    pub no_snapshot: bool,
    /// Show what the session would have, and do not make it.
    #[arg(long)]
    pub show: bool,
    /// Run it by a broker of your own, without root, which is started if it is not there.
    ///
    /// The walls keep the agent in. They do not keep your other programs out, no attestor vouches for such a session, and
    /// consent to its acts is never more than a click. The broker goes on for the next session, and the other commands find
    /// it where the host has none; `holdfastd --contained` is the same in the foreground.
    #[arg(long)]
    pub contained: bool,
    /// Say the session's identity on standard error.
    #[arg(short, long)]
    pub verbose: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// A session whose changes are not wanted.
#[derive(Clone, Debug, ClapArgs)]
pub struct Undo {
    /// Its id, or that of an undo.
    pub session: Option<SessionId>,
    /// Show what it changed, and put nothing back.
    #[arg(long, requires = "session")]
    pub show: bool,
    /// Put back only this file or folder, and what is in it.
    #[arg(
        long = "path",
        value_name = "PATH",
        requires = "session",
        conflicts_with = "show"
    )]
    pub paths: Vec<PathBuf>,
    /// Put back also what was changed after the session.
    #[arg(long, requires = "session", conflicts_with = "show")]
    pub force: bool,
    /// List the sessions of this project [default: the git work tree here, or this folder].
    #[arg(long, value_name = "DIR", conflicts_with = "session")]
    pub project: Option<PathBuf>,
}

/// Sessions.
#[derive(Clone, Debug, Subcommand)]
pub enum Sessions {
    /// List them; the default.
    List,
    /// Show one: its identity, its bounds and what this host cannot bound, its lifetimes.
    Show {
        /// Its id.
        session: SessionId,
    },
    /// Freeze one: no process of it runs on.
    Pause(Chosen),
    /// Let a frozen one go on.
    Resume(Chosen),
    /// Kill one, and all that it held is gone; or a sub-agent of it alone.
    End(ChosenEnd),
}

/// What is to be ended.
#[derive(Clone, Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub struct ChosenEnd {
    /// Its id; with `/sub/N`, that sub-agent.
    #[arg(value_name = "SESSION[/sub/N]")]
    pub target: Option<Target>,
    /// Every session of this host.
    #[arg(long)]
    pub all: bool,
}

/// One session, or every one that lives.
#[derive(Clone, Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub struct Chosen {
    /// Its id.
    pub session: Option<SessionId>,
    /// Every session of this host.
    #[arg(long)]
    pub all: bool,
}

/// Questions.
#[derive(Clone, Debug, Subcommand)]
pub enum Approvals {
    /// List them; the default.
    List,
    /// Show one, whole.
    Show {
        /// Its id.
        id: CallId,
    },
    /// Approve one: the TPM signs exactly this call, under your PIN where its risk asks for that.
    Approve {
        /// Its id.
        id: CallId,
        /// A file that holds the PIN, instead of typing it.
        #[arg(long, value_name = "FILE")]
        pin_file: Option<PathBuf>,
    },
    /// Deny one.
    Deny {
        /// Its id.
        id: CallId,
    },
}

/// Factors.
#[derive(Clone, Debug, Subcommand)]
pub enum Factors {
    /// Make an approval key in the TPM, behind a PIN that the TPM itself guards.
    Enroll {
        /// A file that holds the PIN, instead of typing it.
        #[arg(long, value_name = "FILE")]
        pin_file: Option<PathBuf>,
    },
    /// Unlock the PIN after three wrong ones, by the code that `enroll` printed.
    Unlock {
        /// A file that holds the code and that only you can read, instead of typing it.
        #[arg(long, value_name = "FILE")]
        code_file: Option<PathBuf>,
    },
    /// Give the approval key up, by the code that `enroll` printed: for a PIN that is forgotten.
    Remove {
        /// A file that holds the code and that only you can read, instead of typing it.
        #[arg(long, value_name = "FILE")]
        code_file: Option<PathBuf>,
    },
}

/// The audit log.
#[derive(Clone, Debug, Subcommand)]
pub enum Audit {
    /// Show the newest records, a line each.
    Tail {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        count: u32,
    },
    /// Show one record, whole.
    Show {
        /// Its index.
        index: u64,
    },
    /// Check every record, checkpoint and counter value.
    Verify,
    /// Check a human's proof of consent to one call, as anybody could.
    ///
    /// The proof is a signature by a key in the TPM, over a statement that names the call by its digest.
    /// What is needed for checking it are audit records: all of them up to the approval, from the broker
    /// or from a file that `audit export` wrote, or those of the one call together with --key.
    VerifyReceipt {
        /// A file of audit records ("-" for standard input), or the id of a call, whose records the
        /// broker is asked for.
        #[arg(value_name = "FILE|-|CALL-ID")]
        from: PathBuf,
        /// The approval key that you know to be the human's: SubjectPublicKeyInfo, DER, in hex.
        #[arg(long, value_name = "SPKI-HEX")]
        key: Option<String>,
    },
    /// Freeze the log as it stands: the TPM signs a checkpoint and its counter moves on.
    Checkpoint,
    /// Write the log out for others to read.
    Export(Export),
}

/// Where an export goes.
#[derive(Clone, Debug, ClapArgs)]
pub struct Export {
    /// The file to write: one OCSF event a line ("-" for standard output).
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub ocsf: PathBuf,
    /// The first record.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
}

/// The broker's configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum Config {
    /// Check a file: where it is wrong and what was expected.
    Check {
        /// The file.
        #[arg(default_value = "/etc/holdfast/holdfastd.toml")]
        file: PathBuf,
    },
    /// Show every key with its default.
    Show,
}
