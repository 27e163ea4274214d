//! Programs that publish, deploy, or change something that others rely on.
//!
//! A verb is found wherever it stands among the leading operands. It must never hide that such a program ran: what is not
//! a publication still runs.

use holdfast_protocol::call::Effect;

use super::arg::Arg;
use super::env::Env;
use super::walk::{Stream, Walk};

/// Programs with the verbs that publish or deploy. `*` is any verb that is not listed in [`LOOKING`].
const PUBLISHERS: &[(&str, &[&str])] = &[
    (
        "npm",
        &[
            "publish",
            "unpublish",
            "deprecate",
            "dist-tag",
            "access",
            "owner",
            "token",
            "adduser",
            "login",
        ],
    ),
    ("pnpm", &["publish", "deploy"]),
    ("yarn", &["publish", "npm publish"]),
    ("bun", &["publish"]),
    ("cargo", &["publish", "yank", "owner", "login"]),
    ("twine", &["upload"]),
    ("poetry", &["publish"]),
    ("uv", &["publish"]),
    ("flit", &["publish"]),
    ("hatch", &["publish"]),
    ("gem", &["push", "yank"]),
    ("mvn", &["deploy", "release:perform"]),
    ("gradle", &["publish"]),
    ("dotnet", &["nuget push", "publish"]),
    ("docker", &["push", "buildx build --push", "manifest push"]),
    ("podman", &["push", "manifest push"]),
    ("skopeo", &["copy", "sync", "delete"]),
    ("oras", &["push"]),
    ("cosign", &["sign", "attest"]),
    (
        "helm",
        &["push", "install", "upgrade", "uninstall", "rollback"],
    ),
    ("kubectl", &["*"]),
    ("oc", &["*"]),
    (
        "terraform",
        &["apply", "destroy", "import", "state rm", "taint"],
    ),
    ("tofu", &["apply", "destroy", "import", "state rm", "taint"]),
    ("pulumi", &["up", "destroy", "cancel"]),
    ("cdk", &["deploy", "destroy"]),
    ("serverless", &["deploy", "remove"]),
    ("sls", &["deploy", "remove"]),
    ("vercel", &["*"]),
    ("netlify", &["deploy"]),
    ("firebase", &["deploy"]),
    ("wrangler", &["deploy", "publish", "delete", "secret"]),
    ("fly", &["deploy", "launch", "destroy", "secrets"]),
    ("flyctl", &["deploy", "launch", "destroy", "secrets"]),
    ("heroku", &["*"]),
    ("ansible", &["*"]),
    ("ansible-playbook", &["*"]),
    ("aws", &["*"]),
    ("gcloud", &["*"]),
    ("gsutil", &["*"]),
    ("az", &["*"]),
    ("doctl", &["*"]),
    ("hub", &["*"]),
    ("gh", &["*"]),
    ("glab", &["*"]),
    ("goreleaser", &["release"]),
    ("semantic-release", &["*"]),
    ("changeset", &["publish"]),
    ("lerna", &["publish"]),
    ("stripe", &["*"]),
];

/// Verbs that only look, for the programs whose every other verb counts.
const LOOKING: &[&str] = &[
    "view",
    "list",
    "ls",
    "status",
    "diff",
    "checks",
    "get",
    "describe",
    "logs",
    "top",
    "explain",
    "version",
    "config",
    "api-resources",
    "cluster-info",
    "whoami",
    "search",
    "help",
    "browse",
    "inspect",
    "show",
    "--version",
    "--help",
    "completion",
    "clone",
    "checkout",
    "watch",
    "download",
];

impl Walk<'_> {
    /// Walks a publisher; `None` if it is none.
    pub(super) fn publisher(
        &mut self,
        program: &str,
        args: &[Arg],
        env: &mut Env,
    ) -> Option<Stream> {
        let (_, verbs) = PUBLISHERS.iter().find(|(name, _)| *name == program)?;
        let words: Vec<&str> = args
            .iter()
            .map(Arg::known)
            .filter(|word| !word.starts_with('-') || LOOKING.contains(word) || *word == "--push")
            .collect();
        if verbs.contains(&"*") {
            // `gh pr view`: a noun, then a verb. `gh api` can do anything.
            let looks = words.iter().take(2).any(|word| LOOKING.contains(word));
            let asks = words
                .iter()
                .any(|word| matches!(*word, "api" | "auth" | "secret" | "secrets" | "login"));
            let idle = args.is_empty() && program != "vercel";
            if idle || (looks && !asks) {
                self.other(program, args, env);
            } else {
                self.publishes(program);
            }
            return Some(Stream::Unknown);
        }
        let publishes = verbs.iter().any(|verb| {
            let mut wanted = verb.split(' ').peekable();
            for word in &words {
                if wanted.peek() == Some(word) {
                    wanted.next();
                }
            }
            wanted.peek().is_none()
                && verb
                    .split(' ')
                    .next()
                    .is_some_and(|first| leads(&words, first))
        });
        // npm takes `--dry-run false`, so a dry run is believed only where the flag has no value.
        let dry = matches!(program, "cargo" | "poetry")
            && args.iter().any(|arg| arg.whole() == Some("--dry-run"));
        if publishes && !dry {
            self.publishes(program);
        } else if words.is_empty() && args.iter().any(|arg| arg.whole().is_none()) {
            self.cannot_tell(format!("what `{program}` does, only the shell will know"));
        } else {
            self.other(program, args, env);
            if args.first().is_some_and(|arg| arg.whole().is_none()) {
                self.cannot_tell(format!("what `{program}` does, only the shell will know"));
            }
        }
        Some(Stream::Unknown)
    }

    pub(super) fn publishes(&mut self, registry: &str) {
        self.found(Effect::Publishes {
            registry: registry.to_owned(),
        });
    }
}

/// Whether `verb` is the verb: the first operand, or the second after a value of an option that we do not know.
fn leads(words: &[&str], verb: &str) -> bool {
    words.iter().take(3).any(|word| *word == verb)
}
