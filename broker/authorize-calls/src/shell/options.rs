//! Options and operands, told apart as `getopt_long` would.
//!
//! A program's table says which options take a value. What the table does not know is taken for a flag: callers must
//! treat flags that they do not know as they treat programs that they do not know.

use super::arg::Arg;

/// Which options of a program take a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// One letter each.
    pub(super) short: &'static str,
    /// Without their dashes.
    pub(super) long: &'static [&'static str],
}

/// One option as it stands in the text.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// `-x` or `--long`.
    pub(super) name: String,
    /// Its value, where it has one.
    pub(super) value: Option<Arg>,
}

/// A command's arguments, told apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Parsed {
    /// The options, in order.
    pub(super) options: Vec<Given>,
    /// The rest, in order.
    pub(super) operands: Vec<Arg>,
}

/// Where the options end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Operands and options may mix (GNU).
    Mixed,
    /// The first operand ends them: what follows is another program's.
    Leading,
}

impl Parsed {
    /// Tells `args` apart.
    pub(super) fn read(args: &[Arg], table: Table, order: Order) -> Self {
        let mut parsed = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let text = arg.known();
            if arg.whole() == Some("--") {
                parsed.operands.extend(rest.by_ref().cloned());
            } else if let Some(long) = arg.strip("--").filter(|_| text.len() > 2) {
                parsed.read_long(&long, table, &mut rest);
            } else if let Some(short) = arg.strip("-").filter(|_| text.len() > 1) {
                parsed.read_short(&short, table, &mut rest);
            } else {
                parsed.operands.push(arg.clone());
                if order == Order::Leading {
                    parsed.operands.extend(rest.by_ref().cloned());
                }
            }
        }
        parsed
    }

    /// Whether any of `names` is given.
    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.options
            .iter()
            .any(|o| names.contains(&o.name.as_str()))
    }

    /// The values of the options called any of `names`.
    pub(super) fn values<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Arg> {
        self.options
            .iter()
            .filter(|o| names.contains(&o.name.as_str()))
            .filter_map(|o| o.value.as_ref())
    }

    fn read_long<'a>(
        &mut self,
        long: &Arg,
        table: Table,
        rest: &mut impl Iterator<Item = &'a Arg>,
    ) {
        let (name, value) = match long.known().split_once('=') {
            Some((name, _)) => (name.to_owned(), long.strip(&format!("{name}="))),
            None if table.long.contains(&long.known()) => {
                (long.known().to_owned(), rest.next().cloned())
            }
            None => (long.known().to_owned(), None),
        };
        self.options.push(Given {
            name: format!("--{name}"),
            value,
        });
    }

    fn read_short<'a>(
        &mut self,
        short: &Arg,
        table: Table,
        rest: &mut impl Iterator<Item = &'a Arg>,
    ) {
        let mut left = short.clone();
        while let Some(letter) = left.known().chars().next() {
            let after = left
                .strip(letter.encode_utf8(&mut [0; 4]))
                .unwrap_or_else(Arg::unknown);
            let takes_value = table.short.contains(letter);
            let value = match (takes_value, after.known().is_empty()) {
                (false, _) => None,
                (true, true) if after.whole().is_some() => rest.next().cloned(),
                (true, _) => Some(after.clone()),
            };
            self.options.push(Given {
                name: format!("-{letter}"),
                value,
            });
            if takes_value {
                return;
            }
            left = after;
        }
    }
}
