//! Services of this host that Holdfast did not launch: systemd units and containers, level L2.
//!
//! The operator registers a name with selectors, spelled as SPIRE spells them; a process whose
//! evidence has all of them is that service. What names it is its cgroup, where root has to have put
//! it; what it runs only narrows, because a process can change what it runs after it has asked. This
//! module must never take a caller's word, nor let what cannot be told count as a match.

pub mod engine;
pub mod evidence;
mod selector;
mod unit;

use std::collections::BTreeSet;

use holdfast_protocol::id::AgentKind;

pub use selector::{InvalidSelector, Selector};
pub use unit::{Engine, Named, named};

/// The most services that may be registered.
pub const MAX_REGISTRATIONS: usize = 64;
/// The most selectors of one.
pub const MAX_SELECTORS: usize = 16;

/// A service, as the operator registers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its name: the end of its identity.
    pub name: AgentKind,
    selectors: BTreeSet<Selector>,
}

/// A registration that would not say who a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRegistration {
    /// No selector names a unit or a container.
    #[error("needs a selector that names a unit or a container: systemd:id, docker: or podman:")]
    Unnamed,
    /// There are too many.
    #[error("has more than {MAX_SELECTORS} selectors")]
    Selectors,
}

impl Registration {
    /// A service of this name, whose processes have all of `selectors`.
    ///
    /// # Errors
    /// [`InvalidRegistration`]: by a uid or a program alone a process is found, not named.
    pub fn new(
        name: AgentKind,
        selectors: impl IntoIterator<Item = Selector>,
    ) -> Result<Self, InvalidRegistration> {
        let selectors: BTreeSet<Selector> = selectors.into_iter().collect();
        if selectors.len() > MAX_SELECTORS {
            return Err(InvalidRegistration::Selectors);
        }
        if !selectors.iter().any(Selector::names) {
            return Err(InvalidRegistration::Unnamed);
        }
        Ok(Self { name, selectors })
    }

    /// Whether it asks for this kind of evidence.
    pub fn wants(&self, kind: &str) -> bool {
        self.selectors.iter().any(|each| each.is_of(kind))
    }

    /// What its processes have.
    pub fn selectors(&self) -> &BTreeSet<Selector> {
        &self.selectors
    }
}

/// No registered service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unregistered {
    /// None has only what the process has.
    #[error("no registered workload is such a process")]
    None,
    /// Two do, and neither asks for more than the other.
    #[error("more than one registered workload is such a process")]
    Ambiguous,
}

/// The service that a process with this evidence is: of those that fit, the one that asks for most.
///
/// # Errors
/// [`Unregistered`].
pub fn registered<'r>(
    registrations: &'r [Registration],
    evidence: &BTreeSet<Selector>,
) -> Result<&'r Registration, Unregistered> {
    let mut fitting: Vec<&Registration> = registrations
        .iter()
        .filter(|each| each.selectors.is_subset(evidence))
        .collect();
    fitting.sort_by_key(|each| std::cmp::Reverse(each.selectors.len()));
    match fitting.as_slice() {
        [] => Err(Unregistered::None),
        [one] => Ok(one),
        [one, next, ..] if one.selectors.len() > next.selectors.len() => Ok(one),
        [..] => Err(Unregistered::Ambiguous),
    }
}

#[cfg(test)]
mod tests;
