//! What window and terminal say in the same words.

use std::time::Duration;

use holdfast_protocol::approval::{HumanAnswer, Question};
use holdfast_protocol::grade::Tier;

use crate::client::ClientError;
use crate::state::{Deed, Notice};

/// How the broker words an effect that it could not understand (`Do something … that Holdfast
/// cannot see through: why`); a scenario holds the two together.
const OPAQUE: &str = "that Holdfast cannot see through";

/// What it takes to approve.
pub fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::R0 | Tier::R1 => {
            "Low risk. A click approves it; the record will say that presence was not proven."
        }
        Tier::R2 => {
            "High impact. Your PIN approves it: the TPM signs your consent to exactly this call, once."
        }
        Tier::R3 => {
            "This wants two factors or a second device. It cannot be approved here; you can deny it."
        }
    }
}

/// The tier's name.
pub fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::R0 => "R0",
        Tier::R1 => "R1",
        Tier::R2 => "R2",
        Tier::R3 => "R3",
    }
}

/// Whether the question is about something that could not be understood.
pub fn opaque(question: &Question) -> bool {
    question
        .effects
        .iter()
        .any(|effect| effect.contains(OPAQUE))
}

/// A time that is left, to the second.
pub fn left(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// A failure, fit to be shown.
pub fn notice(error: &ClientError) -> Notice {
    Notice {
        message: holdfast_protocol::words::with_causes(error),
        advice: error.advice(),
    }
}

/// The answer that a deed is, as the broker takes it; `surface` says where a PIN was typed.
pub fn answer(deed: &Deed, surface: holdfast_protocol::approval::Surface) -> HumanAnswer {
    match deed {
        Deed::Deny | Deed::DenyAndPause => HumanAnswer::Deny,
        Deed::Click => HumanAnswer::Click,
        Deed::Pin(pin) => HumanAnswer::Pin {
            pin: pin.clone(),
            surface,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_shortly() {
        for (seconds, said) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (95, "1 min 35 s")] {
            assert_eq!(left(Duration::from_secs(seconds)), said);
        }
    }
}
