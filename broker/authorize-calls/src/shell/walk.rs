//! The walk over a script's syntax tree, in the order in which the shell would go.
//!
//! Every branch counts as taken, every loop as turned. It must never stop without saying so: a walk that runs out of its
//! budget is uninspectable.

use std::path::Path;

use brush_parser::ast::{
    AndOr, AndOrList, Command, CompoundCommand, CompoundList, ExtendedTestExpr, Pipeline,
    RedirectList, SeparatorOperator,
};
use holdfast_protocol::call::{Effect, Reach};

use super::arg::Arg;
use super::env::Env;
use super::parse;
use crate::world::World;

/// The most simple commands that are looked at, each turn of a loop counted.
const MAX_STEPS: u32 = 1_000;

/// The deepest nesting of commands, scripts and functions that is looked at.
const MAX_DEPTH: u32 = 24;

/// The most effects that one script may have and still be told to a human.
const MAX_EFFECTS: usize = 64;

/// The most values for which a loop's body is looked at one by one.
const MAX_VALUES: usize = 8;

/// How often a loop is turned before what it changes counts as unknown.
const MAX_TURNS: usize = 4;

/// What a command reads from its standard input, or writes to its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// The session's own: nothing of the script's.
    Inherited,
    /// This text.
    Text(String),
    /// Only the shell will know.
    Unknown,
}

/// A walk in progress.
pub(super) struct Walk<'w> {
    pub(super) world: &'w World,
    found: Vec<Effect>,
    steps: u32,
    depth: u32,
}

impl<'w> Walk<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        Self {
            world,
            found: Vec::new(),
            steps: 0,
            depth: 0,
        }
    }

    /// The effects of `script`.
    pub(super) fn run(mut self, script: &str, cwd: &Path) -> Vec<Effect> {
        self.script(script, &mut Env::at(cwd), &Stream::Inherited);
        self.found
    }

    /// Walks a script in the shell at hand (`eval`).
    pub(super) fn script(&mut self, script: &str, env: &mut Env, stdin: &Stream) {
        match parse::program(script) {
            Ok(program) => self.deeper(|walk| {
                for list in &program.complete_commands {
                    walk.list(list, env, stdin);
                }
            }),
            Err(error) => self.cannot_tell(format!("{error}")),
        }
    }

    /// Walks a script in a shell of its own (`$(…)`, `sh -c`).
    pub(super) fn nested(&mut self, script: &str, env: &Env) {
        self.script(script, &mut env.clone(), &Stream::Inherited);
    }

    /// Notes an effect, once.
    pub(super) fn found(&mut self, effect: Effect) {
        if self.found.contains(&effect) {
            return;
        }
        if self.found.len() < MAX_EFFECTS {
            self.found.push(effect);
        } else {
            let too_much = Effect::Uninspectable {
                why: "it does more at once than can be shown".to_owned(),
                reach: Reach::Outward,
            };
            if !self.found.contains(&too_much) {
                self.found.push(too_much);
            }
        }
    }

    /// Notes that something could not be understood and may lead out.
    pub(super) fn cannot_tell(&mut self, why: impl Into<String>) {
        self.found(Effect::Uninspectable {
            why: why.into(),
            reach: Reach::Outward,
        });
    }

    /// Notes that something could not be understood, and that nothing in it leads out.
    pub(super) fn cannot_tell_locally(&mut self, why: impl Into<String>) {
        self.found(Effect::Uninspectable {
            why: why.into(),
            reach: Reach::Local,
        });
    }

    pub(super) fn runs(&mut self, program: &str) {
        self.found(Effect::Runs {
            program: program.to_owned(),
        });
    }

    /// Counts a step; `false` once the budget is spent, which is then noted.
    pub(super) fn step(&mut self) -> bool {
        self.steps = self.steps.saturating_add(1);
        if self.steps > MAX_STEPS {
            self.cannot_tell("it is too long to be looked at");
        }
        self.steps <= MAX_STEPS
    }

    /// Goes one level deeper, unless that is too deep, which is then noted.
    pub(super) fn deeper(&mut self, inner: impl FnOnce(&mut Self)) {
        if self.depth >= MAX_DEPTH {
            self.cannot_tell("it is nested too deeply to be looked at");
            return;
        }
        self.depth += 1;
        inner(self);
        self.depth -= 1;
    }

    pub(super) fn list(&mut self, list: &CompoundList, env: &mut Env, stdin: &Stream) {
        for item in &list.0 {
            match item.1 {
                SeparatorOperator::Async => self.and_or(&item.0, &mut env.clone(), stdin),
                SeparatorOperator::Sequence => self.and_or(&item.0, env, stdin),
            }
        }
    }

    /// `a && b || c`: `&&` goes on from where `a` ended, `||` from anywhere before, and so does what follows the list.
    fn and_or(&mut self, list: &AndOrList, env: &mut Env, stdin: &Stream) {
        self.pipeline(&list.first, env, stdin);
        let mut exits = env.clone();
        for next in &list.additional {
            match next {
                AndOr::And(pipeline) => self.pipeline(pipeline, env, stdin),
                AndOr::Or(pipeline) => {
                    *env = exits.clone();
                    self.pipeline(pipeline, env, stdin);
                }
            }
            exits.join(env);
        }
        *env = exits;
    }

    fn pipeline(&mut self, pipeline: &Pipeline, env: &mut Env, stdin: &Stream) {
        if let [only] = pipeline.seq.as_slice() {
            self.command(only, env, stdin);
            return;
        }
        let mut input = stdin.clone();
        for command in &pipeline.seq {
            input = self.command(command, &mut env.clone(), &input);
        }
    }

    /// Walks a command and tells what it writes to its standard output, where the script itself tells that.
    fn command(&mut self, command: &Command, env: &mut Env, stdin: &Stream) -> Stream {
        match command {
            Command::Simple(simple) => return self.simple(simple, env, stdin),
            Command::Compound(compound, redirects) => {
                self.redirected(compound, redirects.as_ref(), env, stdin);
            }
            Command::Function(function) => env.define(&function.fname.value, &function.body),
            Command::ExtendedTest(test, redirects) => {
                self.test(&test.expr, env);
                self.redirects(redirects.as_ref(), env, stdin);
            }
        }
        Stream::Unknown
    }

    /// A compound command with its redirections, as it stands or as a function's body.
    pub(super) fn redirected(
        &mut self,
        compound: &CompoundCommand,
        redirects: Option<&RedirectList>,
        env: &mut Env,
        stdin: &Stream,
    ) {
        let stdin = self.redirects(redirects, env, stdin);
        self.deeper(|walk| walk.compound(compound, env, &stdin));
    }

    fn redirects(
        &mut self,
        redirects: Option<&RedirectList>,
        env: &mut Env,
        stdin: &Stream,
    ) -> Stream {
        let mut stdin = stdin.clone();
        for redirect in redirects.iter().flat_map(|list| &list.0) {
            stdin = self.redirect(redirect, env, stdin);
        }
        stdin
    }

    fn compound(&mut self, compound: &CompoundCommand, env: &mut Env, stdin: &Stream) {
        match compound {
            CompoundCommand::Arithmetic(arithmetic) => {
                self.expand_for_effects(&arithmetic.expr.value, env);
            }
            CompoundCommand::ArithmeticForClause(clause) => {
                let expressions = [&clause.initializer, &clause.condition, &clause.updater];
                for expression in expressions.into_iter().flatten() {
                    self.expand_for_effects(&expression.value, env);
                }
                self.turn(env, |walk, env| walk.list(&clause.body.list, env, stdin));
            }
            CompoundCommand::BraceGroup(group) => self.list(&group.list, env, stdin),
            CompoundCommand::Subshell(subshell) => {
                self.list(&subshell.list, &mut env.clone(), stdin);
            }
            CompoundCommand::ForClause(clause) => {
                let values: Option<Vec<Arg>> = clause.values.as_ref().map(|words| {
                    words
                        .iter()
                        .flat_map(|w| self.expand(&w.value, env))
                        .collect()
                });
                let values = values
                    .filter(|values| values.len() <= MAX_VALUES)
                    .unwrap_or_else(|| vec![Arg::unknown()]);
                self.turn(env, |walk, env| {
                    for value in &values {
                        env.assign(&clause.variable_name, value);
                        walk.list(&clause.body.list, env, stdin);
                    }
                });
            }
            CompoundCommand::CaseClause(clause) => {
                self.expand(&clause.value.value, env);
                let before = env.clone();
                for case in &clause.cases {
                    for pattern in &case.patterns {
                        self.expand(&pattern.value, env);
                    }
                    // `;&` falls through: what a branch leaves behind is where the next may begin.
                    let mut branch = before.clone();
                    branch.join(env);
                    if let Some(list) = &case.cmd {
                        self.list(list, &mut branch, stdin);
                    }
                    env.join(&branch);
                }
            }
            CompoundCommand::IfClause(clause) => {
                self.list(&clause.condition, env, stdin);
                let mut exits = env.clone();
                self.list(&clause.then, &mut exits, stdin);
                for other in clause.elses.iter().flatten() {
                    if let Some(condition) = &other.condition {
                        self.list(condition, env, stdin);
                    }
                    let mut branch = env.clone();
                    self.list(&other.body, &mut branch, stdin);
                    exits.join(&branch);
                }
                env.join(&exits);
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.turn(env, |walk, env| {
                    walk.list(&clause.0, env, stdin);
                    walk.list(&clause.1.list, env, stdin);
                });
            }
            CompoundCommand::Coprocess(coprocess) => {
                self.deeper(|walk| {
                    walk.command(&coprocess.body, &mut env.clone(), &Stream::Unknown);
                });
            }
        }
    }

    /// Turns a loop until what it leaves behind no longer changes what it starts with.
    fn turn(&mut self, env: &mut Env, mut body: impl FnMut(&mut Self, &mut Env)) {
        for _ in 0..MAX_TURNS {
            let before = env.clone();
            body(self, env);
            env.join(&before);
            if env.agrees(&before) {
                return;
            }
        }
        self.cannot_tell("a loop changes what it does at every turn");
    }

    fn test(&mut self, test: &ExtendedTestExpr, env: &mut Env) {
        match test {
            ExtendedTestExpr::And(a, b) | ExtendedTestExpr::Or(a, b) => self.deeper(|walk| {
                walk.test(a, env);
                walk.test(b, env);
            }),
            ExtendedTestExpr::Not(inner) | ExtendedTestExpr::Parenthesized(inner) => {
                self.deeper(|walk| walk.test(inner, env));
            }
            ExtendedTestExpr::UnaryTest(_, word) => {
                self.expand_for_effects(&word.value, env);
            }
            ExtendedTestExpr::BinaryTest(_, a, b) => {
                self.expand_for_effects(&a.value, env);
                self.expand_for_effects(&b.value, env);
            }
        }
    }
}
