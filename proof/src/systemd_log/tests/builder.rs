//! Writes a log as systemd does, for tests, and says what the TPM measured. Other crates' tests include this file.

use aws_lc_rs::digest::{SHA256, SHA384, digest};

/// A log, and what the TPM has measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// `tpm2-measure.log`.
    pub(crate) bytes: Vec<u8>,
    /// What each record extends a PCR by, in the SHA-256 bank.
    pub(crate) extensions: Vec<(u8, [u8; 32])>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A record of a text, in the banks of SHA-256 and SHA-384.
    pub(crate) fn measured(self, pcr: u8, kind: &str, text: &str) -> Self {
        let (short, long) = (
            digest(&SHA256, text.as_bytes()),
            digest(&SHA384, text.as_bytes()),
        );
        self.digests(pcr, kind, text, short.as_ref(), long.as_ref())
    }

    /// A record that says one thing and measures another, as of a volume's key.
    pub(crate) fn keyed(self, pcr: u8, kind: &str, text: &str, byte: u8) -> Self {
        self.digests(pcr, kind, text, &[byte; 32], &[byte; 48])
    }

    fn digests(mut self, pcr: u8, kind: &str, text: &str, short: &[u8], long: &[u8]) -> Self {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let record = serde_json::json!({
            "pcr": pcr,
            "digests": [
                { "hashAlg": "sha256", "digest": hex(short) },
                { "hashAlg": "sha384", "digest": hex(long) },
            ],
            "content_type": "systemd",
            "content": {
                "string": text,
                "bootId": "189c18dd7ba245f38cf49d9ac154b525",
                "timestamp": 1_515_761 + self.bytes.len(),
                "eventType": kind,
            },
        });
        self.extensions.push((pcr, short.try_into().unwrap()));
        self.raw(&record.to_string())
    }

    /// A record of any text.
    pub(crate) fn raw(mut self, json: &str) -> Self {
        self.bytes.push(0x1e);
        self.bytes.extend(json.as_bytes());
        self.bytes.push(b'\n');
        self
    }

    /// What systemd measures from its initrd to the running system.
    pub(crate) fn booted() -> Self {
        Self::new()
            .measured(11, "phase", "enter-initrd")
            .measured(
                9,
                "nvpcr-init",
                "nvpcr-init:hardware:0x1d10200:000bff27bc66",
            )
            .measured(9, "nvpcr-separator", "nvpcr-separator")
            .keyed(15, "volume-key", "cryptsetup:root:5e47a9db", 42)
            .measured(11, "phase", "leave-initrd")
            .measured(
                15,
                "machine-id",
                "machine-id:4691595be6a345f1833cc75fab63e475",
            )
            .measured(15, "filesystem", "file-system:/:ext4:5e47a9db:root:::")
            .measured(11, "phase", "sysinit")
            .measured(11, "phase", "ready")
    }
}
