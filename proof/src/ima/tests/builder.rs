//! Makes measurement lists as a kernel writes them, for tests. Other crates' tests include this file.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

/// A list that grows, and the SHA-256 PCR 10 of a kernel that measured it.
#[derive(Clone, Debug)]
pub(crate) struct MeasuredList {
    pub(crate) bytes: Vec<u8>,
    /// What the SHA-256 bank was extended with, in order.
    pub(crate) extensions: Vec<[u8; 32]>,
    pub(crate) pcr: [u8; 32],
    /// Where each entry begins.
    pub(crate) starts: Vec<usize>,
}

impl MeasuredList {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            extensions: Vec::new(),
            pcr: [0; 32],
            starts: Vec::new(),
        }
    }

    /// A file, by the template `ima-ng`.
    pub(crate) fn file(mut self, path: &str, content: &[u8]) -> Self {
        let fields = [digest_field(&sha256(content)), text(path)];
        self.push("ima-ng", &fields);
        self
    }

    /// The first entry of a boot.
    pub(crate) fn boot_aggregate(mut self, value: [u8; 32]) -> Self {
        self.push("ima-ng", &[digest_field(&value), text("boot_aggregate")]);
        self
    }

    /// A file with its signature, by the template `ima-sig`.
    pub(crate) fn signed(mut self, path: &str, content: &[u8], signature: &[u8]) -> Self {
        let digest = digest_field(&sha256(content));
        self.push("ima-sig", &[digest, text(path), signature.to_vec()]);
        self
    }

    /// A buffer, by the template `ima-buf`.
    pub(crate) fn buffer(mut self, name: &str, hashed: &[u8], shown: &[u8]) -> Self {
        let digest = digest_field(&sha256(hashed));
        self.push("ima-buf", &[digest, text(name), shown.to_vec()]);
        self
    }

    /// A file that was open to write.
    pub(crate) fn violation(mut self, path: &str) -> Self {
        let data = data(&[digest_field(&[0; 32]), text(path)]);
        self.append("ima-ng", &[0; 20], &data, [0xff; 32]);
        self
    }

    /// An entry of any template.
    pub(crate) fn push(&mut self, template: &str, fields: &[Vec<u8>]) {
        let data = data(fields);
        let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, &data);
        self.append(template, sha1.as_ref(), &data, sha256(&data));
    }

    fn append(&mut self, template: &str, hash: &[u8], data: &[u8], extension: [u8; 32]) {
        self.starts.push(self.bytes.len());
        self.bytes.extend(10_u32.to_le_bytes());
        self.bytes.extend(hash);
        self.bytes.extend(sized(template.as_bytes()));
        self.bytes.extend(sized(data));
        let mut context = Context::new(&SHA256);
        context.update(&self.pcr);
        context.update(&extension);
        self.pcr = context.finish().as_ref().try_into().unwrap();
        self.extensions.push(extension);
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

pub(crate) fn digest_field(digest: &[u8]) -> Vec<u8> {
    [b"sha256:\0".as_slice(), digest].concat()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

fn data(fields: &[Vec<u8>]) -> Vec<u8> {
    fields.iter().flat_map(|field| sized(field)).collect()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [length.to_le_bytes().as_slice(), bytes].concat()
}
