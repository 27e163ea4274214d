//! Lifetimes by hand, and against any way that time may pass.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn life(longest: Option<u64>, idle: Option<u64>) -> Life {
    let lifetimes = Lifetimes {
        longest: longest.map(at),
        idle: idle.map(at),
    };
    Life::new(at(1000), lifetimes)
}

fn called(calls: u64) -> Signs {
    Signs {
        calls,
        terminal: Some(0),
        ..Signs::default()
    }
}

#[test]
fn a_session_is_warned_and_then_ended() {
    let mut life = life(Some(100), None);
    assert_eq!(life.due(at(1089)), None);
    let warning = Due::Warn(Because::LifetimeOver, at(10));
    assert_eq!(life.due(at(1090)), Some(warning));
    assert_eq!(life.due(at(1099)), None);
    assert_eq!(life.due(at(1100)), Some(Due::End(Because::LifetimeOver)));
}

#[test]
fn a_sign_of_life_puts_the_idle_end_off_and_takes_the_warning_back() {
    let mut life = life(None, Some(100));
    life.on_signs(at(1050), called(1));
    assert_eq!(life.due(at(1139)), None);
    assert_eq!(life.due(at(1145)), Some(Due::Warn(Because::Idle, at(10))));
    life.on_signs(at(1146), called(2));
    assert_eq!(life.due(at(1200)), None);
    assert_eq!(life.due(at(1236)), Some(Due::Warn(Because::Idle, at(10))));
    life.on_signs(at(1245), called(2));
    assert_eq!(life.due(at(1246)), Some(Due::End(Because::Idle)));
}

#[test]
fn a_frozen_session_is_not_idle_and_does_not_grow_younger() {
    let mut life = life(Some(1000), Some(100));
    for second in 1000..1899 {
        life.on_frozen(at(second));
        assert_eq!(life.due(at(second)), None);
    }
    life.on_frozen(at(1900));
    let warning = Due::Warn(Because::LifetimeOver, at(100));
    assert_eq!(life.due(at(1900)), Some(warning));
}

#[test]
fn work_counts_where_no_terminal_is_watched() {
    let looks = |terminal, per_second: u64| {
        let mut life = life(None, Some(100));
        for second in 1..=95 {
            let signs = Signs {
                calls: 0,
                terminal,
                usage: Duration::from_millis(per_second * second),
            };
            life.on_signs(at(1000 + second), signs);
        }
        life.due(at(1096))
    };
    assert_eq!(looks(None, 50), None);
    let warning = Some(Due::Warn(Because::Idle, at(10)));
    assert!(looks(None, 5).is_some());
    // A program that only draws its clock is idle all the same: its terminal would tell.
    assert_eq!(looks(Some(7), 50), warning);
}

#[test]
fn after_a_sleep_the_warning_comes_first_all_the_same() {
    let mut life = life(Some(100), None);
    let warning = Due::Warn(Because::LifetimeOver, at(10));
    assert_eq!(life.due(at(9000)), Some(warning));
    assert_eq!(life.due(at(9009)), None);
    assert_eq!(life.due(at(9010)), Some(Due::End(Because::LifetimeOver)));
}

proptest! {
    /// However time passes: every end has its warning before it, and a session that may live for ever does.
    #[test]
    fn no_end_without_a_warning(
        longest in prop::option::of(1_u64..500),
        idle in prop::option::of(1_u64..500),
        steps in prop::collection::vec((0_u64..200, 0_u64..3), 1..80),
    ) {
        let mut life = life(longest, idle);
        let (mut now, mut calls) = (1000, 0);
        let mut warned = Vec::new();
        let (mut sign, start) = (1000, 1000);
        life.on_signs(at(now), called(calls));
        for (passed, called_again) in steps {
            now += passed;
            if called_again == 0 {
                calls += 1;
                sign = now;
                warned.retain(|because| *because != Because::Idle);
            }
            life.on_signs(at(now), called(calls));
            match life.due(at(now)) {
                Some(Due::Warn(because, left)) => {
                    prop_assert!(!warned.contains(&because));
                    prop_assert!(left > Duration::ZERO);
                    warned.push(because);
                }
                Some(Due::End(because)) => {
                    prop_assert!(warned.contains(&because));
                    let (bound, from) = if because == Because::Idle {
                        (idle, sign)
                    } else {
                        (longest, start)
                    };
                    prop_assert!(now - from >= bound.unwrap());
                    break;
                }
                None => {}
            }
            let never = longest.is_none() && idle.is_none();
            prop_assert_eq!(life.quiet(at(now)).is_none(), never);
        }
    }
}
