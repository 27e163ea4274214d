//! Rollouts, step by step and against a model that remembers all that happened.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::HostId;
use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const HOLD: Duration = Duration::from_secs(1000);
const TTL: Duration = Duration::from_secs(600);

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn after(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

/// So many canaries and hosts, the canaries first, that are silent `TTL` after the start.
fn rollout(canaries: u8, hosts: u8, rules: Rules) -> Rollout {
    let member = |index: u8| Member {
        host: HostId::from_random([index; 16]),
        part: if index < canaries {
            Part::Canary
        } else {
            Part::General
        },
        presence: Presence::Here,
        shown: None,
        refused: None,
        heard_until: START + TTL,
        counted: Counted::Yes,
    };
    Rollout {
        id: RolloutId(number(1)),
        group: "edge".parse().unwrap(),
        canary: "edge-canary".parse().unwrap(),
        started_at: START,
        rules,
        stage: Stage::Canary,
        members: (0..canaries + hosts).map(member).collect(),
    }
}

fn rules(needed: u32, limit: u32) -> Rules {
    Rules {
        needed: number(needed),
        hold: HOLD,
        canary_limit: number(limit),
        general_limit: number(limit),
    }
}

impl Rollout {
    /// A host is verified on the update, and what follows from that.
    fn show(&mut self, index: usize, now: Timestamp) -> Stage {
        self.members[index].verified(Showing::Taken, now + TTL, now);
        self.settle(now)
    }

    fn refuse(&mut self, index: usize, now: Timestamp) -> Stage {
        self.members[index].refused("pcr-reference: pcr 4", now);
        self.settle(now)
    }

    fn settle(&mut self, now: Timestamp) -> Stage {
        self.stage = self.settled(now);
        self.stage
    }

    fn leave(&self, index: usize) -> Leave {
        leave(self.stage, self.members[index].part)
    }
}

#[test]
fn the_rest_has_its_turn_once_canaries_were_verified_after_the_hold() {
    let mut rollout = rollout(3, 2, rules(2, 1));
    assert_eq!(rollout.phase(START), Phase::Canary);
    assert_eq!(rollout.leave(0), Leave::Given);
    assert_eq!(rollout.leave(3), Leave::NotYet);
    rollout.show(0, after(10));
    assert_eq!(rollout.phase(after(10)), Phase::Canary);
    rollout.show(1, after(20));
    let until = after(20) + HOLD;
    assert_eq!(rollout.phase(after(20)), Phase::Waiting { until });
    // The time alone proves nothing: they have to be seen after it.
    rollout.members[0].heard_until = after(9999);
    rollout.members[1].heard_until = after(9999);
    rollout.members[2].heard_until = after(9999);
    assert_eq!(rollout.settle(after(1050)), Stage::Canary);
    assert_eq!(rollout.show(0, after(1060)), Stage::Canary);
    let since = after(1061);
    assert_eq!(rollout.show(1, since), Stage::General { since });
    assert_eq!(rollout.leave(3), Leave::Given);
    for index in 2..4 {
        rollout.show(index, after(1062));
    }
    let at = after(1063);
    assert_eq!(rollout.show(4, at), Stage::Done { at });
}

#[test]
fn as_many_failures_as_the_limit_stop_it_and_an_operator_lets_it_go_on() {
    let mut rollout = rollout(2, 3, rules(2, 2));
    rollout.show(0, after(1));
    rollout.show(1, after(1));
    assert_eq!(rollout.refuse(0, after(2)), Stage::Canary);
    let braked = |at, general| Stage::Braked { at, general };
    // The other is never heard of again.
    let at = after(1) + TTL;
    assert_eq!(rollout.settle(at), braked(at, None));
    assert_eq!(rollout.leave(1), Leave::Braked);
    assert_eq!(rollout.leave(3), Leave::Braked);
    assert!(rollout.resume(at));
    assert!(!rollout.resume(at));
    assert_eq!(rollout.settle(at), Stage::Canary);
    // One that is mended starts its hold anew, and may fail anew.
    rollout.show(1, after(2000));
    assert_eq!(rollout.needed(after(2000)), 1, "the other is given up");
    assert_eq!(rollout.show(1, after(2500)), Stage::Canary);
    let since = after(2000) + HOLD;
    assert_eq!(rollout.show(1, since), Stage::General { since });
    for index in 2..4 {
        rollout.members[index].heard_until = after(9000);
        rollout.refuse(index, after(3100));
    }
    assert_eq!(rollout.stage, braked(after(3100), Some(since)));
    // Who has it is minded, and keeps it.
    assert!(matches!(
        rollout.condition(&rollout.members[1], after(3100)),
        Condition::Runs(_)
    ));
    assert!(rollout.resume(after(3200)));
    assert_eq!(rollout.stage, Stage::General { since });
}

#[test]
fn silence_is_a_failure_of_those_alone_that_were_heard_when_it_was_their_turn() {
    let mut rollout = rollout(1, 2, rules(1, 1));
    rollout.show(0, after(1));
    rollout.members[1].heard_until = after(100);
    rollout.members[2].heard_until = after(9000);
    // Nobody of the rest has anything to do with the update yet.
    let now = after(400);
    assert_eq!(rollout.condition(&rollout.members[1], now), Condition::Held);
    rollout.show(0, after(500));
    rollout.show(0, after(1050));
    assert_eq!(rollout.stage, Stage::General { since: after(1050) });
    let now = after(1200);
    assert_eq!(
        rollout.condition(&rollout.members[1], now),
        Condition::Absent
    );
    assert_eq!(
        rollout.condition(&rollout.members[2], now),
        Condition::Offered
    );
    // It comes, and goes: an update that never boots looks so.
    rollout.members[1].verified(Showing::Other, after(1300), now);
    rollout.members[0].heard_until = after(9000);
    let at = after(1300);
    let general = Some(after(1050));
    assert_eq!(rollout.settle(at), Stage::Braked { at, general });
}

#[test]
fn a_host_that_is_banned_or_moved_neither_counts_nor_is_waited_for() {
    let mut rollout = rollout(2, 1, rules(2, 1));
    rollout.members[1].presence = Presence::Gone;
    rollout.refuse(1, after(1));
    assert_eq!(rollout.stage, Stage::Canary);
    rollout.show(0, after(1));
    rollout.show(0, after(500));
    let since = after(1001);
    rollout.members[2].heard_until = after(9000);
    assert_eq!(rollout.show(0, since), Stage::General { since });
    // Without a canary nothing is proven, and the rest waits for ever.
    let mut alone = super::tests::rollout(1, 1, rules(1, 1));
    alone.members[0].presence = Presence::Gone;
    assert_eq!(alone.settle(after(9000)), Stage::Canary);
}

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Step {
    Show(usize),
    Other(usize),
    Refuse(usize),
    Leave(usize),
    Wait(u64),
    Resume,
    Cancel,
}

const HOSTS: usize = 6;
const CANARIES: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..HOSTS).prop_map(Step::Show),
        3 => (0..HOSTS).prop_map(Step::Other),
        1 => (0..HOSTS).prop_map(Step::Refuse),
        1 => (0..HOSTS).prop_map(Step::Leave),
        6 => (1_u64..400).prop_map(Step::Wait),
        2 => Just(Step::Resume),
        1 => Just(Step::Cancel),
    ]
}

/// What happened to a host, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Shown,
    Other,
    Refused,
}

/// All that happened.
struct Model {
    log: Vec<(usize, Timestamp, Event)>,
    gone: [bool; HOSTS],
    general: Option<Timestamp>,
    /// Whose failure an operator knew of, and since when.
    known: [Option<Timestamp>; HOSTS],
}

impl Model {
    fn of(&self, host: usize) -> impl DoubleEndedIterator<Item = (Timestamp, Event)> {
        let log = self.log.iter().filter(move |(of, ..)| *of == host);
        log.map(|(_, at, event)| (*at, *event))
    }

    /// Whether it was verified on the update last.
    fn has_shown(&self, host: usize) -> bool {
        let mut verified = self.of(host).filter(|(_, event)| *event != Event::Refused);
        verified
            .next_back()
            .is_some_and(|(_, event)| event == Event::Shown)
    }

    fn heard_until(&self, host: usize) -> Timestamp {
        let mut heard = self.of(host).filter(|(_, event)| *event != Event::Refused);
        heard.next_back().map_or(START, |(at, _)| at) + TTL
    }

    /// Whether it was refused, and not verified on the update since.
    fn is_refused(&self, host: usize) -> bool {
        let mut decisive = self.of(host).filter(|(_, event)| *event != Event::Other);
        decisive
            .next_back()
            .is_some_and(|(_, event)| event == Event::Refused)
    }

    fn is_failed(&self, host: usize, now: Timestamp) -> bool {
        let given = if host < CANARIES {
            Some(START)
        } else {
            self.general
        };
        if self.gone[host] || (given.is_none() && !self.has_shown(host)) {
            return false;
        }
        if self.is_refused(host) {
            return true;
        }
        let until = self.heard_until(host);
        now >= until && (self.has_shown(host) || given.is_some_and(|given| until > given))
    }

    /// An operator's knowledge holds until the host is verified: on the update where it was refused, at all where not.
    fn is_known(&self, host: usize) -> bool {
        self.known[host].is_some()
    }

    /// How long a canary was verified on the update, with no refusal, silence or other boot between.
    fn has_run_for(&self, host: usize) -> Duration {
        let mut since = None;
        let mut last = None;
        let mut until = START + TTL;
        for (at, event) in self.of(host) {
            if at >= until {
                since = None;
            }
            if event != Event::Refused {
                until = at + TTL;
            }
            match event {
                Event::Shown => {
                    since = since.or(Some(at));
                    last = Some(at);
                }
                Event::Refused | Event::Other => (since, last) = (None, None),
            }
        }
        since
            .zip(last)
            .map_or(Duration::ZERO, |(since, last)| last.since(since))
    }

    fn failures(&self, hosts: std::ops::Range<usize>, now: Timestamp) -> usize {
        let failed = |host: &usize| self.is_failed(*host, now) && !self.is_known(*host);
        hosts.filter(failed).count()
    }

    fn heard(&mut self, host: usize, now: Timestamp, event: Event) {
        let refused = self.is_refused(host);
        self.log.push((host, now, event));
        match event {
            Event::Shown => self.known[host] = None,
            Event::Other if !refused => self.known[host] = None,
            Event::Other | Event::Refused => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn it_goes_on_stops_and_ends_as_what_happened_says(
        steps in proptest::collection::vec(step(), 0..120),
        needed in 1_u32..=3,
        limit in 1_u32..=3,
    ) {
        let (canaries, hosts) = (CANARIES as u8, (HOSTS - CANARIES) as u8);
        let mut rollout = rollout(canaries, hosts, rules(needed, limit));
        let mut model = Model { log: Vec::new(), gone: [false; HOSTS], general: None, known: [None; HOSTS] };
        let mut now = START;
        for step in steps {
            let before = rollout.stage;
            match step {
                Step::Wait(seconds) => now = now + Duration::from_secs(seconds),
                Step::Show(host) => {
                    let shown = model.has_shown(host);
                    // As the verifier has it: who has no leave is refused, and nothing of that is written here.
                    if shown || rollout.leave(host) == Leave::Given {
                        prop_assert!(shown || !matches!(before, Stage::Braked { .. }), "nobody new");
                        prop_assert!(shown || host < CANARIES || model.general.is_some(), "in its turn");
                        model.heard(host, now, Event::Shown);
                        rollout.members[host].verified(Showing::Taken, now + TTL, now);
                    }
                }
                Step::Other(host) => {
                    model.heard(host, now, Event::Other);
                    rollout.members[host].verified(Showing::Other, now + TTL, now);
                }
                Step::Refuse(host) => {
                    // As the store has it.
                    let condition = rollout.condition(&rollout.members[host], now);
                    if !matches!(condition, Condition::Gone | Condition::Held) {
                        model.heard(host, now, Event::Refused);
                        rollout.members[host].refused("why", now);
                    }
                }
                Step::Leave(host) => {
                    model.gone[host] = true;
                    rollout.members[host].presence = Presence::Gone;
                }
                Step::Resume => {
                    let failed: Vec<_> = (0..HOSTS).filter(|host| model.is_failed(*host, now)).collect();
                    if rollout.resume(now) {
                        for host in failed {
                            model.known[host] = Some(now);
                        }
                    }
                }
                Step::Cancel if steps_are_many(&model) => rollout.stage = Stage::Cancelled { at: now },
                Step::Cancel => {}
            }
            if matches!(before, Stage::Cancelled { .. } | Stage::Done { .. }) {
                prop_assert_eq!(rollout.settled(now), rollout.stage, "what is over stays so");
                return Ok(());
            }
            let unsettled = rollout.stage;
            rollout.settle(now);
            let limit = limit as usize;
            let canary_failures = model.failures(0..CANARIES, now);
            let failures = model.failures(CANARIES..HOSTS, now);
            let reached = canary_failures >= limit || failures >= limit;
            match (unsettled, rollout.stage) {
                (Stage::Canary | Stage::General { .. }, Stage::Braked { general, .. }) => {
                    prop_assert!(reached, "{canary_failures} and {failures} failed");
                    prop_assert_eq!(general, model.general);
                }
                (Stage::Canary, Stage::General { since }) => {
                    let held = (0..CANARIES).filter(|host| {
                        !model.is_failed(*host, now) && !model.gone[*host] && model.has_run_for(*host) >= HOLD
                    });
                    let left = (0..CANARIES).filter(|host| {
                        !(model.gone[*host] || model.is_failed(*host, now) && model.is_known(*host))
                    });
                    prop_assert!(held.count() >= left.count().min(needed as usize).max(1));
                    prop_assert!(now >= START + HOLD && since == now && !reached);
                    model.general = Some(since);
                }
                (Stage::General { .. }, Stage::Done { .. }) => {
                    prop_assert!((0..HOSTS).all(|host| model.gone[host] || model.has_shown(host)));
                }
                (from, to) => {
                    prop_assert_eq!(from, to, "no other way leads on");
                    let open = matches!(to, Stage::Canary | Stage::General { .. });
                    prop_assert!(!(open && reached), "{canary_failures} and {failures} failed, and it goes on");
                }
            }
            if !rollout.stage.is_over() {
                prop_assert_eq!(rollout.stage.general_since(), model.general, "never back, never twice");
            }
        }
    }
}

/// Otherwise most rollouts would end at once.
fn steps_are_many(model: &Model) -> bool {
    model.log.len() > 20
}
