//! The randomness that this process's shells hand to pure cores.

use rustix::rand::{GetRandomFlags, getrandom};

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
