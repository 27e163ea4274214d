//! MCP servers that agents are configured with: names, commands, addresses; never what they are given.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;

use super::{jsonc, words};

/// The most servers that are told of one file.
const MAX_SERVERS: usize = 100;

/// The longest part of an address's path that is shown; longer ones may be secrets.
const MAX_SEGMENT: usize = 16;

/// One server of an agent's configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Server {
    /// What the configuration calls it.
    pub name: String,
    /// How it is reached.
    pub way: Way,
    /// Variables and headers that it is given, by name.
    pub given: Vec<String>,
    /// The file.
    #[serde(serialize_with = "super::lossy::path")]
    pub file: PathBuf,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A program is started; its name and flags.
    Command(Vec<String>),
    /// At an address.
    Url(String),
    /// The configuration does not say it in a way that is known.
    Unknown,
}

/// The servers in a file; `None` if it cannot be understood.
pub fn servers(text: &str, file: &Path, table: &str) -> Option<Vec<Server>> {
    let value = parse(text, file)?;
    let mut found = in_table(value.get(table), file);
    // Claude Code keeps some of them by project.
    if let Some(Value::Object(projects)) = value.get("projects") {
        for project in projects.values() {
            found.extend(in_table(project.get(table), file));
        }
    }
    found.truncate(MAX_SERVERS);
    Some(found)
}

/// The projects that a file speaks of, where it does.
pub fn projects(text: &str) -> Vec<PathBuf> {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => match value.get("projects") {
            Some(Value::Object(projects)) => projects.keys().map(PathBuf::from).collect(),
            Some(_) | None => Vec::new(),
        },
        Err(_) => Vec::new(),
    }
}

fn parse(text: &str, file: &Path) -> Option<Value> {
    if file.extension().is_some_and(|end| end == "toml") {
        return toml::from_str(text).ok();
    }
    serde_json::from_str(&jsonc::plain(text)).ok()
}

fn in_table(table: Option<&Value>, file: &Path) -> Vec<Server> {
    let Some(Value::Object(table)) = table else {
        return Vec::new();
    };
    table
        .iter()
        .take(MAX_SERVERS)
        .filter_map(|(name, server)| match server {
            Value::Object(server) => Some(Server {
                name: words::shown(name),
                way: way(server),
                given: given(server),
                file: file.to_owned(),
            }),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        })
        .collect()
}

fn way(server: &Map<String, Value>) -> Way {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = |value: Option<&Value>| -> Vec<String> {
        let values = value.and_then(Value::as_array);
        values.into_iter().flatten().filter_map(text).collect()
    };
    let address = ["url", "httpUrl", "serverUrl"]
        .iter()
        .find_map(|name| server.get(*name)?.as_str());
    if let Some(address) = address {
        return Way::Url(self::address(address));
    }
    let mut line: Vec<String> = match server.get("command") {
        Some(Value::String(program)) => vec![program.clone()],
        list_of => list(list_of),
    };
    line.extend(list(server.get("args")));
    if line.is_empty() {
        return Way::Unknown;
    }
    Way::Command(words::command(line.iter().map(String::as_str)))
}

fn given(server: &Map<String, Value>) -> Vec<String> {
    let tables = [
        "env",
        "environment",
        "headers",
        "http_headers",
        "env_http_headers",
    ];
    let mut names: Vec<String> = tables
        .iter()
        .filter_map(|name| server.get(*name)?.as_object())
        .flat_map(|table| table.keys().map(|name| words::shown(name)))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// An address without user, password, query, and without the parts of its path that may be secrets.
fn address(text: &str) -> String {
    let Some(url) = Url::parse(text).ok().filter(Url::has_host) else {
        return "(not an address)".to_owned();
    };
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let plain = |part: &&str| {
        part.len() <= MAX_SEGMENT && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'-' | b'_'))
            || matches!(*part, "v1" | "v2" | "v3")
    };
    let mut path = String::new();
    for part in url.path().split('/').filter(|part| !part.is_empty()) {
        path.push('/');
        path.push_str(Some(part).filter(plain).unwrap_or("…"));
    }
    words::shown(&format!("{}://{host}{port}{path}", url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_no_secret() {
        for (text, told) in [
            ("https://mcp.example/mcp", "https://mcp.example/mcp"),
            (
                "https://u:p@h.example:8443/api/mcp/s/AbC123/sse?key=K#f",
                "https://h.example:8443/api/mcp/s/…/sse",
            ),
            ("file:///etc", "(not an address)"),
            ("s3cret", "(not an address)"),
        ] {
            assert_eq!(address(text), told);
        }
    }
}
