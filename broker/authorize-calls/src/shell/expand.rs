//! From a word of the syntax tree to arguments: quotes, escapes, tildes, variables, braces, field splitting.
//!
//! Command substitutions are walked for their effects; their output stays unknown. It must never let a piece that it does
//! not know pass for text.

use brush_parser::word::{
    Parameter, ParameterExpr, SpecialParameter, TildeExpr, WordPiece, WordPieceWithSource,
};

use super::arg::Arg;
use super::env::Env;
use super::fields::{Braces, Field, Fields, ansi_c, braces};
use super::parse;
use super::walk::Walk;

impl Walk<'_> {
    /// The arguments that one word becomes.
    pub(super) fn expand(&mut self, word: &str, env: &mut Env) -> Vec<Arg> {
        match braces(word) {
            Braces::None => self.fields(word, env),
            Braces::Words(words) => words.iter().flat_map(|w| self.fields(w, env)).collect(),
            Braces::Opaque => {
                self.fields(word, env);
                vec![Arg::unknown()]
            }
        }
    }

    /// A word that is not split: an assignment's value, a here-string, a redirection's target.
    pub(super) fn expand_one(&mut self, word: &str, env: &mut Env) -> Arg {
        let mut fields = self.fields(word, env).into_iter();
        match (fields.next(), fields.next()) {
            (None, _) => Arg::from(""),
            (Some(only), None) => only,
            (Some(_), Some(_)) => match self.joined(word, env) {
                Some(text) => Arg::Whole(text),
                None => Arg::unknown(),
            },
        }
    }

    /// The body of a here-document.
    pub(super) fn expand_heredoc(&mut self, body: &str, env: &mut Env) -> Arg {
        let Ok(pieces) = parse::heredoc(body) else {
            self.cannot_tell("a here-document could not be understood");
            return Arg::unknown();
        };
        let mut text = Field::default();
        for piece in &pieces {
            self.quoted(&piece.piece, env, &mut text);
        }
        text.arg()
    }

    /// Walks the substitutions inside an arithmetic expression or another text that is not a word of its own.
    pub(super) fn expand_for_effects(&mut self, text: &str, env: &mut Env) {
        if text.contains(['$', '`']) {
            self.expand_heredoc(text, env);
        }
    }

    fn fields(&mut self, word: &str, env: &mut Env) -> Vec<Arg> {
        let Ok(pieces) = parse::word(word) else {
            self.cannot_tell("a word could not be understood");
            return vec![Arg::unknown()];
        };
        let mut fields = Fields::default();
        self.unquoted(&pieces, env, &mut fields);
        fields.finish()
    }

    /// The word's text where variables bring spaces that are not to be split.
    fn joined(&mut self, word: &str, env: &mut Env) -> Option<String> {
        let pieces = parse::word(word).ok()?;
        let mut text = Field::default();
        for piece in &pieces {
            self.quoted(&piece.piece, env, &mut text);
        }
        text.arg().whole().map(str::to_owned)
    }

    fn unquoted(&mut self, pieces: &[WordPieceWithSource], env: &mut Env, fields: &mut Fields) {
        for piece in pieces {
            match &piece.piece {
                WordPiece::ParameterExpansion(ParameterExpr::Parameter {
                    parameter: Parameter::Special(SpecialParameter::AllPositionalParameters { .. }),
                    indirect: false,
                }) => fields.positional(env),
                WordPiece::ParameterExpansion(_) => {
                    let mut value = Field::default();
                    self.quoted(&piece.piece, env, &mut value);
                    fields.split(value.arg(), env);
                }
                WordPiece::DoubleQuotedSequence(inner)
                | WordPiece::GettextDoubleQuotedSequence(inner) => {
                    fields.current.started = true;
                    for piece in inner {
                        if is_all_parameters(&piece.piece) {
                            fields.positional(env);
                        } else {
                            self.quoted(&piece.piece, env, &mut fields.current);
                        }
                    }
                }
                WordPiece::Text(_)
                | WordPiece::SingleQuotedText(_)
                | WordPiece::AnsiCQuotedText(_)
                | WordPiece::TildeExpansion(_)
                | WordPiece::CommandSubstitution(_)
                | WordPiece::BackquotedCommandSubstitution(_)
                | WordPiece::EscapeSequence(_)
                | WordPiece::ArithmeticExpression(_) => {
                    self.quoted(&piece.piece, env, &mut fields.current);
                }
            }
        }
    }

    /// Appends a piece to one field, unsplit.
    fn quoted(&mut self, piece: &WordPiece, env: &mut Env, field: &mut Field) {
        match piece {
            WordPiece::Text(text) | WordPiece::SingleQuotedText(text) => field.text(text),
            WordPiece::AnsiCQuotedText(text) => match ansi_c(text) {
                Some(text) => field.text(&text),
                None => field.unknown(),
            },
            WordPiece::DoubleQuotedSequence(inner)
            | WordPiece::GettextDoubleQuotedSequence(inner) => {
                field.started = true;
                for piece in inner {
                    self.quoted(&piece.piece, env, field);
                }
            }
            WordPiece::TildeExpansion(tilde) => match self.tilde(tilde, env) {
                Some(text) => field.text(&text),
                None => field.unknown(),
            },
            WordPiece::ParameterExpansion(expression) => match self.parameter(expression, env) {
                Some(value) => field.text(&value),
                None => field.unknown(),
            },
            WordPiece::CommandSubstitution(script)
            | WordPiece::BackquotedCommandSubstitution(script) => {
                match self.substitution(script, env) {
                    Some(output) => field.text(&output),
                    None => field.unknown(),
                }
            }
            WordPiece::EscapeSequence(escape) => match escape.strip_prefix('\\') {
                Some("\n") => {}
                Some(text) => field.text(text),
                None => field.unknown(),
            },
            WordPiece::ArithmeticExpression(expression) => {
                self.expand_for_effects(&expression.value, env);
                field.unknown();
            }
        }
    }

    fn tilde(&self, tilde: &TildeExpr, env: &Env) -> Option<String> {
        match tilde {
            TildeExpr::Home => env.lookup("HOME", self.world),
            TildeExpr::WorkingDir => env.lookup("PWD", self.world),
            TildeExpr::UserHome(_)
            | TildeExpr::OldWorkingDir
            | TildeExpr::NthDirFromTopOfDirStack { .. }
            | TildeExpr::NthDirFromBottomOfDirStack { .. } => None,
        }
    }

    /// A parameter's value, if the script itself or the session tells it. Every form's inner words are walked.
    fn parameter(&mut self, expression: &ParameterExpr, env: &mut Env) -> Option<String> {
        // The other forms hold words of their own; their debug text holds those words and nothing that could hide one.
        if let ParameterExpr::Parameter {
            parameter,
            indirect: false,
        } = expression
        {
            return match parameter {
                Parameter::Named(name) => env.lookup(name, self.world),
                Parameter::Positional(n) => env.argument(*n),
                Parameter::NamedWithIndex { index, .. } => {
                    self.expand_for_effects(index, env);
                    None
                }
                Parameter::Special(_) | Parameter::NamedWithAllIndices { .. } => None,
            };
        }
        if let ParameterExpr::UseDefaultValues {
            parameter: Parameter::Named(name),
            indirect: false,
            default_value: Some(default),
            ..
        } = expression
        {
            let fallback = self.expand_one(default, env);
            return match env.lookup(name, self.world) {
                Some(value) if !value.is_empty() => Some(value),
                // Unset here may well be set in the session's environment.
                Some(_) => fallback.whole().map(str::to_owned),
                None => None,
            };
        }
        for text in inner_words(expression) {
            self.expand_for_effects(text, env);
        }
        None
    }

    /// Walks a substitution in a shell of its own. Its output is known only where it is the session's own place.
    fn substitution(&mut self, script: &str, env: &Env) -> Option<String> {
        match script.trim() {
            "pwd" => return env.lookup("PWD", self.world),
            "git rev-parse --show-toplevel" => {
                return Some(self.world.project.to_string_lossy().into_owned());
            }
            _ => {}
        }
        self.nested(script, env);
        None
    }
}

/// Every text inside a parameter expression that the shell may expand.
fn inner_words(expression: &ParameterExpr) -> Vec<&str> {
    let mut words: Vec<&str> = Vec::new();
    let parameter = match expression {
        ParameterExpr::Parameter { parameter, .. }
        | ParameterExpr::ParameterLength { parameter, .. }
        | ParameterExpr::Transform { parameter, .. } => Some(parameter),
        ParameterExpr::UseDefaultValues {
            parameter,
            default_value: word,
            ..
        }
        | ParameterExpr::AssignDefaultValues {
            parameter,
            default_value: word,
            ..
        }
        | ParameterExpr::IndicateErrorIfNullOrUnset {
            parameter,
            error_message: word,
            ..
        }
        | ParameterExpr::UseAlternativeValue {
            parameter,
            alternative_value: word,
            ..
        }
        | ParameterExpr::RemoveSmallestSuffixPattern {
            parameter,
            pattern: word,
            ..
        }
        | ParameterExpr::RemoveLargestSuffixPattern {
            parameter,
            pattern: word,
            ..
        }
        | ParameterExpr::RemoveSmallestPrefixPattern {
            parameter,
            pattern: word,
            ..
        }
        | ParameterExpr::RemoveLargestPrefixPattern {
            parameter,
            pattern: word,
            ..
        }
        | ParameterExpr::UppercaseFirstChar {
            parameter,
            pattern: word,
            ..
        }
        | ParameterExpr::UppercasePattern {
            parameter,
            pattern: word,
            ..
        }
        | ParameterExpr::LowercaseFirstChar {
            parameter,
            pattern: word,
            ..
        }
        | ParameterExpr::LowercasePattern {
            parameter,
            pattern: word,
            ..
        } => {
            words.extend(word.as_deref());
            Some(parameter)
        }
        ParameterExpr::Substring {
            parameter,
            offset,
            length,
            ..
        } => {
            words.push(&offset.value);
            words.extend(length.as_ref().map(|l| l.value.as_str()));
            Some(parameter)
        }
        ParameterExpr::ReplaceSubstring {
            parameter,
            pattern,
            replacement,
            ..
        } => {
            words.push(pattern);
            words.extend(replacement.as_deref());
            Some(parameter)
        }
        ParameterExpr::VariableNames { .. } | ParameterExpr::MemberKeys { .. } => None,
    };
    if let Some(Parameter::NamedWithIndex { index, .. }) = parameter {
        words.push(index);
    }
    words
}

fn is_all_parameters(piece: &WordPiece) -> bool {
    matches!(
        piece,
        WordPiece::ParameterExpansion(ParameterExpr::Parameter {
            parameter: Parameter::Special(SpecialParameter::AllPositionalParameters { .. }),
            indirect: false,
        })
    )
}
