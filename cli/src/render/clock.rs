//! Whose time counts, in words.

use std::time::Duration;

use holdfast_protocol::clock::{ClockStatus, Source};

use super::time;

/// The line of it in a status, with its line break; nothing where a broker does not say.
pub fn line(status: Option<&ClockStatus>) -> String {
    status.map_or_else(String::new, |status| {
        format!("\nclock       {}", clock(status))
    })
}

/// Whose time counts, and how far this host's clock is away from it.
pub fn clock(status: &ClockStatus) -> String {
    let ClockStatus {
        source,
        now,
        system,
    } = *status;
    let away = if system > now {
        format!("{} ahead", length(system.since(now)))
    } else {
        format!("{} behind", length(now.since(system)))
    };
    match source {
        Source::System => "this host's own".to_owned(),
        Source::Attestor => format!("THE ATTESTOR'S: {}; this host's own is {away}", time(now)),
        Source::Unsettled => format!(
            "UNSETTLED: this host's own went ahead by more than time has run; until the attestor has said, it is {}",
            time(now)
        ),
        Source::Lost => format!(
            "LOST: this host's own is {away} of a time that has passed; the attestor has not said yet what time it is"
        ),
    }
}

/// A length of time, in the unit that says enough of it.
fn length(length: Duration) -> String {
    let seconds = length.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        172_800..63_072_000 => (seconds / 86_400, "day"),
        _ => (seconds / 31_536_000, "year"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use holdfast_protocol::Timestamp;

    use super::*;

    #[test]
    fn each_clock_is_told_in_words() {
        let told = |source, system| {
            clock(&ClockStatus {
                source,
                now: Timestamp::from_secs(1_799_990_000),
                system: Timestamp::from_secs(system),
            })
        };
        assert_eq!(told(Source::System, 1_799_990_001), "this host's own");
        let lost = told(Source::Lost, 1_799_990_000 - 7_300);
        assert!(lost.starts_with("LOST: this host's own is 2 hours behind"));
        let ahead = told(Source::Attestor, 1_799_990_000 + 10 * 31_536_000);
        assert!(ahead.ends_with("this host's own is 10 years ahead"));
        assert!(told(Source::Unsettled, 1_799_990_000).starts_with("UNSETTLED"));
    }
}
