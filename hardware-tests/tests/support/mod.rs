//! What several scenarios need: a TPM as the product uses it, a host that can lie, commands past every library.

mod chip;
mod handed;
mod human;
mod node;
mod prover;
mod spiffe;
mod straight;
mod unmapped;

use holdfast_protocol::Timestamp;
use holdfast_protocol::clock::{Clock, Floor};

pub use chip::{Chip, in_every_bank, pcr, pcrs};
pub use handed::{ACCOMPLICE, Handed, accomplice_by, secured, session_with_accomplice};
pub use human::Human;
pub use node::Node;
pub use prover::{Draft, Prover, active, join, measure, request, request_by, signed};
pub use spiffe::install_spiffe;
pub use straight::{Conditions, Stolen, Straight, pin_auth};
pub use unmapped::{Kind, Unmapped};

/// This machine's clock, believed whatever it says.
pub fn clock() -> Clock {
    let floor = Floor::proven(Timestamp::from_millis(0));
    Clock::new(floor, holdfast_attest_host::read)
}
