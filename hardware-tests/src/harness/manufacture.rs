//! What a TPM vendor does before a chip is sold: an endorsement key with a certificate in NV.
//!
//! It must never write anything outside the chip's own state folder and the scratch folder it is given.

use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::process::{Command, Stdio};

use super::tools::Tools;
use super::{EkAuthority, Scratch};

/// The largest `TPM2_NV_Write` that every TPM takes (`TPM_PT_NV_BUFFER_MAX` is 1,024 on swtpm).
const NV_CHUNK: usize = 512;

/// Which endorsement key the vendor certified (TCG EK Credential Profile 2.5, §2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EkKind {
    /// Template L-1. As swtpm's own tools make it: persistent at 0x81010001, certificate in NV 0x01c00002. They add
    /// a P-384 key at 0x81010016 with its certificate in 0x01c00016.
    Rsa2048,
    /// Template L-2, with its certificate in NV 0x01c0000a and nothing persistent.
    P256,
    /// Template H-6: persistent at 0x8101001c, certificate in NV 0x01c0001c. swtpm's tools add P-384 here, too.
    Rsa3072,
    /// Template H-3: persistent at 0x81010016, certificate in NV 0x01c00016; beside an RSA-2048 key.
    P384,
}

/// Which PCR banks a TPM leaves the factory with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Banks {
    /// Every one that it knows: as a TPM is that no tool has touched.
    All,
    /// SHA-1 alone, as the oldest firmware has it.
    Sha1,
    /// SHA-256 alone, as virtual machines and many boards have it.
    Sha256,
    /// SHA-384 alone.
    Sha384,
    /// SHA-1 and SHA-256: as older firmware has it.
    Sha1AndSha256,
    /// SHA-256 and SHA-384.
    Sha256AndSha384,
}

impl Banks {
    /// Each bank that there may be, and those that are on.
    const ALL: [&str; 4] = ["sha1", "sha256", "sha384", "sha512"];

    fn on(self) -> &'static [&'static str] {
        match self {
            Self::All => &Self::ALL,
            Self::Sha1 => &["sha1"],
            Self::Sha256 => &["sha256"],
            Self::Sha384 => &["sha384"],
            Self::Sha1AndSha256 => &["sha1", "sha256"],
            Self::Sha256AndSha384 => &["sha256", "sha384"],
        }
    }

    /// What `swtpm_setup` takes; as it is without a word, all are on.
    fn choice(self) -> String {
        if self == Self::All {
            return "-".to_owned();
        }
        self.on().join(",")
    }

    /// The allocation that `tpm2_pcrallocate` takes.
    pub(super) fn allocation(self) -> String {
        let on = |bank: &str| {
            if self.on().contains(&bank) {
                "all"
            } else {
                "none"
            }
        };
        let banks = Self::ALL.map(|bank| format!("{bank}:{}", on(bank)));
        banks.join("+")
    }
}

impl EkKind {
    /// Where the certificate of this key is.
    pub fn certificate_index(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x01c0_0002,
            Self::P256 => 0x01c0_000a,
            Self::Rsa3072 => 0x01c0_001c,
            Self::P384 => 0x01c0_0016,
        }
    }
}

/// Fills an empty state folder with a TPM that has an RSA key of so many bits and a P-384 endorsement key, both certified.
pub(super) fn rsa_state(state: &Path, authority: &EkAuthority, bits: &str, banks: Banks) {
    run(
        "swtpm_setup",
        [
            OsStr::new("--tpm2"),
            OsStr::new("--tpm-state"),
            state.as_os_str(),
            OsStr::new("--create-ek-cert"),
            OsStr::new("--rsa-keysize"),
            OsStr::new(bits),
            OsStr::new("--pcr-banks"),
            OsStr::new(&banks.choice()),
            OsStr::new("--config"),
            authority.setup_conf().as_os_str(),
        ],
    );
}

/// Certifies the P-256 endorsement key of a running TPM.
pub(super) fn p256_certificate(tools: &Tools, scratch: &Scratch, authority: &EkAuthority) {
    let public = scratch.join("ek-p256.pem");
    let certificate = scratch.join("ek-p256.der");
    tools.run(
        "createek",
        [
            OsStr::new("-G"),
            OsStr::new("ecc"),
            OsStr::new("-f"),
            OsStr::new("pem"),
            OsStr::new("-u"),
            public.as_os_str(),
        ]
        .into_iter()
        .chain([OsStr::new("-c"), scratch.join("ek-p256.ctx").as_os_str()]),
    );
    // tpm2-tools leave the key in its slot where no resource manager cleans up after them.
    tools.run("flushcontext", ["-t"]);

    // Serial numbers only have to differ under one issuer.
    let serial = (RandomState::new().hash_one("serial") >> 33).to_string();
    run(
        "swtpm_cert",
        [
            OsStr::new("--tpm2"),
            OsStr::new("--type"),
            OsStr::new("ek"),
            OsStr::new("--decryption"),
            OsStr::new("--pubkey"),
            public.as_os_str(),
            OsStr::new("--signkey"),
            authority.signing_key().as_os_str(),
            OsStr::new("--issuercert"),
            authority.issuer_cert().as_os_str(),
            OsStr::new("--serial"),
            OsStr::new(&serial),
            OsStr::new("--days"),
            OsStr::new("3650"),
            OsStr::new("--tpm-manufacturer"),
            OsStr::new("id:00001014"),
            OsStr::new("--tpm-model"),
            OsStr::new("swtpm"),
            OsStr::new("--tpm-version"),
            OsStr::new("id:20191023"),
            OsStr::new("--tpm-spec-family"),
            OsStr::new("2.0"),
            OsStr::new("--tpm-spec-level"),
            OsStr::new("0"),
            OsStr::new("--tpm-spec-revision"),
            OsStr::new("164"),
            OsStr::new("--out-cert"),
            certificate.as_os_str(),
        ],
    );
    let der = std::fs::read(&certificate).expect("the certificate that swtpm_cert wrote");
    vendor_nv(tools, scratch, EkKind::P256.certificate_index(), &der);
}

/// Defines an index with the vendor's attributes and writes `content` into it; an index that is there is replaced.
pub(super) fn vendor_nv(tools: &Tools, scratch: &Scratch, index: u32, content: &[u8]) {
    let index = format!("{index:#010x}");
    // Fails where there is nothing to replace, which is the usual case.
    let _nothing_to_replace = tools.attempt("nvundefine", ["-C", "p", &index]);
    tools.run(
        "nvdefine",
        [
            "-C",
            "p",
            "-s",
            &content.len().to_string(),
            "-a",
            "ppwrite|ppread|ownerread|authread|no_da|platformcreate",
            &index,
        ],
    );
    for (number, chunk) in content.chunks(NV_CHUNK).enumerate() {
        let part = scratch.write("nv-part", chunk);
        let offset = (number * NV_CHUNK).to_string();
        tools.run(
            "nvwrite",
            ["-C", "p", "--offset", &offset, "-i"]
                .map(OsStr::new)
                .into_iter()
                .chain([part.as_os_str(), OsStr::new(&index)]),
        );
    }
}

fn run<'a>(program: &str, args: impl IntoIterator<Item = &'a OsStr>) {
    let output = Command::new(program)
        .args(args)
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("run {program} (swtpm-tools): {e}"));
    assert!(
        output.status.success(),
        "{program}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
