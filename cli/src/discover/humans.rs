//! Whose homes are looked at: who runs this command; for root, every human that the machine knows.

use std::path::PathBuf;

use serde::Serialize;

/// uids of humans, as distributions give them out (login.defs(5)).
const HUMANS: std::ops::RangeInclusive<u32> = 1000..=59_999;

/// A human of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Human {
    /// The uid.
    pub uid: u32,
    /// The login name.
    pub name: String,
    /// The home.
    #[serde(serialize_with = "super::lossy::path")]
    pub home: PathBuf,
    /// The groups, by name.
    pub groups: Vec<String>,
}

/// Everybody whom passwd(5) and group(5) know: root and the humans, those who have a home.
pub fn all(passwd: &str, group: &str) -> Vec<Human> {
    passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let uid: u32 = fields.nth(1)?.parse().ok()?;
            let gid: u32 = fields.next()?.parse().ok()?;
            let home = fields.nth(1)?;
            let wanted =
                (uid == 0 || HUMANS.contains(&uid)) && home.starts_with('/') && home != "/";
            wanted.then(|| Human {
                uid,
                name: name.to_owned(),
                home: PathBuf::from(home),
                groups: groups(group, name, &[gid]),
            })
        })
        .collect()
}

/// The names of the groups that have one of these numbers, or this member.
pub fn groups(group: &str, member: &str, gids: &[u32]) -> Vec<String> {
    group
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let gid: u32 = fields.nth(1)?.parse().ok()?;
            let listed = fields.next()?.split(',').any(|name| name == member);
            (listed || gids.contains(&gid)).then(|| name.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn humans_are_known_with_their_groups() {
        let passwd = "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/x\ndev:x:1000:1000:D:/home/dev:/bin/sh\nbroken\n\
            nobody:x:65534:65534::/nonexistent:/x\n";
        let group = "root:x:0:\nsudo:x:27:dev,other\ndev:x:1000:\ndocker:x:998:other\n";
        let found = all(passwd, group);
        let names: Vec<_> = found.iter().map(|human| human.name.as_str()).collect();
        assert_eq!(names, ["root", "dev"]);
        assert_eq!(
            found.last().map(|dev| dev.groups.clone()),
            Some(vec!["sudo".into(), "dev".into()])
        );
    }
}
