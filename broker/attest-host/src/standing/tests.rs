//! The host's standing against a small model, and its laws one by one.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn orders(standing: HostStanding) -> Orders {
    Orders {
        standing,
        reattest: None,
        policy: Sha256Digest::new([1; 32]),
        bundles: None,
        next_within: Duration::from_secs(20),
    }
}

fn banned() -> Orders {
    let why = "stolen".to_owned();
    orders(HostStanding::Banned { why })
}

fn attested() -> Standing {
    let mut standing = Standing::default();
    let begun = standing.begin();
    assert_eq!(standing.attested(begun, START + HOUR), Ok(()));
    standing
}

#[test]
fn an_order_takes_effect_at_once_and_ends_with_an_attestation_alone() {
    let mut standing = attested();
    assert_eq!(standing.hold(START), None);
    assert_eq!(standing.ordered(&banned()), Demand::Nothing);
    let why = "stolen".to_owned();
    assert_eq!(standing.hold(START), Some(Hold::Banned { why }));
    assert_eq!(
        standing.ordered(&orders(HostStanding::Active)),
        Demand::Attest
    );
    assert_eq!(standing.hold(START), Some(Hold::Unbanned));
    // It is asked for once.
    assert_eq!(
        standing.ordered(&orders(HostStanding::Active)),
        Demand::Nothing
    );
    let begun = standing.begin();
    assert_eq!(standing.attested(begun, START + HOUR), Ok(()));
    assert_eq!(standing.hold(START), None);
}

#[test]
fn an_answer_that_was_under_way_does_not_undo_an_order() {
    let mut standing = attested();
    let begun = standing.begin();
    standing.ordered(&banned());
    assert_eq!(standing.attested(begun, START + HOUR), Err(Overtaken));
    assert!(standing.hold(START).is_some_and(|hold| hold.is_ordered()));
}

#[test]
fn the_certificates_end_is_the_end_of_the_grace() {
    let standing = attested();
    let last = START + HOUR - Duration::from_millis(1);
    assert_eq!(standing.hold(last), None);
    let ended = START + HOUR;
    assert_eq!(standing.hold(ended), Some(Hold::GraceOver { ended }));
}

#[test]
fn a_new_attestation_is_made_once_for_each_wish_and_for_each_change_of_the_rules() {
    let mut standing = attested();
    let active = orders(HostStanding::Active);
    assert_eq!(standing.ordered(&active), Demand::Nothing);
    let asked = Orders {
        reattest: Some(START),
        ..active.clone()
    };
    assert_eq!(standing.ordered(&asked), Demand::Attest);
    assert_eq!(standing.ordered(&asked), Demand::Nothing);
    // Done, and so not asked for any more.
    assert_eq!(standing.ordered(&active), Demand::Nothing);
    let ruled = Orders {
        policy: Sha256Digest::new([2; 32]),
        ..active
    };
    assert_eq!(standing.ordered(&ruled), Demand::Attest);
    assert_eq!(standing.ordered(&ruled), Demand::Nothing);
}

#[derive(Clone, Debug)]
enum Step {
    Order(HostStanding),
    Begin,
    Attested(u64),
    Wait(u64),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Order(HostStanding::Active)),
        Just(Step::Order(HostStanding::Banned { why: String::new() })),
        Just(Step::Order(HostStanding::Revoked { why: String::new() })),
        Just(Step::Begin),
        (0_u64..7_200).prop_map(Step::Attested),
        (1_u64..3_600).prop_map(Step::Wait),
        Just(Step::Forget),
    ]
}

proptest! {
    /// The model remembers the last order that stopped the host and the last attestation that counts: one that began after
    /// it, whose certificate has not ended.
    #[test]
    fn it_acts_only_by_an_attestation_begun_after_the_last_order(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut standing = Standing::default();
        let mut now = START;
        let mut stopped = false;
        let mut until = None;
        let mut under_way: Option<(Begun, bool)> = None;
        for step in steps {
            match step {
                Step::Order(order) => {
                    let stops = order != HostStanding::Active;
                    standing.ordered(&orders(order));
                    if stops {
                        until = None;
                        if !stopped {
                            under_way = under_way.map(|(begun, _)| (begun, false));
                        }
                    }
                    stopped = stops;
                }
                Step::Begin => under_way = Some((standing.begin(), true)),
                Step::Attested(seconds) => {
                    if let Some((begun, counts)) = under_way.take() {
                        let end = now + Duration::from_secs(seconds);
                        prop_assert_eq!(standing.attested(begun, end).is_ok(), counts);
                        if counts {
                            until = Some(end);
                            stopped = false;
                        }
                    }
                }
                Step::Wait(seconds) => now = now + Duration::from_secs(seconds),
                Step::Forget => {
                    standing.forget();
                    until = None;
                    stopped = false;
                    under_way = under_way.map(|(begun, _)| (begun, false));
                }
            }
            let may = until.is_some_and(|end| now < end);
            prop_assert_eq!(standing.hold(now).is_none(), may);
        }
    }
}
