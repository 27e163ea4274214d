#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const TODAY: Timestamp = Timestamp::from_secs(1_800_000_000);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

fn floor() -> Floor {
    Floor::try_from(TODAY).unwrap()
}

fn reading(system: Timestamp, uptime: Duration) -> Reading {
    Reading { system, uptime }
}

/// What may happen between two looks at the clock.
#[derive(Clone, Debug)]
enum Step {
    /// Time runs.
    Runs(u64),
    /// The system's clock is set.
    Set(u64),
    /// An attestor states this time, relative to the floor.
    Stated(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let around = TODAY.as_millis();
    let step = prop_oneof![
        4 => (0_u64..4_000_000).prop_map(Step::Runs),
        2 => (around - 2_000_000..around + 8_000_000).prop_map(Step::Set),
        1 => (0..around * 2).prop_map(Step::Set),
        2 => (-1_000_000_i64..8_000_000).prop_map(Step::Stated),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    /// Against a model that knows nothing but the rules: not before the floor, not back but by an attestation, no
    /// attestor's time without an attestor, and whatever is set, at least what has run since the last attestation.
    #[test]
    fn no_setting_of_the_clock_takes_time_back(steps in steps(), began in 0_u64..10_000_000) {
        let mut uptime = Duration::from_millis(began);
        let mut system = TODAY;
        let mut keeper = Timekeeper::new(floor(), reading(system, uptime));
        let mut stated: Option<(Timestamp, Duration)> = None;
        let mut before = None;
        for step in steps {
            match step {
                Step::Runs(millis) => {
                    uptime += Duration::from_millis(millis);
                    system = system + Duration::from_millis(millis);
                }
                Step::Set(millis) => system = Timestamp::from_millis(millis),
                Step::Stated(offset) => {
                    let time = TODAY.as_millis().saturating_add_signed(offset);
                    let time = Timestamp::from_millis(time);
                    let asked = reading(system, uptime);
                    let earlier = keeper.floor();
                    let taken = keeper.take(time, asked, asked);
                    prop_assert_eq!(taken.is_ok(), time >= earlier.at());
                    prop_assert!(keeper.floor() >= earlier);
                    if taken.is_ok() {
                        stated = Some((time, uptime));
                        before = None;
                    }
                }
            }
            let Told { now, source } = keeper.tell(reading(system, uptime));
            prop_assert!(now >= keeper.floor().at());
            prop_assert!(before.is_none_or(|before| before <= now));
            match stated {
                None => {
                    prop_assert!(matches!(source, Source::System | Source::Lost));
                    prop_assert_eq!(source == Source::Lost, system < floor().at());
                }
                Some((time, at)) => {
                    let run = time + (uptime - at);
                    prop_assert!(now >= run - TOLERANCE);
                    prop_assert!(source != Source::Lost);
                    before = Some(now);
                }
            }
        }
    }
}

#[test]
fn a_clock_that_is_not_before_the_floor_is_believed_and_one_that_is_is_lost() {
    let mut keeper = Timekeeper::new(floor(), reading(TODAY, HOUR));
    let soon = TODAY + HOUR;
    assert_eq!(keeper.tell(reading(soon, HOUR)), told(soon, Source::System));
    let seventies = Timestamp::from_secs(77);
    assert_eq!(
        keeper.tell(reading(seventies, HOUR * 3)),
        told(TODAY + HOUR * 2, Source::Lost)
    );
}

#[test]
fn after_an_attestation_a_lost_clock_is_the_attestors_until_it_is_set_right() {
    let start = reading(Timestamp::from_secs(9), HOUR);
    let mut keeper = Timekeeper::new(floor(), start);
    keeper.take(TODAY + YEAR, start, start).unwrap();
    let later = reading(Timestamp::from_secs(9) + HOUR, HOUR * 2);
    let right = TODAY + YEAR + HOUR;
    assert_eq!(keeper.tell(later), told(right, Source::Attestor));
    // NTP is reached at last; it differs by a little.
    let set = right - Duration::from_secs(20);
    assert_eq!(
        keeper.tell(reading(set, HOUR * 2)),
        told(right, Source::System)
    );
    let after = Duration::from_secs(60);
    assert_eq!(
        keeper.tell(reading(set + after, HOUR * 2 + after)),
        told(set + after, Source::System)
    );
}

#[test]
fn a_clock_that_was_ahead_is_the_attestors_and_one_that_jumps_ahead_counts_until_the_next_attestation()
 {
    let start = reading(TODAY + YEAR * 10, HOUR);
    let mut keeper = Timekeeper::new(floor(), start);
    assert_eq!(keeper.tell(start).source, Source::System);
    keeper.take(TODAY + HOUR, start, start).unwrap();
    assert_eq!(keeper.tell(start), told(TODAY + HOUR, Source::Attestor));

    // It goes ahead by a day more: as if the machine had stood still for a day.
    let jumped = reading(start.system + HOUR * 24, HOUR);
    assert_eq!(
        keeper.tell(jumped),
        told(TODAY + HOUR * 25, Source::Unsettled)
    );
    // Set back, it does not come back: what was late stays late.
    assert_eq!(keeper.tell(start).now, TODAY + HOUR * 25);
    // The attestor says that it was not so.
    keeper.take(TODAY + HOUR, jumped, jumped).unwrap();
    assert_eq!(keeper.tell(jumped), told(TODAY + HOUR, Source::Attestor));
}

#[test]
fn a_time_before_the_floor_is_refused_and_the_floor_rises_with_what_was_proved() {
    let start = reading(TODAY, HOUR);
    let mut keeper = Timekeeper::new(floor(), start);
    assert_eq!(
        keeper.take(TODAY - HOUR, start, start),
        Err(BeforeFloor(HOUR))
    );
    assert!(!keeper.is_proven());
    keeper.take(TODAY + YEAR, start, start).unwrap();
    assert_eq!(keeper.floor(), Floor::proven(TODAY + YEAR));
    assert!(keeper.take(TODAY + HOUR, start, start).is_err());
    // Two attestors' clocks may differ by a little.
    keeper
        .take(TODAY + YEAR - Duration::from_secs(60), start, start)
        .unwrap();
    assert_eq!(keeper.floor(), Floor::proven(TODAY + YEAR));
}

#[test]
fn no_floor_lies_beyond_where_certificates_end() {
    assert!(serde_json::from_str::<Floor>("253402300799000").is_ok());
    assert!(serde_json::from_str::<Floor>("253402300799001").is_err());
    assert!(serde_json::from_str::<Floor>("-1").is_err());
    assert!(Floor::proven(Timestamp::from_millis(u64::MAX)).at() <= super::super::LAST);
}

#[test]
fn a_deadline_is_shown_as_the_systems_clock_will_have_it() {
    let seventies = reading(Timestamp::from_secs(77), HOUR);
    let clock = super::super::Clock::new(floor(), move || seventies);
    clock.take(TODAY + YEAR, seventies).unwrap();
    let minute = Duration::from_secs(60);
    assert_eq!(clock.now(), TODAY + YEAR);
    assert_eq!(clock.shown(clock.now() + minute), seventies.system + minute);
    assert_eq!(clock.shown(clock.now() - minute), seventies.system - minute);
}
