//! What a container engine says of a container: `GET /containers/<id>/json` on its socket (Docker
//! Engine API; Podman's compatible one).
//!
//! One bounded question, HTTP/1.0 so that the answer ends with the connection, within a time limit.
//! It must never take an answer about another container, nor go on where it does not understand.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The largest answer, in bytes; a container with much environment has some 20 KiB.
pub const MAX_ANSWER: usize = 1 << 20;
/// How long the engine may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A container, as its engine describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The name of its image, as it was started from.
    pub image: String,
    /// The digest of its image's configuration.
    pub image_digest: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its environment, `NAME=value`.
    pub environment: Vec<String>,
}

/// The engine does not say.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It cannot be reached, or breaks off: the environment.
    #[error("the container engine does not answer")]
    Socket(#[source] std::io::Error),
    /// It takes too long: the environment.
    #[error("the container engine did not answer within {} s", PATIENCE.as_secs())]
    Late,
    /// It answers too much, or no HTTP, or no success: the engine.
    #[error("the container engine's answer is not one")]
    Http,
    /// It does not describe the container that it was asked about: the engine.
    #[error("the container engine does not describe the container")]
    Description,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    image: String,
    config: InspectedConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedConfig {
    image: String,
    labels: Option<BTreeMap<String, String>>,
    env: Option<Vec<String>>,
}

/// Asks the engine at `socket` about the container with this id.
///
/// # Errors
/// [`EngineError`]; nothing is known of the container then.
pub async fn inspect(socket: &Path, id: &str) -> Result<Container, EngineError> {
    let asked = async {
        let mut stream = UnixStream::connect(socket)
            .await
            .map_err(EngineError::Socket)?;
        let request = format!("GET /containers/{id}/json HTTP/1.0\r\nHost: engine\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(EngineError::Socket)?;
        let mut answer = Vec::new();
        let limit = MAX_ANSWER as u64 + 1;
        let read = stream.take(limit).read_to_end(&mut answer).await;
        read.map_err(EngineError::Socket)?;
        Ok(answer)
    };
    let answer = timeout(PATIENCE, asked).await;
    read(&answer.map_err(|_| EngineError::Late)??, id)
}

/// Reads the engine's whole answer about the container `id`.
///
/// # Errors
/// [`EngineError::Http`], [`EngineError::Description`].
pub fn read(answer: &[u8], id: &str) -> Result<Container, EngineError> {
    if answer.len() > MAX_ANSWER {
        return Err(EngineError::Http);
    }
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = end
        .and_then(|end| answer.split_at_checked(end.saturating_add(4)))
        .ok_or(EngineError::Http)?;
    let head = std::str::from_utf8(head).map_err(|_| EngineError::Http)?;
    let mut lines = head.split("\r\n");
    let mut status = lines.next().unwrap_or_default().split(' ');
    let version = status.next().unwrap_or_default();
    let success = matches!(version, "HTTP/1.0" | "HTTP/1.1") && status.next() == Some("200");
    // Chunks would be read as text; an engine does not send them to HTTP/1.0.
    let chunked = lines.any(|line| {
        line.split_once(':')
            .is_some_and(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"))
    });
    if !success || chunked {
        return Err(EngineError::Http);
    }
    let inspected: Inspected =
        serde_json::from_slice(body).map_err(|_| EngineError::Description)?;
    if inspected.id != id {
        return Err(EngineError::Description);
    }
    Ok(Container {
        image: inspected.config.image,
        image_digest: inspected.image,
        labels: inspected.config.labels.unwrap_or_default(),
        environment: inspected.config.env.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const BODY: &str = r#"{"Id":"ab","Image":"sha256:11","Name":"/x","Config":{"Image":"mqtt:2","Labels":{"role":"bridge"},"Env":["A=b"]}}"#;

    fn answer(status: &str, body: &str) -> Vec<u8> {
        format!("{status}\r\nContent-Type: application/json\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn an_answer_about_the_container_is_read() {
        let container = read(&answer("HTTP/1.0 200 OK", BODY), "ab").unwrap();
        assert_eq!(container.image, "mqtt:2");
        assert_eq!(container.image_digest, "sha256:11");
        assert_eq!(container.labels.get("role").unwrap(), "bridge");
        assert_eq!(container.environment, ["A=b"]);
    }

    #[test]
    fn anything_else_says_nothing() {
        for (bad, id) in [
            (answer("HTTP/1.0 404 Not Found", BODY), "ab"),
            (answer("HTTP/1.0 2000 OK", BODY), "ab"),
            (answer("HTTP/2 200", BODY), "ab"),
            (answer("HTTP/1.0 200 OK", BODY), "abc"),
            (answer("HTTP/1.0 200 OK", "{}"), "ab"),
            (
                answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", BODY),
                "ab",
            ),
            (b"HTTP/1.0 200 OK\r\n".to_vec(), "ab"),
            (vec![b' '; MAX_ANSWER + 1], "ab"),
        ] {
            assert!(read(&bad, id).is_err());
        }
    }
}
