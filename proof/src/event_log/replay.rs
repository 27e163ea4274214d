//! The PCR values that a log gives.
//!
//! A replay claims nothing about PCRs that something else extends after the firmware; comparing is the caller's.

use aws_lc_rs::digest::Context;

use super::record::{Event, EventLog, MalformedLog};
use super::secure_boot::{self, SecureBoot};
use crate::tpm::{Digest, HashAlg, PcrIndex, PcrValues};

/// The EV_NO_ACTION event that says in which locality the TPM was started (§10.4.5.3), with its terminating zero.
pub(super) const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";

/// The banks that are replayed. That of SHA-1, whose collisions can be made, says nothing alone.
const BANKS: [HashAlg; 4] = [
    HashAlg::Sha1,
    HashAlg::Sha256,
    HashAlg::Sha384,
    HashAlg::Sha512,
];

/// What a log says, and what it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The values of all PCRs, in each bank that the log has.
    pub values: PcrValues,
    /// Whether Secure Boot was on.
    pub secure_boot: SecureBoot,
    /// How many events extended something.
    pub events: u64,
}

/// Replays a log.
///
/// # Errors
/// [`MalformedLog`] if it is none, or extends a PCR that does not exist.
pub fn replay(bytes: &[u8]) -> Result<Replayed, MalformedLog> {
    let log = EventLog::parse(bytes)?;
    let mut banks: Vec<Bank> = BANKS
        .into_iter()
        .filter(|bank| log.banks().any(|has| has == *bank))
        .map(Bank::new)
        .collect();
    if banks.iter().all(|bank| bank.alg == HashAlg::Sha1) {
        return Err(MalformedLog::Sha1Only);
    }
    let mut secure_boot = SecureBoot::Unknown;
    let mut events = 0_u64;
    for event in log.events() {
        let event = event?;
        let Some(pcr) = event.pcr else {
            start_in_locality(&mut banks, &event);
            continue;
        };
        for bank in &mut banks {
            bank.extend(pcr, &event);
        }
        let mut strong = banks.iter().filter(|bank| bank.alg != HashAlg::Sha1);
        if strong.all(|bank| event.is_bound(bank.alg)) {
            secure_boot = secure_boot.and_then(secure_boot::said_by(&event));
        }
        events += 1;
    }
    let mut values = PcrValues::new();
    for bank in &banks {
        bank.put_into(&mut values);
    }
    Ok(Replayed {
        values,
        secure_boot,
        events,
    })
}

/// One bank's PCRs as replayed so far.
struct Bank {
    alg: HashAlg,
    pcrs: [[u8; HashAlg::MAX_DIGEST]; PcrIndex::COUNT as usize],
}

impl Bank {
    /// The values after a start of the machine (§3.3.4 of the TPM profile): zeros, and ones in the PCRs 17 to 22, which
    /// only a dynamic launch sets to zero.
    fn new(alg: HashAlg) -> Self {
        let mut pcrs = [[0; HashAlg::MAX_DIGEST]; PcrIndex::COUNT as usize];
        for value in pcrs.iter_mut().take(23).skip(17) {
            value.fill(0xff);
        }
        Self { alg, pcrs }
    }

    /// Extends a PCR. Every event has a digest of every bank of its log, and every PCR is there.
    fn extend(&mut self, pcr: PcrIndex, event: &Event<'_>) {
        let value = self.pcrs.get_mut(usize::from(pcr.get()));
        let value = value.and_then(|value| value.get_mut(..self.alg.digest_len()));
        if let (Some(value), Some(digest)) = (value, event.digest(self.alg)) {
            extend(self.alg, value, digest);
        }
    }

    /// A TPM that was started in another locality than 0 has that number at the end of its PCR 0.
    fn start_in(&mut self, locality: u8) {
        let last = self.alg.digest_len() - 1;
        if let Some(byte) = self.pcrs.first_mut().and_then(|value| value.get_mut(last)) {
            *byte = locality;
        }
    }

    fn put_into(&self, values: &mut PcrValues) {
        for (index, value) in (0..).zip(&self.pcrs) {
            let value = value.get(..self.alg.digest_len()).unwrap_or_default();
            if let (Some(index), Some(value)) = (PcrIndex::new(index), Digest::new(self.alg, value))
            {
                // Every PCR of a bank comes once.
                let _ = values.insert(index, value);
            }
        }
    }
}

/// The value of a PCR that measured these digests after a start of the machine in a locality.
pub(super) fn chained<'a>(
    alg: HashAlg,
    pcr: PcrIndex,
    locality: u8,
    digests: impl Iterator<Item = &'a Digest>,
) -> Option<Digest> {
    let mut bank = Bank::new(alg);
    bank.start_in(locality);
    let value = bank.pcrs.get_mut(usize::from(pcr.get()))?;
    let value = value.get_mut(..alg.digest_len())?;
    for digest in digests {
        extend(alg, value, digest.as_bytes());
    }
    Digest::new(alg, value)
}

fn extend(alg: HashAlg, value: &mut [u8], digest: &[u8]) {
    let mut context = Context::new(alg.implementation());
    context.update(value);
    context.update(digest);
    value.copy_from_slice(context.finish().as_ref());
}

/// What an event that extends nothing says of the start.
fn start_in_locality(banks: &mut [Bank], event: &Event<'_>) {
    let locality = match event.data.strip_prefix(STARTUP_LOCALITY) {
        Some([locality]) => *locality,
        Some(_) | None => return,
    };
    for bank in banks {
        bank.start_in(locality);
    }
}
