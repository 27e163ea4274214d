//! The same questions for a terminal, as text. Pure: the program does the reading and writing.
//!
//! Whatever an agent wrote comes last, marked on every line, and can move no cursor.

use std::fmt::Write;

use holdfast_protocol::Timestamp;
use holdfast_protocol::approval::{Question, Waits};

use crate::visible::spelled;
use crate::words;

/// How wide a quoted line is, in characters.
const WIDTH: usize = 88;

/// The questions that wait, a few lines each.
pub fn list(questions: &[Question], now: Timestamp) -> String {
    if questions.is_empty() {
        return "Nothing waits for you.".to_owned();
    }
    let mut text = String::new();
    for question in questions {
        let _ = writeln!(
            text,
            "{}  {}  {}\n    {} in {}, {}",
            question.call,
            words::tier_name(question.tier),
            spelled(&question.headline),
            question.agent,
            spelled(&question.directory),
            waits(question, now),
        );
    }
    text.push_str("\n`holdfast-approve ID` answers one.");
    text
}

/// One question, whole: what a human has to see before they answer.
pub fn question(question: &Question, now: Timestamp) -> String {
    let mut text = format!("{}\n\n", spelled(&question.headline));
    if words::opaque(question) {
        text.push_str(
            "  !! Holdfast cannot see through all of this. Read the agent's own words below.\n\n",
        );
    }
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<10}{value}");
    };
    for (at, effect) in question.effects.iter().enumerate() {
        row(if at == 0 { "would" } else { "" }, &spelled(effect));
    }
    row(
        "asked by",
        &format!("{}, session {}", question.agent, question.session),
    );
    row("where", &spelled(&question.directory));
    row("why", &spelled(&question.why));
    row("tier", words::tier_name(question.tier));
    row("", words::tier(question.tier));
    row("digest", &question.digest.to_string());
    row("agent", &waits(question, now));
    text.push_str("\n  In the agent's own words (do not take them for Holdfast's):\n");
    let quoted = &question.quoted;
    let words = format!("{} {}", spelled(&quoted.tool), spelled(&quoted.arguments));
    for line in wrapped(&words) {
        let _ = writeln!(text, "  > {line}");
    }
    if quoted.omitted > 0 {
        let _ = writeln!(text, "  > … and {} characters more", quoted.omitted);
    }
    text
}

fn waits(question: &Question, now: Timestamp) -> String {
    match question.waits {
        Waits::Until { deadline } => {
            format!(
                "waits {} more, then the answer is no",
                words::left(deadline.since(now))
            )
        }
        Waits::Late { gone } => format!(
            "was told no; approved within {}, the same call gets through once",
            words::left(gone.since(now))
        ),
    }
}

fn wrapped(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(WIDTH)
        .map(|line| line.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::state::tests::question as asked;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    #[test]
    fn questions_are_listed_in_a_few_lines_each() {
        insta::assert_snapshot!(list(&[asked(1), asked(2)], NOW));
        insta::assert_snapshot!(list(&[], NOW), @"Nothing waits for you.");
    }

    #[test]
    fn one_is_shown_whole_and_the_agents_words_come_last() {
        let mut one = asked(1);
        one.effects
            .push("Do something that Holdfast cannot see through: a loop".to_owned());
        one.quoted.arguments = format!(
            "{{\"command\":\"\u{1b}[2J\u{202e}git push # {}\"}}",
            "x".repeat(100)
        );
        one.quoted.omitted = 17;
        insta::assert_snapshot!(question(&one, NOW));
        one.waits = Waits::Late {
            gone: NOW + Duration::from_secs(840),
        };
        insta::assert_snapshot!(waits(&one, NOW), @"was told no; approved within 14 min, the same call gets through once");
    }
}
