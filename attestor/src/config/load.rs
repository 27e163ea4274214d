//! Reads the configuration and the certificates that it names.
//!
//! Everything is validated here, before a socket, database or key is opened.

use std::io::Read;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_proof::ek_certificate::{Certificate, EkCertificateError, Revocation, RevocationList};
use holdfast_proof::ima::{InvalidKey, InvalidLine};
use holdfast_proof::tpm::HashAlg;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use zeroize::Zeroizing;

use super::{Config, CrlMode, EnrollmentConfig, group};
use crate::ek_roots::Filed;
use crate::enroll_host::EnrollmentPolicy;
use crate::federation;
use crate::store::sql::{InvalidPostgresUrl, PostgresUrl};
use crate::verify_host::Required;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How long X.509-SVIDs may live.
pub(super) const X509_TTL: RangeInclusive<Duration> = MINUTE..=Duration::from_secs(72 * 3600);

/// The largest file that is read: a bundle of all vendors' certificates is a few hundred kB.
const MAX_FILE: u64 = 4 << 20;

/// A configuration cannot be used. Whoever wrote it is to blame.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or folder cannot be read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a configuration; the text names line, key, and what was expected.
    #[error("`{path}` is not a configuration of holdfast-attestor:\n{report}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and what.
        report: String,
    },
    /// A value cannot be used.
    #[error("`{path}`: `{key}` {problem}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file that holds a secret may be read by others.
    #[error(
        "`{path}` holds a password and may be readable by its owner alone, not by mode {mode:04o}"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file that should hold a database's URL does not.
    #[error("`{path}`: {source}")]
    NoDatabase {
        /// The file.
        path: PathBuf,
        /// What was expected.
        source: InvalidPostgresUrl,
    },
    /// A file that should hold certificates does not.
    #[error("`{path}` holds no x.509 certificate, or something beside it")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file that should hold revocation lists does not.
    #[error("`{path}` is no revocation list that can be used")]
    RevocationList {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: EkCertificateError,
    },
    /// A line of an allow list is not one.
    #[error("`{path}` is not an allow list")]
    AllowList {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        #[source]
        source: InvalidLine,
    },
    /// A certificate's key cannot be used for files.
    #[error("`{path}` names no key that can sign files")]
    ImaKey {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: InvalidKey,
    },
}

pub(super) fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, path)
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let config: Config = toml::from_str(text).map_err(|error| ConfigError::Invalid {
        path: path.to_owned(),
        report: error.to_string().trim_end().to_owned(),
    })?;
    let value = |key, problem| ConfigError::Value {
        path: path.to_owned(),
        key,
        problem,
    };
    if !config.state.is_absolute() {
        return Err(value("state", "has to be an absolute path"));
    }
    let x509_ttl = config.svid.x509_ttl.duration();
    if !X509_TTL.contains(&x509_ttl) {
        return Err(value("svid.x509-ttl", "has to be from 1m to 72h"));
    }
    let jwt_ttl = config.svid.jwt_ttl.duration();
    if !(MINUTE..=HOUR).contains(&jwt_ttl) {
        return Err(value("svid.jwt-ttl", "has to be from 1m to 1h"));
    }
    config
        .authority
        .upstream()
        .map_err(|problem| value("authority", problem))?;
    config
        .bundle_endpoint
        .shown()
        .map_err(|problem| value("bundle-endpoint", problem))?;
    let hint = config.bundle_endpoint.refresh_hint.duration();
    if !(Duration::from_secs(10)..=24 * HOUR).contains(&hint) {
        return Err(value(
            "bundle-endpoint.refresh-hint",
            "has to be from 10s to 24h",
        ));
    }
    if config.federation.len() > federation::MAX_PEERS {
        return Err(value("federation", "has more than 16 trust domains"));
    }
    if config.federation.contains_key(&config.trust_domain) {
        return Err(value(
            "federation",
            "has a table for this very trust domain",
        ));
    }
    for (name, table) in &config.federation {
        table
            .source(name)
            .map_err(|problem| value("federation", problem))?;
    }
    let required = config.policy.required_pcrs.0.indices();
    if let Required::Banks(selection) = &config.policy.required_pcrs.0
        && selection.banks().all(|(bank, _)| bank == HashAlg::Sha1)
    {
        return Err(value(
            "policy.required-pcrs",
            "names the SHA-1 bank alone, whose collisions can be made",
        ));
    }
    if required
        .iter()
        .any(|index| Some(*index) == holdfast_proof::ima::pcr())
    {
        return Err(value(
            "policy.required-pcrs",
            "names PCR 10, which has no fixed value: `policy.ima` asks for it",
        ));
    }
    if !config.policy.block.0.is_subset(&required) {
        return Err(value(
            "policy.block",
            "names a PCR that `policy.required-pcrs` does not",
        ));
    }
    if let Some(problem) = group::problem(&config, &required) {
        return Err(value("group", problem));
    }
    let enrollment = &config.enrollment;
    if enrollment.ek_crls.is_some() != (enrollment.crl != CrlMode::Off) {
        return Err(value(
            "enrollment.crl",
            "needs the folder `enrollment.ek-crls`, and that folder needs a `crl` other than \"off\"",
        ));
    }
    tracing_subscriber::EnvFilter::try_new(&config.log.level)
        .map_err(|_| value("log.level", "is not a tracing filter"))?;
    Ok(config)
}

pub(super) fn enrollment_policy(
    config: &EnrollmentConfig,
) -> Result<EnrollmentPolicy, ConfigError> {
    Ok(EnrollmentPolicy {
        simulated: config.accept_simulated.0,
        roots: certificates(config.ek_roots.as_deref())?,
        intermediates: certificates(config.ek_intermediates.as_deref())?,
        revocation: revocation(config)?,
        allowed: config.ek_allow_list.iter().copied().collect(),
        unknown: config.unknown_hosts,
    })
}

/// The lists in the files of the configured folder.
fn revocation(config: &EnrollmentConfig) -> Result<Revocation, ConfigError> {
    let mut lists = Vec::new();
    let folder = config.ek_crls.as_deref();
    for (path, bytes) in folder.map(files).transpose()?.unwrap_or_default() {
        let found = lists_of(&path, &bytes);
        lists.extend(found.map_err(|source| ConfigError::RevocationList { path, source })?);
    }
    Ok(match config.crl {
        CrlMode::Off => Revocation::Off,
        CrlMode::WhereThereIsOne => Revocation::WhereThereIsOne(lists),
        CrlMode::Require => Revocation::Require(lists),
    })
}

/// One list in DER, or at least one in PEM.
fn lists_of(path: &Path, bytes: &[u8]) -> Result<Vec<RevocationList>, EkCertificateError> {
    let name = path.display().to_string();
    if bytes.first() == Some(&0x30) {
        return Ok(vec![RevocationList::parse(&name, bytes)?]);
    }
    let malformed = EkCertificateError::Malformed("pem");
    let found: Vec<_> = CertificateRevocationListDer::pem_slice_iter(bytes)
        .map(|der| RevocationList::parse(&name, der.as_ref().map_err(|_| malformed.clone())?))
        .collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Err(malformed);
    }
    Ok(found)
}

/// The URL in a file that others may not read.
pub(super) fn postgres_url(file: &Path) -> Result<PostgresUrl, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: file.to_owned(),
        source,
    };
    let mode = std::fs::metadata(file).map_err(unreadable)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(ConfigError::Open {
            path: file.to_owned(),
            mode,
        });
    }
    let url = Zeroizing::new(std::fs::read_to_string(file).map_err(unreadable)?);
    url.trim()
        .parse()
        .map_err(|source| ConfigError::NoDatabase {
            path: file.to_owned(),
            source,
        })
}

/// The certificates of a folder.
fn certificates(folder: Option<&Path>) -> Result<Vec<Certificate>, ConfigError> {
    let filed = folder.map(certificates_in).transpose()?;
    Ok(filed
        .unwrap_or_default()
        .into_iter()
        .map(|filed| filed.certificate)
        .collect())
}

/// The certificates in the files of a folder, by file name.
pub(super) fn certificates_in(folder: &Path) -> Result<Vec<Filed>, ConfigError> {
    let mut certificates = Vec::new();
    for (path, bytes) in files(folder)? {
        certificates.extend(filed(path, &bytes)?);
    }
    Ok(certificates)
}

/// The certificates in a file.
pub(super) fn certificates_of(path: &Path) -> Result<Vec<Filed>, ConfigError> {
    filed(path.to_owned(), &bounded(path)?)
}

fn filed(file: PathBuf, bytes: &[u8]) -> Result<Vec<Filed>, ConfigError> {
    let Some(found) = from_file(bytes) else {
        return Err(ConfigError::NoCertificate { path: file });
    };
    Ok(found
        .into_iter()
        .map(|certificate| Filed {
            file: file.clone(),
            certificate,
        })
        .collect())
}

/// The files of a folder, by name.
pub(super) fn files(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, ConfigError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| ConfigError::Unreadable { path, source }
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        if path.metadata().map_err(unreadable(&path))?.is_file() {
            files.push(path);
        }
    }
    files.sort();
    files
        .into_iter()
        .map(|path| bounded(&path).map(|bytes| (path, bytes)))
        .collect()
}

/// A file's content, cut where it is longer than anything that is expected.
fn bounded(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
        .map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
    Ok(bytes)
}

/// One certificate in DER, as it may lie in NV, or at least one in PEM.
fn from_file(bytes: &[u8]) -> Option<Vec<Certificate>> {
    let found: Vec<Certificate> = if matches!(bytes, [0x30, ..] | [0x10, 0x01, ..]) {
        vec![Certificate::parse(bytes).ok()?]
    } else {
        CertificateDer::pem_slice_iter(bytes)
            .map(|der| Certificate::parse(&der.ok()?).ok())
            .collect::<Option<_>>()?
    };
    (!found.is_empty()).then_some(found)
}
