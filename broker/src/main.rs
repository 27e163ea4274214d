//! `holdfastd`, the broker: the composition root of the five jobs, and the only process that opens
//! the TPM.
//!
//! Reads as its own lifecycle: arguments, configuration, log, daemon, end. It must never do a job's
//! work itself.
#![forbid(unsafe_code)]

mod ambient;
mod approvers;
mod audit;
mod calls;
mod config;
mod contained;
mod daemon;
mod disks;
mod limits;
mod listener;
mod log;
mod management;
mod mirror;
mod presence;
mod sessions;
mod simulator;
mod state_folder;
mod stops;
mod time;
mod tpm;
mod vault;
mod warden;
mod workloads;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use holdfast_protocol::contained::Places;
use holdfast_protocol::grade::Grade;

use crate::config::{Config, TpmDevice};

/// The Holdfast broker.
#[derive(Debug, Parser)]
#[command(
    name = "holdfastd",
    version,
    about,
    after_help = "Exit codes: 0 stopped in order, 1 failed, 2 usage or configuration."
)]
struct Args {
    /// The configuration file; `--show-config` prints one to begin with.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/holdfast/holdfastd.toml"
    )]
    config: PathBuf,

    /// Be your own broker, without root: your folders, a software TPM of yours, sessions that keep the agent in and nobody
    /// out.
    ///
    /// Its state is in $XDG_STATE_HOME/holdfast/contained, its sockets in $XDG_RUNTIME_DIR/holdfast, its configuration, where
    /// there is one, in $XDG_CONFIG_HOME/holdfast/holdfastd.toml. `holdfast run --contained` starts it.
    #[arg(long, conflicts_with_all = ["config", "simulator"])]
    contained: bool,

    /// Use a private simulated TPM in the state folder. It proves nothing about hardware.
    #[arg(long)]
    simulator: bool,

    /// Check the configuration and end.
    #[arg(long)]
    check: bool,

    /// Print the reference configuration, every key with its default, and end.
    #[arg(long)]
    show_config: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.show_config {
        print!("{}", config::REFERENCE);
        return ExitCode::SUCCESS;
    }
    let config = match configuration(&args) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("holdfastd: {:#}", anyhow::Error::new(error));
            return ExitCode::from(2);
        }
    };
    if args.check {
        if let Err(error) = calls::engine(Grade::Hardware, &config.policy.files) {
            eprintln!("holdfastd: {error:#}");
            return ExitCode::from(2);
        }
        println!("{} is a valid configuration", checked(&args));
        return ExitCode::SUCCESS;
    }
    log::start(&config.log);
    match daemon::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfastd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Which file `--check` was about.
fn checked(args: &Args) -> String {
    let own = || Places::find(|name| std::env::var_os(name)).map(|places| places.config);
    let path = if args.contained { own() } else { None };
    path.unwrap_or_else(|| args.config.clone())
        .display()
        .to_string()
}

fn configuration(args: &Args) -> Result<Config, config::ConfigError> {
    if args.contained {
        let places = Places::find(|name| std::env::var_os(name));
        return Config::contained(&places.ok_or(config::ConfigError::Homeless)?);
    }
    let mut config = Config::load(&args.config)?;
    if args.simulator {
        config.tpm.device = TpmDevice::Simulator;
    }
    Ok(config)
}
