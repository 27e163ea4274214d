//! Which keys the authority has had, and which of them it uses: one generation after the other, with an overlap.
//!
//! A generation is prepared (published, so that everybody learns it), active (it signs), or old (published until nothing
//! that it signed is valid any more). Pure: the caller reads clock and files. It must never let a generation sign that
//! nobody has been told of, and never take one away whose signatures are still valid, unless it is told to.

use std::fmt;
use std::time::Duration;

use holdfast_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// The most generations at one time: one prepared, one active, some old ones that an operator has not retired yet.
const MAX: usize = 8;

/// A generation's number, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(u32);

impl Number {
    /// Those that the authority is born with.
    pub const FIRST: Self = Self(1);

    /// As it stands in the name of a file; the first has none.
    pub(super) fn infix(self) -> String {
        if self == Self::FIRST {
            String::new()
        } else {
            format!(".{}", self.0)
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a generation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "kebab-case")]
pub enum Role {
    /// Published; it will sign.
    Prepared {
        /// Since when it is published.
        since: Timestamp,
    },
    /// It signs.
    Active,
    /// It signed; what it signed may still be valid.
    Old {
        /// When nothing of it is any more.
        until: Timestamp,
    },
}

/// One generation of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number.
    pub number: Number,
    /// What it is for.
    #[serde(flatten)]
    pub role: Role,
}

/// All generations, and how often they changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generations {
    /// The bundle's sequence number (SPIFFE Trust Domain and Bundle §4.1.1).
    sequence: u64,
    /// By number; exactly one is active.
    generations: Vec<Generation>,
}

/// A step is not to be made now. The operator is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// There is one already.
    #[error("generation {0} is prepared already")]
    PreparedAlready(Number),
    /// There is none to activate.
    #[error("no generation is prepared")]
    NothingPrepared,
    /// Somebody may not have learnt it yet.
    #[error("generation {number} is not known to everybody before {}", crate::rfc3339(*.from))]
    TooEarly {
        /// The prepared one.
        number: Number,
        /// From when on everybody that is reached at all knows it.
        from: Timestamp,
    },
    /// There is none to retire.
    #[error("no generation is old")]
    NothingOld,
    /// What it signed may be valid.
    #[error("what generation {number} signed may be valid until {}", crate::rfc3339(*.until))]
    StillValid {
        /// The old one.
        number: Number,
        /// When nothing of it is any more.
        until: Timestamp,
    },
    /// There are too many.
    #[error("there are {MAX} generations; retire old ones first")]
    TooMany,
}

/// Whether a step waits until it is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// It does.
    Overlap,
    /// A key is in wrong hands: what it costs is borne.
    Now,
}

impl Generations {
    /// As they are before the first change.
    pub fn first() -> Self {
        Self {
            sequence: 1,
            generations: vec![Generation {
                number: Number::FIRST,
                role: Role::Active,
            }],
        }
    }

    /// Whether they are ones that the steps below can have made; a file may have been edited.
    pub fn are_sound(&self) -> bool {
        let count = |wanted: fn(&Role) -> bool| {
            let roles = self.generations.iter().map(|generation| &generation.role);
            roles.filter(|role| wanted(role)).count()
        };
        count(|role| matches!(role, Role::Active)) == 1
            && count(|role| matches!(role, Role::Prepared { .. })) <= 1
            && self.generations.len() <= MAX
            && self.generations.is_sorted_by(|a, b| a.number < b.number)
            && self.sequence > 0
    }

    /// How often they changed, from 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// All of them, by number.
    pub fn all(&self) -> &[Generation] {
        &self.generations
    }

    /// The one that signs.
    pub fn active(&self) -> Generation {
        let active = |generation: &&Generation| matches!(generation.role, Role::Active);
        // There is always one; see `are_sound`.
        let found = self.generations.iter().find(active).copied();
        found.unwrap_or(Generation {
            number: Number::FIRST,
            role: Role::Active,
        })
    }

    /// Adds a generation that is published and does not sign yet; its number.
    ///
    /// # Errors
    /// [`NotNow`] if one is prepared already, or there are too many.
    pub fn prepare(&mut self, now: Timestamp) -> Result<Number, NotNow> {
        if let Some(prepared) = self.prepared() {
            return Err(NotNow::PreparedAlready(prepared.0));
        }
        let last = self.generations.last().map_or(0, |last| last.number.0);
        let number = Number(last.checked_add(1).ok_or(NotNow::TooMany)?);
        if self.generations.len() >= MAX {
            return Err(NotNow::TooMany);
        }
        self.generations.push(Generation {
            number,
            role: Role::Prepared { since: now },
        });
        self.sequence += 1;
        Ok(number)
    }

    /// Lets the prepared generation sign from now on. `longest` is how long the longest-lived thing that it signs is valid:
    /// so long everybody may take to learn of a generation, and so long the one before it stays published.
    ///
    /// # Errors
    /// [`NotNow`] if none is prepared, or not for as long.
    pub fn activate(
        &mut self,
        now: Timestamp,
        longest: Duration,
        haste: Haste,
    ) -> Result<Number, NotNow> {
        let (number, since) = self.prepared().ok_or(NotNow::NothingPrepared)?;
        let from = since + longest;
        if haste == Haste::Overlap && now < from {
            return Err(NotNow::TooEarly { number, from });
        }
        for generation in &mut self.generations {
            generation.role = match generation.role {
                Role::Prepared { .. } => Role::Active,
                Role::Active => Role::Old {
                    until: now + longest,
                },
                old @ Role::Old { .. } => old,
            };
        }
        self.sequence += 1;
        Ok(number)
    }

    /// Takes the old generations away, which are then known to nobody any more; their numbers.
    ///
    /// # Errors
    /// [`NotNow`] if none is old, or something that one signed may be valid.
    pub fn retire(&mut self, now: Timestamp, haste: Haste) -> Result<Vec<Number>, NotNow> {
        let mut gone = Vec::new();
        for generation in &self.generations {
            let Role::Old { until } = generation.role else {
                continue;
            };
            let number = generation.number;
            if haste == Haste::Overlap && now < until {
                return Err(NotNow::StillValid { number, until });
            }
            gone.push(number);
        }
        if gone.is_empty() {
            return Err(NotNow::NothingOld);
        }
        self.generations
            .retain(|generation| !gone.contains(&generation.number));
        self.sequence += 1;
        Ok(gone)
    }

    fn prepared(&self) -> Option<(Number, Timestamp)> {
        self.generations
            .iter()
            .find_map(|generation| match generation.role {
                Role::Prepared { since } => Some((generation.number, since)),
                Role::Active | Role::Old { .. } => None,
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(24 * 3600);

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Prepare,
        Activate(Haste),
        Retire(Haste),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let haste = || prop_oneof![Just(Haste::Overlap), Just(Haste::Now)];
        prop_oneof![
            Just(Step::Prepare),
            haste().prop_map(Step::Activate),
            haste().prop_map(Step::Retire),
            (0_u64..2 * 24 * 3600).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Against a model that remembers when each generation was published and when it last signed.
        #[test]
        fn with_an_overlap_nothing_valid_is_ever_unknown(steps in proptest::collection::vec(step(), 0..60)) {
            let mut generations = Generations::first();
            let mut now = Timestamp::from_secs(1_800_000_000);
            let mut published = std::collections::BTreeMap::from([(1, now)]);
            let mut signed = std::collections::BTreeMap::from([(1, now)]);
            for step in steps {
                let before = generations.clone();
                signed.insert(before.active().number.0, now);
                let done = match step {
                    Step::Wait(seconds) => {
                        now = now + Duration::from_secs(seconds);
                        signed.insert(before.active().number.0, now);
                        continue;
                    }
                    Step::Prepare => generations.prepare(now).map(|number| {
                        published.insert(number.0, now);
                    }),
                    Step::Activate(haste) => generations.activate(now, LONGEST, haste).map(|number| {
                        if haste == Haste::Overlap {
                            assert!(now >= published[&number.0] + LONGEST);
                        }
                    }),
                    Step::Retire(haste) => generations.retire(now, haste).map(|gone| {
                        for number in gone {
                            assert_ne!(number, generations.active().number);
                            if haste == Haste::Overlap {
                                assert!(now >= signed[&number.0] + LONGEST);
                            }
                        }
                    }),
                };
                prop_assert!(generations.are_sound());
                match done {
                    Ok(()) => prop_assert_eq!(generations.sequence(), before.sequence() + 1),
                    Err(_) => prop_assert_eq!(&generations, &before),
                }
                let json = serde_json::to_string(&generations).unwrap();
                prop_assert_eq!(serde_json::from_str::<Generations>(&json).unwrap(), generations.clone());
            }
        }
    }
}
