//! Paths and patterns of paths, as an operator writes them.
//!
//! Matching never takes more than length of path × length of pattern: a host chooses the paths.

/// A path, or a pattern: `*` stands for any bytes, `/` among them. Spaces become `_`, as the kernel writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Vec<u8>);

impl PathPattern {
    /// The longest pattern, in bytes.
    pub const MAX: usize = 4096;

    /// The pattern of this text; `None` if it is empty or too long.
    pub fn new(text: &str) -> Option<Self> {
        (1..=Self::MAX)
            .contains(&text.len())
            .then(|| Self(text.replace(' ', "_").into_bytes()))
    }

    /// Whether it stands for more than one path.
    pub fn is_wild(&self) -> bool {
        self.0.contains(&b'*')
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `path` is one that it stands for.
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut parts = self.0.split(|byte| *byte == b'*');
        let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            // The leftmost place leaves the most to what follows, so there is no going back.
            let Some(at) = find(rest, part) else {
                return false;
            };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    bytes.windows(part.len()).position(|window| window == part)
}
