//! `bundle`: what verifies the trust domain's SVIDs.

use std::path::Path;

use clap::Subcommand;

use super::render::{self, Form};
use super::{Problem, state};

/// The trust domain's bundle.
#[derive(Debug, Subcommand)]
pub enum Bundle {
    /// Print it: the X.509 authorities as PEM, or with --json the whole SPIFFE bundle.
    Show,
}

pub(super) fn show(config: &Path, form: Form) -> Result<(), Problem> {
    let authority = state::authority(&state::configuration(config)?)?;
    match form {
        Form::Json => render::json(&authority.bundle()),
        Form::Text => render::text(authority.bundle_pem().trim_end()),
    }
}
