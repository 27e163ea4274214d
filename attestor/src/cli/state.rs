//! Opens what a command works on: configuration, state folder, authority, registry.
//!
//! A state folder that others may enter is refused before anything in it is read.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use super::Problem;
use crate::certify::Authority;
use crate::config::Config;
use crate::federation::{Federation, Keep};
use crate::mirror_audit::Cosigner;
use crate::serve::now;
use crate::store::sql::SqlStore;

/// Reads the configuration, with what it names.
pub(super) fn configuration(path: &Path) -> Result<Config, Problem> {
    let config = Config::load(path)?;
    config.enrollment_policy()?;
    Ok(config)
}

/// The folder of all that is kept, made where it is not there.
pub(super) fn folder(path: &Path) -> Result<(), Problem> {
    let cannot = |error| {
        Problem::io(
            &format!("the state folder `{}` cannot be used", path.display()),
            &error,
            "name another `state` in the configuration, or give it to this user",
        )
    };
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(cannot(error)),
        Ok(()) | Err(_) => {}
    }
    let mode = std::fs::metadata(path).map_err(cannot)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Problem::failed(
            format!(
                "the state folder `{}` has mode {mode:04o}; it holds keys and may be open to its \
                 owner alone",
                path.display()
            ),
            format!("run `chmod 700 {}`", path.display()),
        ));
    }
    Ok(())
}

/// The authority of a configuration.
pub(super) fn authority(config: &Config) -> Result<Authority, Problem> {
    folder(&config.state)?;
    Ok(Authority::open_under(
        &config.key_folder()?,
        &config.trust_domain,
        config.upstream(),
        now(),
    )?)
}

/// The other trust domains of a configuration, as they were known last.
pub(super) fn federation(config: &Config) -> Result<Federation, Problem> {
    folder(&config.state)?;
    let keep = Keep::new(&config.state);
    Ok(Federation::open(config.federation(), keep, now())?)
}

/// The key that cosigns hosts' audit logs.
pub(super) fn cosigner(config: &Config) -> Result<Cosigner, Problem> {
    folder(&config.state)?;
    Ok(Cosigner::open(&config.key_folder()?, &config.trust_domain)?)
}

/// The registry of a configuration.
pub(super) async fn registry(config: &Config) -> Result<SqlStore, Problem> {
    folder(&config.state)?;
    Ok(SqlStore::open(&config.home()?).await?)
}
