//! The clock and the randomness that this process's shells hand to pure cores.

use std::time::{SystemTime, UNIX_EPOCH};

use holdfast_protocol::Timestamp;
use rustix::rand::{GetRandomFlags, getrandom};

/// The wall clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// 128 random bits of the kernel's: what ids are made of.
pub fn random_bits() -> std::io::Result<[u8; 16]> {
    let mut bits = [0; 16];
    let drawn = getrandom(&mut bits, GetRandomFlags::empty())?;
    if drawn == bits.len() {
        Ok(bits)
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}
