//! The broker's own log, on standard error.
//!
//! Not the audit log: nothing depends on it, and no secret's type has a form that could reach it.

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging. `HOLDFAST_LOG` overrides the configured filter.
pub fn start(config: &LogConfig) {
    let filter = EnvFilter::try_from_env("HOLDFAST_LOG")
        .or_else(|_| EnvFilter::try_new(&config.level))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start of the log is a mistake of ours that must not end the broker.
    let started = match config.format {
        LogFormat::Human => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Err(error) = started {
        eprintln!("holdfastd: the log was started before: {error}");
    }
}
