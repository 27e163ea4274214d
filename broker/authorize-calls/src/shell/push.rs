//! `git push`: every remote and ref that it lands on, and whether history may be overwritten.
//!
//! It must never take a push for smaller than its options allow.

use holdfast_protocol::call::{Effect, History};

use super::arg::Arg;
use super::options::{Order, Parsed, Table};
use super::walk::Walk;

const PUSH: Table = Table {
    short: "o",
    long: &[
        "repo",
        "receive-pack",
        "exec",
        "push-option",
        "recurse-submodules",
    ],
};

impl Walk<'_> {
    pub(super) fn push(&mut self, args: &[Arg]) {
        let parsed = Parsed::read(args, PUSH, Order::Mixed);
        if parsed.has(&["--receive-pack", "--exec"]) {
            self.cannot_tell("git push runs another program at the far end");
        }
        let mut operands = parsed.operands.iter();
        let remote = parsed
            .values(&["--repo"])
            .next()
            .or_else(|| operands.next());
        let forced = parsed.has(&[
            "-f",
            "--force",
            "--force-with-lease",
            "--force-if-includes",
            "--prune",
        ]);
        let deleted = parsed.has(&["-d", "--delete"]);
        let history = |overwritten: bool| {
            if overwritten {
                History::Overwritten
            } else {
                History::Kept
            }
        };
        let mut targets: Vec<(Option<String>, History)> = Vec::new();
        if parsed.has(&["--mirror"]) {
            targets.push((Some("refs/*".to_owned()), History::Overwritten));
        }
        if parsed.has(&["--all", "--branches"]) {
            targets.push((Some("refs/heads/*".to_owned()), history(forced)));
        }
        if parsed.has(&["--tags", "--follow-tags"]) {
            targets.push((Some("refs/tags/*".to_owned()), history(forced)));
        }
        let mut refspecs = operands.peekable();
        while let Some(refspec) = refspecs.next() {
            // `tag NAME` is short for a tag's full name.
            if refspec.whole() == Some("tag") {
                let name = refspecs.next().map_or("*", Arg::known);
                targets.push((Some(format!("refs/tags/{name}")), history(forced)));
                continue;
            }
            let Some(text) = refspec.whole() else {
                targets.push((
                    Some("what only the shell will know".to_owned()),
                    history(true),
                ));
                continue;
            };
            let plus = text.starts_with('+');
            let text = text.trim_start_matches('+');
            let (source, target) = text.split_once(':').unwrap_or((text, text));
            let target = match target {
                "" if source.is_empty() => Some("refs/heads/*".to_owned()),
                "HEAD" | "@" | "" => None,
                target => Some(target.to_owned()),
            };
            targets.push((
                target,
                history(forced || deleted || plus || source.is_empty()),
            ));
        }
        if targets.is_empty() {
            targets.push((None, history(forced || deleted)));
        }
        let name = match remote {
            Some(Arg::Whole(name)) => Some(name.clone()),
            Some(Arg::Prefix(_)) => Some("what only the shell will know".to_owned()),
            None => None,
        };
        for (refspec, history) in targets {
            self.found(Effect::Pushes {
                remote: name.clone(),
                refspec,
                history,
            });
        }
    }
}
