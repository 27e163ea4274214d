//! Questions of sessions that are not yet: taken back, and bounded.

use super::*;

#[test]
fn a_question_that_is_taken_back_can_be_answered_by_nobody() {
    let mut state = State::new(Limits::default());
    let steps = state.on_call(START, hook(1, Tier::R1));
    settle(&mut state, steps);
    let steps = state.on_withdrawn(id(1));
    let answers = settle(&mut state, steps);
    assert_eq!(rule(&answers), ["deny approval/withdrawn Silence"]);
    let late = state.on_answer(at(1), id(1), Answer::Click, None);
    assert!(matches!(late, Err(AnswerRefused::NoQuestion)), "{late:?}");

    // Neither before its record is durable, nor once it was answered by silence.
    let early = state.on_call(at(2), hook(2, Tier::R1));
    let steps = state.on_withdrawn(id(2));
    let answers = settle(&mut state, [early, steps].concat());
    assert_eq!(rule(&answers), ["deny approval/withdrawn Silence"]);
    let steps = state.on_call(at(3), hook(3, Tier::R1));
    settle(&mut state, steps);
    let steps = state.on_abandoned(at(4), id(3));
    settle(&mut state, steps);
    let steps = state.on_withdrawn(id(3));
    assert_eq!(settle(&mut state, steps), vec![]);
    for taken_back in [2, 3] {
        let late = state.on_answer(at(5), id(taken_back), Answer::Click, None);
        assert!(matches!(late, Err(AnswerRefused::NoQuestion)), "{late:?}");
    }
    // What is unknown, or was decided, is not touched.
    let steps = state.on_withdrawn(id(9));
    assert_eq!(settle(&mut state, steps), vec![]);
}

#[test]
fn sessions_that_are_not_yet_share_their_humans_part_of_the_queue() {
    let mut state = State::new(Limits {
        per_session: 2,
        ..Limits::default()
    });
    let mut answers = Vec::new();
    for (n, human) in [(1, 1000), (2, 1000), (3, 1000), (4, 1001)] {
        let mut launch = call(n, n, Channel::Launch, vec![push()]);
        launch.caller.human = HumanUid(human);
        let steps = state.on_call(START, judged(launch, step_up(Tier::R1)));
        answers.extend(settle(&mut state, steps));
    }
    let denied: Vec<CallId> = answers.iter().map(|(call, _)| *call).collect();
    assert_eq!(denied, [id(3)]);
    assert_eq!(rule(&answers), ["deny approval/queue-full Silence"]);
}
