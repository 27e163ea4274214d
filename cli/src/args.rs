//! The command line, as a contract: its words, its help.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Gives the AI agents on this machine an identity that its TPM vouches for.
#[derive(Debug, Parser)]
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
        default_value = "/run/holdfast/management.sock"
    )]
    pub socket: PathBuf,

    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,

    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
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
}

/// The audit log.
#[derive(Debug, Subcommand)]
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
    /// Freeze the log as it stands: the TPM signs a checkpoint and its counter moves on.
    Checkpoint,
    /// Write the log out for others to read.
    Export(Export),
}

/// Where an export goes.
#[derive(Debug, ClapArgs)]
pub struct Export {
    /// The file to write: one OCSF event a line ("-" for standard output).
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub ocsf: PathBuf,
    /// The first record.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
}

/// The broker's configuration.
#[derive(Debug, Subcommand)]
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
