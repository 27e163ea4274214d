//! What kind of event a record says that it is (systemd `src/shared/measurement-log.c`, `src/shared/tpm2-util.c`).
//!
//! No digest covers the kind: nothing may be decided by it.

/// Where the numbers begin by which kinds are kept beside those of the firmware's events, none of which is there.
const FIRST: u32 = 0x7364_0000;

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One that we do not know, or none.
    Other,
    /// A phase of the boot was reached.
    Phase,
    /// A file system was mounted.
    FileSystem,
    /// A volume's key was used.
    VolumeKey,
    /// The machine's id.
    MachineId,
    /// The product's id.
    ProductId,
    /// A volume was opened by a key slot.
    KeySlot,
    /// An NvPCR was made.
    NvPcrInit,
    /// All NvPCRs were made.
    NvPcrSeparator,
    /// A verity volume was activated.
    DmVerity,
    /// Data of a cloud's metadata service.
    ImdsUserData,
    /// The system begins.
    OsSeparator,
    /// A user logged in.
    Login,
}

/// All of them: the spelling in the log, in words, and what the measured text begins with beside what it is about.
const KINDS: [(Kind, &str, &str, &str); 13] = [
    (Kind::Other, "", "systemd event", ""),
    (Kind::Phase, "phase", "phase", ""),
    (
        Kind::FileSystem,
        "filesystem",
        "file system",
        "file-system:",
    ),
    (Kind::VolumeKey, "volume-key", "volume key", "cryptsetup:"),
    (Kind::MachineId, "machine-id", "machine id", "machine-id:"),
    (Kind::ProductId, "product-id", "product id", "product-id:"),
    (Kind::KeySlot, "keyslot", "key slot", "cryptsetup-keyslot:"),
    (Kind::NvPcrInit, "nvpcr-init", "NvPCR", "nvpcr-init:"),
    (
        Kind::NvPcrSeparator,
        "nvpcr-separator",
        "end of the NvPCRs",
        "nvpcr-separator",
    ),
    (Kind::DmVerity, "dm-verity", "verity volume", "verity:"),
    (Kind::ImdsUserData, "imds-userdata", "cloud's user data", ""),
    (
        Kind::OsSeparator,
        "os-separator",
        "separator before the system",
        super::OS_SEPARATOR,
    ),
    (Kind::Login, "login", "login", "login:"),
];

impl Kind {
    /// The kind of a spelling.
    pub(super) fn spelled(text: &str) -> Self {
        let mut kinds = KINDS.iter();
        let found = kinds.find(|(_, spelling, ..)| *spelling == text);
        found.map_or(Self::Other, |(kind, ..)| *kind)
    }

    /// The number that it is kept by.
    pub fn word(self) -> u32 {
        FIRST | (self as u32)
    }

    /// What of a measured text it is about.
    pub(super) fn about(self, text: &str) -> &str {
        let mut kinds = KINDS.iter();
        let prefix = kinds.find(|(kind, ..)| *kind == self);
        let prefix = prefix.map_or("", |(_, _, _, prefix)| prefix);
        text.strip_prefix(prefix).unwrap_or(text)
    }
}

/// What kind a number names, in words; `None` if it is not systemd's.
pub(crate) fn words(word: u32) -> Option<&'static str> {
    let mut kinds = KINDS.iter();
    let found = kinds.find(|(kind, ..)| kind.word() == word);
    found.map(|(_, _, words, _)| *words)
}
