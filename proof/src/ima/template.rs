//! What the templates of the kernel carry (Linux `Documentation/security/IMA-templates.rst`).
//!
//! A template that is not known here is opaque: it replays, and says nothing. Its name is the host's word, for no PCR
//! covers it. So the fields of a template are fixed here and never taken from its name (boot parameter
//! `ima_template_fmt`): no two templates read one entry's data as two different digests.

use crate::tpm::HashAlg;

/// The first template: a SHA-1 digest and a path, without lengths.
pub(super) const LEGACY: &str = "ima";

/// The named templates and their fields.
const NAMED: [(&str, &str); 7] = [
    ("ima-ng", "d-ng|n-ng"),
    ("ima-ngv2", "d-ngv2|n-ng"),
    ("ima-sig", "d-ng|n-ng|sig"),
    ("ima-sigv2", "d-ngv2|n-ng|sig"),
    ("ima-buf", "d-ng|n-ng|buf"),
    ("ima-modsig", "d-ng|n-ng|sig|d-modsig|modsig"),
    (
        "evm-sig",
        "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode",
    ),
];

/// Over what a file's digest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestKind {
    /// The file's content.
    Content,
    /// The content's fs-verity tree.
    Verity,
}

/// The digest of what was measured, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileDigest<'a> {
    /// Over what it is.
    pub kind: DigestKind,
    /// The kernel's name of its algorithm.
    pub alg: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl FileDigest<'_> {
    /// The algorithm, if Holdfast knows it and the digest is as long as one of it.
    pub fn known(&self) -> Option<HashAlg> {
        alg(self.alg).filter(|alg| alg.digest_len() == self.bytes.len())
    }
}

/// The algorithm of a name that the kernel, and an allow list, gives it.
pub(super) fn alg(name: &str) -> Option<HashAlg> {
    match name {
        "sha1" => Some(HashAlg::Sha1),
        "sha256" => Some(HashAlg::Sha256),
        "sha384" => Some(HashAlg::Sha384),
        "sha512" => Some(HashAlg::Sha512),
        _ => None,
    }
}

/// The name that the kernel gives an algorithm.
pub(super) fn name(alg: HashAlg) -> &'static str {
    match alg {
        HashAlg::Sha1 => "sha1",
        HashAlg::Sha256 => "sha256",
        HashAlg::Sha384 => "sha384",
        HashAlg::Sha512 => "sha512",
    }
}

/// One thing that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured<'a> {
    /// A file's path, or the event's name for a buffer. The kernel writes `_` for each space.
    pub path: &'a [u8],
    /// The digest.
    pub digest: FileDigest<'a>,
    /// The file's `security.ima` signature, where the template carries one.
    pub signature: Option<&'a [u8]>,
    /// The measured bytes themselves, where it was a buffer and not a file.
    pub buffer: Option<&'a [u8]>,
}

impl<'a> Measured<'a> {
    pub(super) fn legacy(digest: &'a [u8], path: &'a [u8]) -> Self {
        Self {
            path,
            digest: FileDigest {
                kind: DigestKind::Content,
                alg: name(HashAlg::Sha1),
                bytes: digest,
            },
            signature: None,
            buffer: None,
        }
    }
}

/// Reads template data; the error names the field.
pub(super) fn measured<'a>(
    template: &[u8],
    data: &'a [u8],
) -> Result<Option<Measured<'a>>, &'static str> {
    let Some(format) = format(template) else {
        return Ok(None);
    };
    let (mut path, mut digest, mut signature, mut buffer) = (None, None, None, None);
    let mut rest = data;
    for field in format.split('|') {
        let (value, behind) = sized(rest).ok_or("template data")?;
        rest = behind;
        match field {
            "d-ng" => digest = Some(plain_digest(value).ok_or("digest")?),
            "d-ngv2" => digest = Some(typed_digest(value).ok_or("digest")?),
            "n-ng" => path = Some(terminated(value).ok_or("path")?),
            "sig" => signature = Some(value).filter(|value| !value.is_empty()),
            "buf" => buffer = Some(value),
            _ => {}
        }
    }
    if !rest.is_empty() {
        return Err("template data");
    }
    let (Some(path), Some(digest)) = (path, digest) else {
        return Ok(None);
    };
    Ok(Some(Measured {
        path,
        digest,
        signature,
        buffer,
    }))
}

/// The fields of a template.
fn format(template: &[u8]) -> Option<&'static str> {
    let named = NAMED.iter().find(|(name, _)| name.as_bytes() == template);
    named.map(|(_, format)| *format)
}

/// A field behind its length, and what follows it.
pub(super) fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// `ALGORITHM:\0DIGEST`.
fn plain_digest(value: &[u8]) -> Option<FileDigest<'_>> {
    let end = value.iter().position(|byte| *byte == 0)?;
    let (prefix, rest) = value.split_at_checked(end)?;
    let alg = std::str::from_utf8(prefix).ok()?.strip_suffix(':')?;
    let bytes = rest.get(1..)?;
    if alg.is_empty() || alg.contains(':') || bytes.len() > HashAlg::MAX_DIGEST {
        return None;
    }
    Some(FileDigest {
        kind: DigestKind::Content,
        alg,
        bytes,
    })
}

/// `TYPE:ALGORITHM:\0DIGEST`.
fn typed_digest(value: &[u8]) -> Option<FileDigest<'_>> {
    let colon = value.iter().position(|byte| *byte == b':')?;
    let (kind, rest) = value.split_at_checked(colon)?;
    let kind = match kind {
        b"ima" => DigestKind::Content,
        b"verity" => DigestKind::Verity,
        _ => return None,
    };
    Some(FileDigest {
        kind,
        ..plain_digest(rest.get(1..)?)?
    })
}

/// A string with the zero that ends it, and no other.
fn terminated(value: &[u8]) -> Option<&[u8]> {
    let (last, path) = value.split_last()?;
    (*last == 0 && !path.contains(&0)).then_some(path)
}
