//! All keys of the authority as they are at one moment: one generation that signs, and those that are published beside it.
//!
//! It must never leave a generation's keys behind that the file of generations does not name any more.

use std::io::ErrorKind;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::TrustDomain;

use super::CertifyError;
use super::ca::Ca;
use super::ca_certificate::CaCertificate;
use super::files::{self, Access};
use super::generations::{Generation, Generations, Number};
use super::jwt::JwtKey;
use super::key_folder::KeyFolder;
use super::upstream::UpstreamFiles;

/// The file that tells which generations of keys there are, and what for. Without it there is the first alone.
const GENERATIONS_FILE: &str = "authorities.json";

/// The most roots of a trust domain: as many as hosts take.
pub(super) const MAX_ROOTS: usize = 16;

/// All keys.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) generations: Generations,
    /// Those that sign.
    pub(super) signing: KeyPair,
    /// Those that are published beside them, by number.
    others: Vec<KeyPair>,
}

/// One generation's keys.
#[derive(Debug)]
pub(super) struct KeyPair {
    pub(super) generation: Generation,
    pub(super) ca: Ca,
    pub(super) jwt: JwtKey,
}

impl Keys {
    /// Opens the keys of all generations in a state folder, and makes what is not there.
    pub(super) fn open(
        state: &KeyFolder,
        trust_domain: &TrustDomain,
        upstream: Option<&UpstreamFiles>,
        now: Timestamp,
    ) -> Result<Self, CertifyError> {
        Self::of(
            state,
            Self::generations(state)?,
            trust_domain,
            upstream,
            now,
        )
    }

    /// As [`Keys::open`], for these generations.
    pub(super) fn of(
        state: &KeyFolder,
        generations: Generations,
        trust_domain: &TrustDomain,
        upstream: Option<&UpstreamFiles>,
        now: Timestamp,
    ) -> Result<Self, CertifyError> {
        let open = |generation: Generation| {
            Ok::<_, CertifyError>(KeyPair {
                generation,
                ca: Ca::open(state, generation.number, trust_domain, upstream, now)?,
                jwt: JwtKey::open(state, generation.number)?,
            })
        };
        let signing = open(generations.active())?;
        let others = generations.all().iter();
        let others = others
            .filter(|other| other.number != signing.generation.number)
            .map(|other| open(*other))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            generations,
            signing,
            others,
        })
    }

    /// What the state folder's file tells.
    pub(super) fn generations(state: &KeyFolder) -> Result<Generations, CertifyError> {
        let path = state.join(GENERATIONS_FILE);
        let Some(text) = files::load(&path, Access::Everybody)? else {
            return Ok(Generations::first());
        };
        serde_json::from_str::<Generations>(&text)
            .ok()
            .filter(Generations::are_sound)
            .ok_or(CertifyError::Unusable {
                path,
                problem: "does not tell which keys there are",
            })
    }

    /// Tells everybody who opens the state folder from now on.
    pub(super) fn publish(&self, state: &KeyFolder) -> Result<(), CertifyError> {
        let text = serde_json::to_string_pretty(&self.generations)
            .map_err(|_| CertifyError::Crypto("encoding the generations"))?;
        files::replace(&state.join(GENERATIONS_FILE), Access::Everybody, &text)
    }

    /// Deletes a generation's keys.
    pub(super) fn delete(state: &KeyFolder, number: Number) -> Result<(), CertifyError> {
        let [key, certificate, roots] = Ca::files(state, number);
        for path in [key, JwtKey::file(state, number), certificate, roots] {
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != ErrorKind::NotFound => {
                    return Err(CertifyError::File { path, source });
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Those that sign, then the others.
    pub(super) fn by_use(&self) -> impl Iterator<Item = &KeyPair> {
        std::iter::once(&self.signing).chain(&self.others)
    }

    /// What verifies what any of them signs, each once: those of the generation that signs first.
    pub(super) fn roots(&self) -> Vec<&CaCertificate> {
        let mut roots = Vec::new();
        for root in self.by_use().flat_map(|pair| pair.ca.roots()) {
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        roots
    }
}
