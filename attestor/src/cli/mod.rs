//! The attestor's command line (DESIGN §13): its words, its help, its exit codes.
//!
//! Commands beside `serve` work on the state folder of the same machine; none of them talks to a
//! running attestor, which sees what they wrote at its next request and tells hosts what was ordered.

mod audit;
mod authority;
mod bundle;
mod descriptors;
mod ek_hashes;
mod ek_roots;
mod host;
mod init;
mod outcome;
mod reference;
mod render;
mod rollout;
mod serve;
mod state;
mod token;
mod update;
mod verdict;
mod waiting;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use outcome::Problem;

/// Verifies hosts by their TPM, and gives them and their agents SPIFFE identities.
#[derive(Debug, Parser)]
#[command(
    name = "holdfast-attestor",
    version,
    about,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage or configuration.\n\n\
                  `holdfast-attestor config` prints the commented reference configuration."
)]
pub struct Args {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "HOLDFAST_ATTESTOR_CONFIG",
        default_value = "/etc/holdfast/attestor.toml"
    )]
    pub config: PathBuf,

    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT.
    Serve,
    /// Make a state folder with its keys and a configuration in it, for `serve --config`.
    Init(init::Init),
    /// Print the commented reference configuration, or check a file.
    Config {
        /// Check the file that --config names instead.
        #[arg(long)]
        check: bool,
    },
    /// The hosts that are enrolled.
    #[command(subcommand)]
    Host(host::Host),
    /// Updates of whole groups, by their canaries first.
    #[command(subcommand)]
    Rollout(rollout::Rollout),
    /// One-time tokens, with which hosts join.
    #[command(subcommand)]
    Token(token::Token),
    /// The roots of TPM vendors that EK certificates may lead to.
    #[command(subcommand)]
    EkRoots(ek_roots::EkRoots),
    /// The endorsement keys that may join without certificate or token.
    #[command(subcommand)]
    EkHashes(ek_hashes::EkHashes),
    /// The audit logs that hosts have sent.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// The keys that sign, and their rotation.
    #[command(subcommand)]
    Authority(authority::Authority),
    /// The trust domain's bundle, and those of others: what verifies their SVIDs.
    #[command(subcommand)]
    Bundle(bundle::Bundle),
}

impl Args {
    /// Does what was asked.
    ///
    /// # Errors
    /// [`Problem`] with what happened, why, and what to do next.
    pub async fn run(self) -> Result<(), Problem> {
        let Self {
            config,
            json,
            command,
        } = self;
        let form = render::Form::from_flag(json);
        match command {
            Command::Serve => serve::run(&config).await,
            Command::Init(init) => init::run(&init, form),
            Command::Config { check: false } => render::text(crate::config::REFERENCE.trim_end()),
            Command::Config { check: true } => {
                state::configuration(&config)?.key_folder()?;
                render::text(&format!("`{}` is a valid configuration", config.display()))
            }
            Command::Host(command) => host::run(&command, &config, form).await,
            Command::Rollout(command) => rollout::run(&command, &config, form).await,
            Command::Token(command) => token::run(&command, &config, form).await,
            Command::EkRoots(command) => ek_roots::run(&command, &config, form),
            Command::EkHashes(command) => ek_hashes::run(&command, &config, form).await,
            Command::Audit(command) => audit::run(&command, &config, form).await,
            Command::Authority(command) => authority::run(&command, &config, form),
            Command::Bundle(command) => bundle::run(&command, &config, form),
        }
    }
}
