//! What `git credential-store` keeps: one URL a line, user and password in it (git-credential-store(1)).

use std::path::PathBuf;

use holdfast_protocol::secret::Secret;
use holdfast_protocol::url::HttpUrl;
use holdfast_protocol::vault::{GitUser, MAX_VALUE, SecretUse};
use url::Url;
use zeroize::Zeroizing;

use super::{Finds, Found, MAX_FOUND, Place, Surroundings, named, text};

/// Looks in the two files that the helper reads.
pub(super) fn look(around: &Surroundings<'_>, finds: &mut Finds) {
    let folder = (around.variable)("XDG_CONFIG_HOME")
        .filter(|text| !text.is_empty())
        .map_or_else(|| around.home.join(".config"), PathBuf::from);
    for path in [
        around.home.join(".git-credentials"),
        folder.join("git/credentials"),
    ] {
        let Some(text) = text(&path, finds) else {
            continue;
        };
        let place = Place::File(path);
        let lines = text.lines().zip(1..);
        let lines = lines.filter(|(line, _)| !line.trim().is_empty());
        for (taken, (line, number)) in lines.enumerate() {
            if taken == MAX_FOUND {
                finds.skip(&place, format!("from line {number} on: there are too many"));
                break;
            }
            match credential(line, place.clone()) {
                Ok(found) => finds.found.push(found),
                Err(why) => finds.skip(&place, format!("line {number}: {why}")),
            }
        }
    }
}

/// One line. What is wrong with it is told without its words.
fn credential(line: &str, from: Place) -> Result<Found, &'static str> {
    let mut url = Url::parse(line).map_err(|_| "it is not a URL")?;
    let username = decoded(url.username()).ok_or("its user cannot be read")?;
    let password = url
        .password()
        .and_then(decoded)
        .ok_or("it has no password that can be read")?;
    url.set_username("")
        .and_then(|()| url.set_password(None))
        .map_err(|()| "it is not a URL of a remote")?;
    let remote: HttpUrl = url
        .as_str()
        .parse()
        .map_err(|_| "its remote is none of HTTP's")?;
    let username: GitUser = username
        .parse()
        .map_err(|_| "its user is not one that git could send")?;
    let fits = (1..=MAX_VALUE).contains(&password.len()) && !password.chars().any(char::is_control);
    if !fits {
        return Err("its password is not one that git could send");
    }
    let name = format!("git-{}{}", remote.authority(), remote.path());
    Ok(Found {
        name: named(&name).ok_or("its remote gives no name")?,
        purpose: SecretUse::Git { remote, username },
        from,
        expires: None,
        value: Secret::new(password),
    })
}

/// Percent-encoding undone (RFC 3986 §2.1). `None` if it is broken, or hides something that is not text.
fn decoded(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            plain => plain,
        });
    }
    let text = std::str::from_utf8(&bytes).ok()?;
    Some(Zeroizing::new(text.to_owned()))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}
