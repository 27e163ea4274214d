//! The texts of shims: small, for any POSIX shell, and known again by their second line.
//!
//! A shim looks for the agent anew each time, so that an upgrade counts, and never starts a shim.

use std::path::Path;

use super::ConnectError;

/// What every shim has in its second line.
const MARK: &str = "# holdfast connect:";

/// Starts an agent sealed; inside a session, as it is.
const SHIM: &str = r#"#!/bin/sh
# holdfast connect: @COMMAND@ starts sealed; `holdfast connect @COMMAND@ --undo` takes this away.
shims=@SHIMS@
# Shims of other folders that led here, so that two never start each other for ever.
HOLDFAST_SHIMS="${HOLDFAST_SHIMS-}:$shims:"
export HOLDFAST_SHIMS
agent=
rest=$PATH:
while [ -n "$rest" ]; do
    folder=${rest%%:*}
    rest=${rest#*:}
    case $folder in
    /*) ;;
    *) continue ;;
    esac
    case $HOLDFAST_SHIMS in
    *:"$folder":*) continue ;;
    esac
    if [ -f "$folder/@COMMAND@" ] && [ -x "$folder/@COMMAND@" ] && ! [ "$folder/@COMMAND@" -ef "$shims/@COMMAND@" ]; then
        agent=$folder/@COMMAND@
        break
    fi
done
# Where it was when it was connected, for a PATH that has lost it.
[ -n "$agent" ] || agent=@PROGRAM@
if ! [ -x "$agent" ]; then
    echo "holdfast: @COMMAND@ is not installed any more: no program of that name is on your PATH" >&2
    exit 127
fi
if [ -n "${HOLDFAST_SESSION-}" ] && [ -S /run/holdfast/session.sock ]; then
    exec "$agent" "$@"
fi
exec @HOLDFAST@ run -- "$agent" "$@"
"#;

/// Starts sealed what an editor's extension would start: it comes with the extension's own program first.
const EDITOR: &str = r#"#!/bin/sh
# holdfast connect: for editors' extensions; `holdfast connect @COMMAND@ --undo` takes this away.
case ${1-} in
*/@COMMAND@)
    exec @HOLDFAST@ run -- "$@"
    ;;
*/node | node | */bun | bun)
    # An interpreter and the extension's script: the agent that is installed does the same.
    shift 2
    ;;
esac
exec @SHIMS@/@COMMAND@ "$@"
"#;

/// The shims of one command.
#[derive(Debug)]
pub struct Texts {
    /// For PATH.
    pub shim: String,
    /// For editors.
    pub editor: String,
}

impl Texts {
    /// Fills them in.
    ///
    /// # Errors
    /// [`ConnectError::Path`].
    pub fn new(
        holdfast: &Path,
        shims: &Path,
        command: &str,
        program: Option<&Path>,
    ) -> Result<Self, ConnectError> {
        let holdfast = quoted(holdfast)?;
        let folder = quoted(shims)?;
        let program = program.map_or_else(|| Ok("''".to_owned()), quoted)?;
        let fill = |text: &str| {
            text.replace("@COMMAND@", command)
                .replace("@SHIMS@", &folder)
                .replace("@PROGRAM@", &program)
                .replace("@HOLDFAST@", &holdfast)
        };
        Ok(Self {
            shim: fill(SHIM),
            editor: fill(EDITOR),
        })
    }
}

/// Whether a file that begins so is a shim.
pub fn is_marked(beginning: &[u8]) -> bool {
    let mut lines = beginning.split(|byte| *byte == b'\n');
    lines.next().is_some_and(|line| line.starts_with(b"#!"))
        && lines
            .next()
            .is_some_and(|line| line.starts_with(MARK.as_bytes()))
}

/// Whether a folder has a shim left.
pub fn any_in(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries.filter_map(Result::ok).any(|entry| {
        super::files::beginning(&entry.path())
            .ok()
            .flatten()
            .is_some_and(|beginning| is_marked(&beginning))
    })
}

/// A path as one word of a POSIX shell and of fish.
pub fn quoted(path: &Path) -> Result<String, ConnectError> {
    path.to_str()
        // In fish a backslash counts within quotes, too; a colon ends an entry of PATH.
        .filter(|text| !text.contains(['\'', '\\', '\n', '\0', ':', '@']))
        .map(|text| format!("'{text}'"))
        .ok_or_else(|| ConnectError::Path(path.to_owned()))
}
