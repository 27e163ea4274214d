//! A model that says what a script tells it to: Anthropic's Messages API on 127.0.0.1.
//!
//! It must never answer a request that does not show its key: what reached it had the real one.

use std::sync::{Arc, Mutex};

use hyper::body::Bytes;
use hyper::{Method, Request};
use serde_json::{Value, json};

use super::http::{Answer, Server, answer};

/// What the model says at one point of the main conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It asks for this command, as the tool `Bash`.
    Bash(String),
    /// It says this, which ends the conversation.
    Text(String),
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// Method and path, with the query: `POST /v1/messages?beta=true`.
    pub line: String,
    /// Every header, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; `null` where it is no JSON.
    pub body: Value,
}

/// What an agent told the model of a call that the model asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// The call's name, which the model gave it.
    pub id: String,
    /// What came of it, in words.
    pub text: String,
    /// Whether the agent says that it failed, or was not let through.
    pub failed: bool,
}

/// A running model.
#[derive(Debug)]
pub struct ModelServer {
    server: Server,
    seen: Arc<Mutex<Vec<ModelRequest>>>,
}

impl ModelServer {
    /// Starts one that wants `key` and says `script`; after its end it says `done`.
    pub fn start(key: &str, script: impl Into<Vec<Turn>>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (key, script, record) = (key.to_owned(), script.into(), Arc::clone(&seen));
        let server = Server::start(move |request| {
            let request = ModelRequest::of(&request);
            let said = respond(&request, &key, &script);
            record.lock().expect("the record").push(request);
            said
        });
        Self { server, seen }
    }

    /// Its address, as `ANTHROPIC_BASE_URL` has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<ModelRequest> {
        self.seen.lock().expect("the record").clone()
    }

    /// What came of the calls that the model asked for: those of the longest conversation so far, in their order.
    pub fn tool_results(&self) -> Vec<ToolResult> {
        self.requests()
            .iter()
            .filter(|request| request.is_main())
            .map(ModelRequest::tool_results)
            .max_by_key(Vec::len)
            .unwrap_or_default()
    }
}

impl ModelRequest {
    fn of(request: &Request<Bytes>) -> Self {
        let headers = request.headers().iter();
        Self {
            line: format!("{} {}", request.method(), request.uri()),
            headers: headers
                .map(|(name, value)| {
                    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                    (name.as_str().to_owned(), value)
                })
                .collect(),
            body: serde_json::from_slice(request.body()).unwrap_or_default(),
        }
    }

    /// The value of a header; its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it goes on with the conversation that the script is of: agents ask small things besides (a title, whether
    /// there is quota), and offer no shell then.
    pub fn is_main(&self) -> bool {
        let tools = self.body["tools"].as_array();
        tools.is_some_and(|tools| tools.iter().any(|tool| tool["name"] == "Bash"))
    }

    /// Every result of a tool that it tells of.
    pub fn tool_results(&self) -> Vec<ToolResult> {
        let messages = self.body["messages"].as_array().into_iter().flatten();
        messages
            .filter_map(|message| message["content"].as_array())
            .flatten()
            .filter(|block| block["type"] == "tool_result")
            .map(|block| ToolResult {
                id: block["tool_use_id"].as_str().unwrap_or_default().to_owned(),
                text: text(&block["content"]),
                failed: block["is_error"] == true,
            })
            .collect()
    }
}

/// A content's text: it is a string, or a list of blocks.
fn text(content: &Value) -> String {
    let blocks = content.as_array().into_iter().flatten();
    let texts: Vec<_> = blocks.filter_map(|block| block["text"].as_str()).collect();
    content
        .as_str()
        .map_or_else(|| texts.join("\n"), ToOwned::to_owned)
}

fn respond(request: &ModelRequest, key: &str, script: &[Turn]) -> Answer {
    let (method, uri) = request.line.split_once(' ').unwrap_or_default();
    let path = uri.split('?').next().unwrap_or_default();
    if path == "/" {
        return answer(200, &[], [""]);
    }
    let bearer = request.header("authorization");
    let shown = request
        .header("x-api-key")
        .or_else(|| bearer.and_then(|value| value.strip_prefix("Bearer ")));
    if shown != Some(key) {
        return failure(401, "authentication_error", "invalid x-api-key");
    }
    match (method, path) {
        ("POST", "/v1/messages/count_tokens") => object(&json!({"input_tokens": 100})),
        ("POST", "/v1/messages") => say(request, &turn(request, script)),
        _ if method == Method::GET.as_str() && path.starts_with("/v1/models") => {
            object(&json!({"data": [], "has_more": false}))
        }
        _ => failure(
            404,
            "not_found_error",
            "the scripted model has no such path",
        ),
    }
}

/// What is to be said: the conversation itself tells how far it is, so that a repeated request gets the same answer.
fn turn(request: &ModelRequest, script: &[Turn]) -> Turn {
    let done = Turn::Text("done".to_owned());
    if !request.is_main() {
        return Turn::Text("Holdfast".to_owned());
    }
    script
        .get(request.tool_results().len())
        .cloned()
        .unwrap_or(done)
}

fn say(request: &ModelRequest, turn: &Turn) -> Answer {
    let number = request.tool_results().len() + 1;
    let (empty, delta, whole, reason) = match turn {
        Turn::Bash(command) => {
            // As long as the agent allows: a busy machine is slow.
            let input = json!({
                "command": command, "description": "a step of the script", "timeout": 600_000,
            });
            let block = |input: &Value| json!({"type": "tool_use", "id": tool_id(number), "name": "Bash", "input": input});
            (
                block(&json!({})),
                json!({"type": "input_json_delta", "partial_json": input.to_string()}),
                block(&input),
                "tool_use",
            )
        }
        Turn::Text(text) => (
            json!({"type": "text", "text": ""}),
            json!({"type": "text_delta", "text": text}),
            json!({"type": "text", "text": text}),
            "end_turn",
        ),
    };
    let usage = json!({"input_tokens": 100, "output_tokens": 10});
    let message = |content: Value, reason: Value| {
        json!({
            "id": format!("msg_{number:024}"), "type": "message", "role": "assistant",
            "model": request.body["model"], "content": content,
            "stop_reason": reason, "stop_sequence": null, "usage": usage,
        })
    };
    if request.body["stream"] != true {
        return object(&message(json!([whole]), json!(reason)));
    }
    let events = [
        json!({"type": "message_start", "message": message(json!([]), Value::Null)}),
        json!({"type": "content_block_start", "index": 0, "content_block": empty}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta", "usage": {"output_tokens": 10},
            "delta": {"stop_reason": reason, "stop_sequence": null},
        }),
        json!({"type": "message_stop"}),
    ];
    let lines = events.map(|event| {
        let name = event["type"].as_str().unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    });
    answer(200, &[("content-type", "text/event-stream")], lines)
}

/// The name that the model gives its call of this number, counted from 1.
fn tool_id(number: usize) -> String {
    format!("toolu_{number:024}")
}

fn object(value: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    answer(200, &headers, [value.to_string()])
}

fn failure(status: u16, kind: &str, message: &str) -> Answer {
    let error = json!({"type": "error", "error": {"type": kind, "message": message}});
    let headers = [("content-type", "application/json")];
    answer(status, &headers, [error.to_string()])
}
