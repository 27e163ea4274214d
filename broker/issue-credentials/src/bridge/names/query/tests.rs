#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// A query as glibc sends it.
fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut out = header(7, RECURSION_DESIRED, [1, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out.extend(kind.to_be_bytes());
    out.extend(CLASS_IN.to_be_bytes());
    out
}

#[test]
fn a_question_is_read_and_answered() {
    let asked = query("Db.Example", 1);
    let question = Question::read(&asked).unwrap();
    assert_eq!(question.name.as_ref().unwrap().as_str(), "db.example");
    assert_eq!(question.wants, Wants::Address);
    let answer = question.answered(Answer::Address(Ipv4Addr::new(198, 18, 0, 1)));
    // The same id and question, in the letters it was asked in; one record.
    assert_eq!(&answer[..12], [0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    assert_eq!(&answer[12..asked.len()], &asked[12..]);
    let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 198, 18, 0, 1];
    assert_eq!(&answer[asked.len()..], record);

    let question = Question::read(&query("db.example", 28)).unwrap();
    assert_eq!(question.wants, Wants::Other);
    assert_eq!(question.answered(Answer::Nothing)[3] & 15, 0);
    assert_eq!(question.answered(Answer::NoSuchName)[3] & 15, 3);
    assert_eq!(question.answered(Answer::Full)[3] & 15, 2);
}

#[test]
fn a_name_that_no_host_has_is_none() {
    for name in ["", "a b", "1.2.3.4x.5", "-a.example", "ü"] {
        let question = Question::read(&query(name, 1)).unwrap();
        assert_eq!(question.name, None, "{name}");
    }
    // A dot inside a label.
    let mut asked = query("axb.example", 1);
    asked[14] = b'.';
    assert_eq!(Question::read(&asked).unwrap().name, None);
}

#[test]
fn what_is_no_question_is_not_answered_as_one() {
    let good = query("a.example", 1);
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        Question::read(&bad)
    };
    assert_eq!(with(2, 0x80), Err(NotAsked::Unanswerable));
    assert_eq!(with(2, 0x28), Err(NotAsked::Unsupported(7)));
    for at in [5, 7, 9] {
        assert_eq!(with(at, 2), Err(NotAsked::Malformed(7)), "{at}");
    }
    assert_eq!(with(12, 0xc0), Err(NotAsked::Malformed(7)));
    assert_eq!(with(12, 64), Err(NotAsked::Malformed(7)));
    assert_eq!(with(good.len() - 1, 3), Err(NotAsked::Unsupported(7)));
    assert_eq!(Question::read(&good[..11]), Err(NotAsked::Unanswerable));
    assert_eq!(NotAsked::Unanswerable.answered(), None);
    assert_eq!(NotAsked::Malformed(7).answered().unwrap()[3] & 15, 1);
    assert_eq!(NotAsked::Unsupported(7).answered().unwrap()[3] & 15, 4);

    let mut long = good.clone();
    long.resize(MAX_MESSAGE + 1, 0);
    assert_eq!(Question::read(&long), Err(NotAsked::Unanswerable));
    let name = "a.".repeat(128);
    assert_eq!(
        Question::read(&query(&name, 1)),
        Err(NotAsked::Malformed(7))
    );
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic_and_answers_are_short(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let answer = match Question::read(&bytes) {
            Ok(question) => Some(question.answered(Answer::Full)),
            Err(not) => not.answered(),
        };
        prop_assert!(answer.is_none_or(|answer| answer.len() <= bytes.len()));
    }

    #[test]
    fn a_cut_query_is_never_a_question(cut in any::<prop::sample::Index>()) {
        let asked = query("www.example.com", 1);
        prop_assert!(Question::read(&asked[..cut.index(asked.len())]).is_err());
    }
}
