//! Which address of the synthetic range means which name, in one session.
//!
//! Pure. A name keeps its address as long as the session lives, so that no connection ever goes where
//! another was meant to go. It must never resolve a name: an address here says only what was asked.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use holdfast_protocol::widening::HostName;

use super::query::{Answer, Wants};

/// The most names of one session; of more, none is answered.
pub const MAX_NAMES: usize = 8192;

/// 198.18.0.0/15, for tests of networks (RFC 2544) and so on no network that one uses.
const RANGE: u32 = 0xc612_0000;

/// One session's names.
#[derive(Debug, Default)]
pub struct Table {
    /// By place: the first has the range's second address.
    names: Vec<HostName>,
    places: HashMap<HostName, u32>,
    /// Names that the session was given, whatever else would be said of their kind.
    given: BTreeSet<HostName>,
}

impl Table {
    /// For a session that was given these names.
    pub fn new(given: impl IntoIterator<Item = HostName>) -> Self {
        Self {
            given: given.into_iter().collect(),
            ..Self::default()
        }
    }

    /// What a question is answered; a name that was not asked about before gets an address.
    pub fn answer(&mut self, name: Option<&HostName>, wants: Wants) -> Answer {
        let Some(name) = name else {
            return Answer::NoSuchName;
        };
        let address = match self.kind(name) {
            Kind::Nowhere => return Answer::NoSuchName,
            Kind::Itself => Ipv4Addr::LOCALHOST,
            Kind::Elsewhere => match wants {
                Wants::Other => return Answer::Nothing,
                Wants::Address => match self.address(name) {
                    Some(address) => address,
                    None => return Answer::Full,
                },
            },
        };
        match wants {
            Wants::Address => Answer::Address(address),
            Wants::Other => Answer::Nothing,
        }
    }

    /// The name that an address stands for.
    pub fn name(&self, address: Ipv4Addr) -> Option<&HostName> {
        let place = address.to_bits().checked_sub(RANGE)?.checked_sub(1)?;
        self.names.get(usize::try_from(place).ok()?)
    }

    fn address(&mut self, name: &HostName) -> Option<Ipv4Addr> {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None if self.names.len() >= MAX_NAMES => return None,
            None => {
                let place = u32::try_from(self.names.len()).ok()?;
                self.names.push(name.clone());
                self.places.insert(name.clone(), place);
                place
            }
        };
        Some(Ipv4Addr::from_bits(RANGE + 1 + place))
    }

    /// What RFC 6761 and its kin say of a name. A name without a dot means something in one network only,
    /// and the session is in none.
    fn kind(&self, name: &HostName) -> Kind {
        let text = name.as_str();
        let last = text.rsplit('.').next().unwrap_or_default();
        if name.is_loopback() || text == "holdfast" {
            Kind::Itself
        } else if name.address().is_some() {
            Kind::Nowhere
        } else if self.given.contains(name) {
            Kind::Elsewhere
        } else if last == text
            // RFC 6761 §6.4, RFC 6762 §3, RFC 7686 §2; addresses have no names here.
            || matches!(last, "invalid" | "local" | "onion" | "arpa")
        {
            Kind::Nowhere
        } else {
            Kind::Elsewhere
        }
    }
}

/// Where a name leads.
enum Kind {
    /// To the session's own loopback.
    Itself,
    /// Through the broker, if that is let through.
    Elsewhere,
    /// Nowhere.
    Nowhere,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn ask(table: &mut Table, name: &str) -> Answer {
        table.answer(Some(&name.parse().unwrap()), Wants::Address)
    }

    #[test]
    fn a_name_keeps_its_address_and_an_address_its_name() {
        let mut table = Table::default();
        let Answer::Address(address) = ask(&mut table, "crates.io") else {
            panic!("no address");
        };
        assert_eq!(address, Ipv4Addr::new(198, 18, 0, 1));
        assert_ne!(ask(&mut table, "example.com"), Answer::Address(address));
        assert_eq!(ask(&mut table, "CRATES.io."), Answer::Address(address));
        assert_eq!(table.name(address).unwrap().as_str(), "crates.io");
        for never in ["198.18.0.0", "198.18.0.3", "198.17.255.255", "127.0.0.1"] {
            assert_eq!(table.name(never.parse().unwrap()), None);
        }
        let other = table.answer(Some(&"crates.io".parse().unwrap()), Wants::Other);
        assert_eq!(other, Answer::Nothing);
    }

    #[test]
    fn special_names_lead_nowhere_or_home() {
        let mut table = Table::default();
        for home in ["localhost", "a.localhost", "holdfast"] {
            let expected = Answer::Address(Ipv4Addr::LOCALHOST);
            assert_eq!(ask(&mut table, home), expected, "{home}");
        }
        for nowhere in [
            "printer.local",
            "db",
            "a.invalid",
            "1.0.0.127.in-addr.arpa",
            "10.0.0.1",
        ] {
            assert_eq!(ask(&mut table, nowhere), Answer::NoSuchName, "{nowhere}");
        }
        assert_eq!(table.answer(None, Wants::Address), Answer::NoSuchName);
        assert!(table.names.is_empty());
        let mut table = Table::new(["db".parse().unwrap()]);
        assert!(matches!(ask(&mut table, "db"), Answer::Address(_)));
        assert_eq!(ask(&mut table, "other"), Answer::NoSuchName);
    }

    #[test]
    fn a_full_table_answers_the_names_that_it_has() {
        let mut table = Table::default();
        for n in 0..MAX_NAMES {
            assert!(matches!(
                ask(&mut table, &format!("n{n}.example")),
                Answer::Address(_)
            ));
        }
        assert_eq!(ask(&mut table, "more.example"), Answer::Full);
        assert_eq!(
            ask(&mut table, "n0.example"),
            Answer::Address(Ipv4Addr::new(198, 18, 0, 1))
        );
    }

    proptest! {
        #[test]
        fn no_two_names_share_an_address(names in prop::collection::vec("[a-d]{1,3}\\.[a-d]{2}", 1..60)) {
            let mut table = Table::default();
            for name in &names {
                let Answer::Address(address) = ask(&mut table, name) else {
                    panic!("{name}");
                };
                prop_assert_eq!(table.name(address).unwrap().as_str(), name);
            }
            for name in &names {
                let again = ask(&mut table, name);
                prop_assert!(matches!(again, Answer::Address(a) if table.name(a).unwrap().as_str() == name));
            }
        }
    }
}
