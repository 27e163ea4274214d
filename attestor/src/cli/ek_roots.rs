//! `ek-roots`: the vendors' roots that EK certificates may lead to, and whether one certificate does.
//!
//! It judges as enrollment does, by the same code; it must never make a root out of what only looks like one.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use holdfast_proof::ek_certificate::{Certificate, VouchedEk};
use holdfast_protocol::Timestamp;
use holdfast_protocol::words::with_causes;
use serde_json::{Value, json};

use super::render::{self, Form};
use super::{Problem, state};
use crate::config::{Config, certificates_of};
use crate::ek_roots::{self, Filed, ImportRefused, known};
use crate::enroll_host::judge_certificate;
use crate::registry::EkFingerprint;
use crate::serve::now;

/// A certificate without an end that is known ends at 9999-12-31T23:59:59Z (RFC 5280 §4.1.2.5).
const NO_END: Timestamp = Timestamp::from_secs(253_370_764_800);

/// The roots of TPM vendors.
#[derive(Debug, Subcommand)]
pub enum EkRoots {
    /// Add certificates to the folder `enrollment.ek-roots`: all of them, or none.
    ///
    /// Each has to be a CA's, valid today, and not in the folder yet. Their fingerprints are printed, with the vendor where
    /// it is a root that this program knows; compare any other with what its vendor publishes. A running attestor takes them
    /// when it starts again.
    Import {
        /// Files of certificates, PEM or DER.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the folder `enrollment.ek-roots`.
    List,
    /// Say whether an EK certificate would let its host join, and why not.
    ///
    /// The path is built and checked as at an enrollment: over the folders `ek-roots`, `ek-intermediates` and `ek-crls` of
    /// the configuration. Exits with 1 if the certificate is refused.
    Verify {
        /// The EK certificate: PEM, DER, or as it lies in the TPM's NV. What follows it in a PEM file is its chain.
        #[arg(value_name = "EKCERT")]
        certificate: PathBuf,
        /// Files of certificates that the host would send along.
        #[arg(long, value_name = "FILE")]
        chain: Vec<PathBuf>,
    },
}

pub(super) fn run(command: &EkRoots, config: &Path, form: Form) -> Result<(), Problem> {
    let config = state::configuration(config)?;
    match command {
        EkRoots::Import { files } => import(&config, files, form),
        EkRoots::List => list(&roots(&config)?, form),
        EkRoots::Verify { certificate, chain } => verify(&config, certificate, chain, form),
    }
}

fn roots(config: &Config) -> Result<Vec<Filed>, Problem> {
    config.ek_roots()?.ok_or_else(|| {
        Problem::usage(
            "the configuration names no folder of roots",
            "make one, owned by root, and name it as `ek-roots` in the table `enrollment`",
        )
    })
}

fn import(config: &Config, files: &[PathBuf], form: Form) -> Result<(), Problem> {
    let kept = roots(config)?;
    let mut offered = Vec::new();
    for file in files {
        let found = certificates_of(file).map_err(|error| {
            Problem::failed(
                with_causes(&error),
                "nothing was imported; leave that file out",
            )
        })?;
        offered.extend(found);
    }
    let refused = |error: ImportRefused| {
        let advice = match &error {
            ImportRefused::NotARoot { .. } => {
                "nothing was imported; leave it out: nothing below it would be accepted"
            }
            ImportRefused::Duplicate { .. } => "nothing was imported; leave it out",
            ImportRefused::Unwritable { .. } => {
                "nothing was imported; run this as the folder's owner"
            }
        };
        Problem::failed(with_causes(&error), advice)
    };
    ek_roots::check(&kept, &offered, now()).map_err(refused)?;
    // `roots` has seen that there is one.
    let folder = config
        .enrollment
        .ek_roots
        .as_deref()
        .unwrap_or(Path::new(""));
    let written = ek_roots::write(folder, &offered).map_err(refused)?;
    let imported: Vec<Filed> = written
        .into_iter()
        .zip(offered)
        .map(|(file, Filed { certificate, .. })| Filed { file, certificate })
        .collect();
    match form {
        Form::Json => render::json(&imported.iter().map(summary).collect::<Vec<_>>()),
        Form::Text => {
            let mut text = String::new();
            for Filed { certificate, .. } in &imported {
                // Writing to a string does not fail.
                let _ = writeln!(
                    text,
                    "{}  {}\n  {}",
                    certificate.fingerprint(),
                    certificate.subject_words(),
                    standing_of(certificate)
                );
            }
            render::text(&format!(
                "{text}{} imported; the attestor takes them when it starts again",
                imported.len()
            ))
        }
    }
}

/// Whose root it is, as far as that is known.
fn standing_of(root: &Certificate) -> String {
    match known(&root.fingerprint()) {
        Some(known) => format!("known: {}, {}", known.vendor, known.name),
        None if root.is_self_issued() => {
            "not a root that is known here: compare the fingerprint with what its vendor publishes"
                .to_owned()
        }
        None => format!(
            "not a root that is known here, nor one by its own word: it was issued by {}",
            root.issuer_words()
        ),
    }
}

fn list(roots: &[Filed], form: Form) -> Result<(), Problem> {
    match form {
        Form::Json => render::json(&roots.iter().map(summary).collect::<Vec<_>>()),
        Form::Text if roots.is_empty() => render::text("no root is in the folder"),
        Form::Text => {
            let mut table = format!(
                "{:<16}  {:<18}  {:<8}  {:<10}  {:<8}  SUBJECT",
                "FINGERPRINT", "VENDOR", "KEY", "UNTIL", "STANDING"
            );
            for Filed { certificate, .. } in roots {
                let fingerprint: String = certificate
                    .fingerprint()
                    .to_string()
                    .chars()
                    .take(16)
                    .collect();
                let _ = write!(
                    table,
                    "\n{fingerprint:<16}  {:<18}  {:<8}  {:<10}  {:<8}  {}",
                    known(&certificate.fingerprint()).map_or("-", |known| known.vendor),
                    certificate.key_words().to_string(),
                    until(certificate, 10),
                    standing(certificate),
                    certificate.subject_words(),
                );
            }
            render::text(&table)
        }
    }
}

fn summary(root: &Filed) -> Value {
    let certificate = &root.certificate;
    json!({
        "file": root.file,
        "fingerprint": certificate.fingerprint(),
        "subject": certificate.subject_words(),
        "issuer": certificate.issuer_words(),
        "key": certificate.key_words().to_string(),
        "not_after": until(certificate, usize::MAX),
        "standing": standing(certificate),
        "vendor": known(&certificate.fingerprint()).map(|known| known.vendor),
    })
}

/// When a certificate ends, in so many characters.
fn until(certificate: &Certificate, characters: usize) -> String {
    let end = certificate.not_after();
    if end >= NO_END {
        return "never".to_owned();
    }
    crate::rfc3339(end).chars().take(characters).collect()
}

fn standing(certificate: &Certificate) -> &'static str {
    if certificate.check_authority(now()).is_ok() {
        "usable"
    } else {
        "unusable"
    }
}

fn verify(config: &Config, file: &Path, chain: &[PathBuf], form: Form) -> Result<(), Problem> {
    let mut found = certificates_of(file)?
        .into_iter()
        .map(|filed| filed.certificate);
    let Some(certificate) = found.next() else {
        return Err(Problem::usage(format!("`{}` is empty", file.display()), ""));
    };
    let mut sent: Vec<Certificate> = found.collect();
    for file in chain {
        sent.extend(
            certificates_of(file)?
                .into_iter()
                .map(|filed| filed.certificate),
        );
    }
    let policy = config.enrollment_policy()?;
    let judged = judge_certificate(&certificate, &sent, &policy, now());
    let ek = certificate.key().map(|key| EkFingerprint::of(&key));
    let described = match form {
        Form::Json => render::json(&as_json(&certificate, ek, &judged, config)?),
        Form::Text => render::text(&as_text(&certificate, ek, &judged, config)?),
    };
    described?;
    match judged {
        Ok(_) => Ok(()),
        Err(why) => Err(Problem::failed(
            format!("`{}` is refused: {why}", file.display()),
            "see `ek-roots list`; a host whose vendor is not trusted joins by the allow list or a token",
        )),
    }
}

fn as_json(
    certificate: &Certificate,
    ek: Option<EkFingerprint>,
    judged: &Result<VouchedEk, String>,
    config: &Config,
) -> Result<Value, Problem> {
    let mut value = json!({
        "accepted": judged.is_ok(),
        "certificate": certificate.fingerprint(),
        "subject": certificate.subject_words(),
        "issuer": certificate.issuer_words(),
        "key": certificate.key_words().to_string(),
        "not_after": until(certificate, usize::MAX),
        "ek_fingerprint": ek,
    });
    let more = match judged {
        Ok(vouched) => json!({
            "root": root_of(vouched, config)?.as_ref().map(summary),
            "intermediates": vouched.intermediates,
        }),
        Err(why) => json!({ "why": why }),
    };
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    Ok(value)
}

fn as_text(
    certificate: &Certificate,
    ek: Option<EkFingerprint>,
    judged: &Result<VouchedEk, String>,
    config: &Config,
) -> Result<String, Problem> {
    let mut text = format!(
        "{}\n  issuer  {}\n  key     {}, until {}",
        certificate.fingerprint(),
        certificate.issuer_words(),
        certificate.key_words(),
        until(certificate, usize::MAX),
    );
    if let Some(ek) = ek {
        let _ = write!(text, "\n  ek      {ek}");
    }
    if let Ok(vouched) = judged {
        let root = root_of(vouched, config)?;
        let _ = write!(
            text,
            "\n  accepted: {} intermediates lead to {}{}",
            vouched.intermediates,
            vouched.root,
            root.map_or_else(String::new, |root| format!(
                "\n  {}, {}",
                root.certificate.subject_words(),
                standing_of(&root.certificate)
            )),
        );
    }
    Ok(text)
}

fn root_of(vouched: &VouchedEk, config: &Config) -> Result<Option<Filed>, Problem> {
    let roots = config.ek_roots()?.unwrap_or_default();
    Ok(roots
        .into_iter()
        .find(|root| root.certificate.fingerprint() == vouched.root))
}
