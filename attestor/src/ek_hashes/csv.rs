//! Two columns of comma-separated text, as spreadsheets write them: line by line, each field bare or in quotes.
//!
//! Much less than RFC 4180, on purpose: no field that is wanted has a quote, a comma or a line's end in it.

/// The longest line, in bytes: a host name of 253 and a fingerprint, with much to spare.
pub const MAX_LINE: usize = 512;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// Too long.
    #[error("it is longer than {MAX_LINE} bytes")]
    Length,
    /// Not text.
    #[error("it is not text in utf-8")]
    Text,
    /// Not two columns.
    #[error("it has {0} columns, not the two of host name and ek hash")]
    Columns(usize),
    /// A quote is left open, or stands within a field.
    #[error("a quote in it is not one around a whole field")]
    Quote,
}

/// The fields of each line that has some, with the line's number; lines that begin with `#` have none.
pub fn lines(content: &[u8]) -> impl Iterator<Item = (usize, Result<[&str; 2], LineProblem>)> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    content
        .split(|byte| *byte == b'\n')
        .zip(1..)
        .map(|(line, number)| (number, line.trim_ascii()))
        .filter(|(_, line)| !matches!(line, [] | [b'#', ..]))
        .map(|(number, line)| (number, fields(line)))
}

fn fields(line: &[u8]) -> Result<[&str; 2], LineProblem> {
    if line.len() > MAX_LINE {
        return Err(LineProblem::Length);
    }
    let line = std::str::from_utf8(line).map_err(|_| LineProblem::Text)?;
    let mut columns = line.split(',');
    match (columns.next(), columns.next(), columns.count()) {
        (Some(first), Some(second), 0) => Ok([bare(first)?, bare(second)?]),
        (first, second, more) => Err(LineProblem::Columns(
            usize::from(first.is_some()) + usize::from(second.is_some()) + more,
        )),
    }
}

/// A field without the quotes around it.
fn bare(field: &str) -> Result<&str, LineProblem> {
    let field = field.trim_matches([' ', '\t']);
    let bare = match field.strip_prefix('"') {
        None => field,
        Some(open) => open.strip_suffix('"').ok_or(LineProblem::Quote)?,
    };
    if bare.contains('"') {
        return Err(LineProblem::Quote);
    }
    Ok(bare)
}
