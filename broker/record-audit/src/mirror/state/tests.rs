//! A model of an attestor that forgets, repeats and fails: whatever happens, each record arrives, and in order.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn up(credential: &str) -> Uplink {
    Uplink::Up {
        peer: "spiffe://example.org/host/a".to_owned(),
        credential: credential.to_owned(),
    }
}

fn marks(covered: u64) -> Marks {
    Marks {
        covered,
        value: None,
    }
}

fn held(size: u64, sent: u64, cosigned: Option<Next>) -> Input {
    Input::Held {
        size,
        sent,
        cosigned,
    }
}

fn failed() -> Input {
    Input::Failed {
        why: "nobody answers".to_owned(),
        jitter: Jitter(u32::MAX),
    }
}

/// A log of 600 records with a checkpoint over the first 300, and an attestor to send it to.
fn behind() -> Core {
    let mut core = Core::resume(0, 0);
    core.grown(600, marks(300));
    core.uplink(up("1"));
    assert_eq!(core.poll(NOW), Some(Effect::Find { after: 0 }));
    core.done(Input::Found(Some(Next { seq: 1, size: 300 })), NOW);
    core
}

fn sent(core: &mut Core) -> Batch {
    match core.poll(NOW) {
        Some(Effect::Send(batch)) => batch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_upload_ends_where_the_checkpoint_does() {
    let mut core = behind();
    let first = sent(&mut core);
    assert_eq!((first.first, first.count, first.checkpoint), (0, 256, None));
    core.done(held(256, 256, None), NOW);
    let second = sent(&mut core);
    let checkpoint = Some(Next { seq: 1, size: 300 });
    assert_eq!(
        (second.first, second.count, second.checkpoint),
        (256, 44, checkpoint)
    );
    core.done(held(300, 44, checkpoint), NOW);
    assert_eq!(core.poll(NOW), Some(Effect::Find { after: 1 }));
    core.done(Input::Found(None), NOW);
    // There is more to send, and what is acknowledged is kept once there is not.
    assert_eq!(sent(&mut core).first, 300);
    core.done(held(556, 256, None), NOW);
    sent(&mut core);
    core.done(held(600, 44, None), NOW);
    assert_eq!(core.standing(), Mirror::Current { size: 600 });
    assert_eq!(core.poll(NOW), Some(Effect::Keep));
    core.done(Input::Kept, NOW);
    assert_eq!(core.poll(NOW), None);
    assert_eq!(core.poll_at(), None, "asleep until something is new");
}

#[test]
fn nothing_is_sent_to_nobody() {
    let mut core = Core::resume(0, 0);
    core.grown(3, marks(0));
    assert_eq!((core.poll(NOW), core.standing()), (None, Mirror::None));
    core.uplink(Uplink::Down {
        why: "no svid".to_owned(),
    });
    assert_eq!(core.poll(NOW), None);
    assert_eq!(
        core.standing(),
        Mirror::Behind {
            size: 0,
            why: Some("no svid".to_owned())
        }
    );
}

#[test]
fn waits_double_up_to_half_a_minute_and_end_with_a_new_svid() {
    let mut core = behind();
    let mut waits = Vec::new();
    let mut now = NOW;
    for _ in 0..10 {
        assert!(matches!(core.poll(now), Some(Effect::Send(_))));
        core.done(failed(), now);
        let at = core.poll_at().unwrap();
        assert_eq!(core.poll(now), None);
        waits.push(at.since(now).as_millis());
        now = at;
    }
    assert_eq!(
        waits,
        [
            250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000
        ]
    );
    let why = Some("nobody answers".to_owned());
    assert_eq!(core.standing(), Mirror::Behind { size: 0, why });
    assert!(matches!(core.poll(now), Some(Effect::Send(_))));
    core.done(failed(), now);
    assert_eq!(core.poll(now), None);
    core.uplink(up("1"));
    assert_eq!(core.poll(now), None, "nothing is new");
    core.uplink(up("2"));
    assert!(matches!(core.poll(now), Some(Effect::Send(_))));
}

#[test]
fn a_refusal_is_shown_and_not_repeated_soon() {
    let mut core = behind();
    let batch = sent(&mut core);
    core.done(
        Input::Refused {
            refusal: Refusal::ForkRoot,
            why: "fork-root".to_owned(),
            checkpoint: batch.checkpoint,
        },
        NOW,
    );
    assert_eq!(core.poll(NOW + LONGEST), None);
    assert_eq!(core.poll_at(), Some(NOW + REFUSED));
    let why = Some("fork-root".to_owned());
    assert_eq!(core.standing(), Mirror::Behind { size: 0, why });
}

#[test]
fn a_log_that_was_put_back_sends_again_what_the_attestor_holds() {
    let mut core = behind();
    sent(&mut core);
    core.done(held(600, 256, None), NOW);
    // It does not jump to the end: whatever differs has to be seen.
    assert_eq!(sent(&mut core).first, 256);
}

#[test]
fn an_attestor_that_lost_records_gets_them_again() {
    let mut core = Core::resume(600, 4);
    core.grown(600, marks(600));
    core.uplink(up("1"));
    assert_eq!(core.poll(NOW), Some(Effect::Find { after: 4 }));
    core.done(Input::Found(Some(Next { seq: 5, size: 600 })), NOW);
    assert_eq!(sent(&mut core).first, 600);
    core.done(held(100, 0, None), NOW);
    assert_eq!(core.poll(NOW), Some(Effect::Find { after: 0 }));
    core.done(Input::Found(None), NOW);
    assert_eq!(sent(&mut core).first, 100);
}

/// An attestor, and the log that it is to have.
#[derive(Debug, Default)]
struct Model {
    log: u64,
    checkpoints: Vec<Next>,
    holds: u64,
    cosigned: Vec<Next>,
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    Append(u64),
    Checkpoint,
    Answered,
    /// Taken, and the answer is lost.
    Unheard,
    /// Not even taken.
    Lost,
    /// The broker is killed and starts anew with what it kept.
    Killed,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        (1_u64..700).prop_map(Happens::Append),
        Just(Happens::Checkpoint),
        Just(Happens::Answered),
        Just(Happens::Answered),
        Just(Happens::Answered),
        Just(Happens::Unheard),
        Just(Happens::Lost),
        Just(Happens::Killed),
    ]
}

impl Model {
    /// What an attestor does with a batch.
    fn take(&mut self, batch: Batch) -> Input {
        assert!(batch.first + batch.count <= self.log, "it is all there");
        assert!(batch.count <= 256);
        if batch.first > self.holds {
            return held(self.holds, batch.count, None);
        }
        self.holds = self.holds.max(batch.first + batch.count);
        let cosigned = batch.checkpoint.filter(|next| next.size <= self.holds);
        if let Some(next) = cosigned
            && !self.cosigned.contains(&next)
        {
            assert!(self.cosigned.last().is_none_or(|last| last.seq < next.seq));
            self.cosigned.push(next);
        }
        held(self.holds, batch.count, cosigned)
    }

    /// As the shell finds them if every checkpoint is counted.
    fn after(&self, seq: i64) -> Option<Next> {
        self.checkpoints.iter().copied().find(|next| next.seq > seq)
    }
}

proptest! {
    #[test]
    fn everything_arrives_whatever_fails(history in prop::collection::vec(happens(), 1..60)) {
        let mut model = Model::default();
        let mut core = Core::resume(0, 0);
        let (mut kept, mut newest) = (Next { seq: 0, size: 0 }, Next { seq: 0, size: 0 });
        core.uplink(up("1"));
        let mut now = NOW;
        let finish = std::iter::repeat_n(Happens::Answered, 2000);
        for event in history.into_iter().chain(finish) {
            now = now + LONGEST;
            match event {
                Happens::Append(count) => model.log += count,
                Happens::Checkpoint => {
                    let seq = model.checkpoints.len() as i64 + 1;
                    model.checkpoints.push(Next { seq, size: model.log });
                }
                Happens::Killed => {
                    core = Core::resume(kept.size, kept.seq);
                    core.uplink(up("1"));
                    newest = kept;
                }
                Happens::Answered | Happens::Unheard | Happens::Lost => {}
            }
            let covered = model.checkpoints.last().map_or(0, |next| next.size);
            core.grown(model.log, Marks { covered, value: Some(model.checkpoints.len() as u64) });
            match core.poll(now) {
                None => {}
                Some(Effect::Find { after }) => {
                    let found = model.after(after);
                    core.done(Input::Found(found), now);
                }
                Some(Effect::Keep) => {
                    kept = newest;
                    core.done(Input::Kept, now);
                }
                Some(Effect::Send(batch)) => {
                    let answer = match event {
                        Happens::Lost => failed(),
                        Happens::Unheard => {
                            model.take(batch);
                            failed()
                        }
                        Happens::Append(_) | Happens::Checkpoint | Happens::Answered
                        | Happens::Killed => model.take(batch),
                    };
                    if let Input::Held { cosigned: Some(next), .. } = &answer {
                        newest = *next;
                    }
                    core.done(answer, now);
                }
            }
        }
        prop_assert_eq!(model.holds, model.log);
        prop_assert_eq!(&model.cosigned, &model.checkpoints);
        prop_assert_eq!(core.standing(), Mirror::Current { size: model.log });
        prop_assert_eq!(core.poll(now), None);
    }
}
