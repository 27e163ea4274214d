//! The parser, guarded: brush-parser is recursive, backtracks and panics, so hostile text could exhaust the stack or the
//! clock, or end the task that judges it.
//!
//! Measured on brush-parser 0.4.0: 17 unclosed `(` or `case` cost seconds, a thousand nested `$(` overflow a 2 MiB stack,
//! `~99999999999999999999` panics, as every number does that it takes for a small one, and `cat <<'' ` without a line feed
//! never ends, but takes all memory. It must never be called on text that these guards have not counted, nor where its
//! panic would reach the caller.

use std::borrow::Cow;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use brush_parser::ast::Program;
use brush_parser::word::WordPieceWithSource;
use brush_parser::{Parser, ParserOptions, Token, TokenizerOptions};

/// The longest script that is looked at, in bytes.
const MAX_SCRIPT: usize = 64 << 10;

/// The longest single word, in bytes.
const MAX_WORD: usize = 16 << 10;

/// More openings than this are not nested by anybody who wants to be understood.
const MAX_OPENINGS: usize = 4_000;

/// With at most this many openings, the caller's own stack (2 MiB in a tokio worker) is enough.
const INLINE_OPENINGS: usize = 24;

/// Stack for the others: 32 KiB for each opening, touched only as far as it is used.
const DEEP_STACK: usize = 128 << 20;

/// The exponent of the parser's worst case that we are willing to pay (2¹⁰ × some µs).
const MAX_BACKTRACKING: usize = 10;

/// The text cannot be understood as shell.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotShell {
    /// It is too long or nested too deeply to be looked at.
    #[error("it is too long or too deeply nested")]
    TooMuch,
    /// The parser refuses it.
    #[error("it is not valid shell")]
    Syntax,
    /// The parser breaks on it.
    #[error("the parser of shell text breaks on it")]
    Broke,
}

/// Parses a script.
pub(super) fn program(script: &str) -> Result<Program, NotShell> {
    if script.len() > MAX_SCRIPT || script.contains('\0') {
        return Err(NotShell::TooMuch);
    }
    if may_mistake_a_tag(script) {
        return Err(NotShell::Broke);
    }
    let script: &str = &ended(script);
    with_stack(script, || {
        let options = ParserOptions::default();
        let tokens = brush_parser::uncached_tokenize_str(script, &TokenizerOptions::default())
            .map_err(|_| NotShell::Syntax)?;
        if backtracking(&tokens) > MAX_BACKTRACKING {
            return Err(NotShell::TooMuch);
        }
        Parser::new(Cursor::new(script.as_bytes()), &options)
            .parse_program()
            .map_err(|_| NotShell::Syntax)
    })?
}

/// Parses one word into its pieces.
pub(super) fn word(text: &str) -> Result<Vec<WordPieceWithSource>, NotShell> {
    pieces(text, |text| {
        brush_parser::word::parse(text, &ParserOptions::default())
    })
}

/// Parses the body of a here-document that the shell expands.
pub(super) fn heredoc(text: &str) -> Result<Vec<WordPieceWithSource>, NotShell> {
    pieces(text, |text| {
        brush_parser::word::parse_heredoc(text, &ParserOptions::default())
    })
}

fn pieces<E>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<Vec<WordPieceWithSource>, E> + Send,
) -> Result<Vec<WordPieceWithSource>, NotShell> {
    if text.len() > MAX_SCRIPT || (text.len() > MAX_WORD && text.contains(['$', '`'])) {
        return Err(NotShell::TooMuch);
    }
    with_stack(text, || parse(text).map_err(|_| NotShell::Syntax))?
}

/// Runs a parser on a stack that its input cannot exhaust; its panic ends here.
fn with_stack<T: Send>(text: &str, parse: impl FnOnce() -> T + Send) -> Result<T, NotShell> {
    let openings = openings(text);
    if openings <= INLINE_OPENINGS {
        // What a panic leaves half done is the parser's own and goes with it: the text is only read, and the parser's
        // caches are locked while they are looked up, never while it parses.
        return catch_unwind(AssertUnwindSafe(parse)).map_err(|_| NotShell::Broke);
    }
    if openings > MAX_OPENINGS {
        return Err(NotShell::TooMuch);
    }
    thread::scope(|scope| {
        thread::Builder::new()
            .stack_size(DEEP_STACK)
            .spawn_scoped(scope, parse)
            .map_err(|_| NotShell::TooMuch)?
            .join()
            .map_err(|_| NotShell::Broke)
    })
}

/// Whether a here-document may have another tag than the parser believes: it trims these two bytes from the tag's front,
/// which are a part of it to a shell.
fn may_mistake_a_tag(script: &str) -> bool {
    script.contains("<<") && script.contains(['\r', '\x0c'])
}

/// The script with its last line ended: at the end of an unended line the parser looks for an empty tag (`<<''`) for ever.
/// A backslash stays the last byte, which the parser refuses.
fn ended(script: &str) -> Cow<'_, str> {
    if script.ends_with(['\n', '\\']) {
        Cow::Borrowed(script)
    } else {
        Cow::Owned(format!("{script}\n"))
    }
}

/// An upper bound of the nesting: everything that opens anything, quoted or not.
fn openings(text: &str) -> usize {
    let marks = text
        .bytes()
        .filter(|b| matches!(b, b'(' | b'{' | b'`'))
        .count();
    let words: usize = ["if", "while", "until", "for", "case", "coproc", "!"]
        .iter()
        .map(|word| text.matches(word).count())
        .sum();
    marks + words
}

/// A bound of the parser's exponent: it tries what follows an unclosed `(` or `case` twice. Patterns of `case` close
/// parentheses that nobody opened, so each `case` counts the open ones again.
fn backtracking(tokens: &[Token]) -> usize {
    let mut open = 0_usize;
    let mut deepest = 0;
    let mut cases = 0;
    for token in tokens {
        match token {
            Token::Operator(text, _) if text == "(" || text == "((" => {
                open += 1;
                deepest = deepest.max(open);
            }
            Token::Operator(text, _) if text == ")" || text == "))" => {
                open = open.saturating_sub(1);
            }
            Token::Word(text, _) if text == "case" => cases += 1,
            Token::Operator(..) | Token::Word(..) => {}
        }
    }
    cases + deepest * (cases + 1)
}
