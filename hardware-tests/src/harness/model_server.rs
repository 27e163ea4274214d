//! A model that says what a script tells it to, in the words of four APIs, on 127.0.0.1.
//!
//! Anthropic's Messages, OpenAI's Responses and Chat Completions, Google's `generateContent`: what the agents that
//! Holdfast launches speak. One that has a key must never answer a request that does not show it: what reached it had
//! the real one.

mod anthropic;
mod chat;
mod google;
mod responses;

use std::sync::{Arc, Mutex};

use hyper::body::Bytes;
use hyper::{Method, Request};
use serde_json::{Value, json};

use super::http::{Answer, Server, answer};

/// What the model says at one point of the main conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// It asks for this command, by the agent's own tool for commands.
    Bash(String),
    /// It asks for this tool, by its name, with this input; text is for a tool that takes no object.
    Call(String, Value),
    /// It says this, which ends the conversation.
    Text(String),
}

/// Opens a task that the main conversation gives to a sub-agent; the command to run follows on the same line.
pub const TASK: &str = "Run this and nothing else: ";

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
    /// Whether the agent says that it failed, or was not let through; agents of Anthropic's API alone say that.
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
        Self::begin(Some(key.to_owned()), script.into())
    }

    /// Starts one that wants no key, as models of one's own do.
    pub fn open(script: impl Into<Vec<Turn>>) -> Self {
        Self::begin(None, script.into())
    }

    fn begin(key: Option<String>, script: Vec<Turn>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let server = Server::start(move |request| {
            let request = ModelRequest::of(&request);
            let said = respond(&request, key.as_deref(), &script);
            record.lock().expect("the record").push(request);
            said
        });
        Self { server, seen }
    }

    /// Its address, as `ANTHROPIC_BASE_URL` has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.server.address().port()
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

/// One of the APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Messages,
    Responses,
    Chat,
    Google,
}

impl Api {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/messages" => Some(Self::Messages),
            "/v1/responses" => Some(Self::Responses),
            "/v1/chat/completions" => Some(Self::Chat),
            _ if path.ends_with("enerateContent") => Some(Self::Google),
            _ => None,
        }
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

    fn path(&self) -> &str {
        let (_, uri) = self.line.split_once(' ').unwrap_or_default();
        uri.split('?').next().unwrap_or_default()
    }

    fn api(&self) -> Option<Api> {
        Api::of(self.path())
    }

    /// The key that it shows.
    fn key(&self) -> Option<&str> {
        let bearer = self.header("authorization");
        self.header("x-api-key")
            .or_else(|| self.header("x-goog-api-key"))
            .or_else(|| bearer.and_then(|value| value.strip_prefix("Bearer ")))
    }

    /// The names of the tools that the agent offers.
    pub fn tools(&self) -> Vec<&str> {
        let tools = self.body["tools"].as_array().into_iter().flatten();
        tools
            .flat_map(|tool| match tool["functionDeclarations"].as_array() {
                Some(functions) => functions.iter().collect(),
                None => vec![tool],
            })
            .filter_map(|tool| {
                tool["name"]
                    .as_str()
                    .or_else(|| tool["function"]["name"].as_str())
            })
            .collect()
    }

    /// The agent's tool for commands, as far as this request offers one.
    fn shell(&self) -> Option<&str> {
        const SHELLS: [&str; 6] = [
            "Bash",
            "bash",
            "exec_command",
            "shell_command",
            "shell",
            "run_shell_command",
        ];
        let tools = self.tools();
        SHELLS.into_iter().find(|shell| tools.contains(shell))
    }

    /// Whether it goes on with the conversation that the script is of: agents ask small things besides (a title, whether
    /// there is quota), and offer no shell then.
    pub fn is_main(&self) -> bool {
        self.shell().is_some() && self.task().is_none()
    }

    /// What a sub-agent was told to run, if this is a sub-agent's conversation.
    fn task(&self) -> Option<String> {
        let first = match self.api()? {
            Api::Messages => anthropic::first_words(&self.body),
            Api::Responses | Api::Chat | Api::Google => return None,
        };
        let task = first.split_once(TASK)?.1;
        Some(task.lines().next().unwrap_or_default().to_owned())
    }

    /// Every result of a tool that it tells of.
    pub fn tool_results(&self) -> Vec<ToolResult> {
        match self.api() {
            Some(Api::Messages) => anthropic::results(&self.body),
            Some(Api::Responses) => responses::results(&self.body),
            Some(Api::Chat) => chat::results(&self.body),
            Some(Api::Google) => google::results(&self.body),
            None => vec![],
        }
    }

    /// The input that this agent's tool for commands takes.
    fn command(&self, command: &str) -> Value {
        match self.shell() {
            Some("exec_command") => json!({"cmd": command}),
            Some("shell") => json!({"command": ["bash", "-c", command]}),
            Some("shell_command" | "run_shell_command") => json!({"command": command}),
            // As long as the agent allows: a busy machine is slow.
            Some(_) | None => json!({
                "command": command, "description": "a step of the script", "timeout": 600_000,
            }),
        }
    }
}

/// What is said next: words, or a tool by name with its input.
enum Said {
    Words(String),
    Tool(String, Value),
}

fn respond(request: &ModelRequest, key: Option<&str>, script: &[Turn]) -> Answer {
    let (method, path) = (
        request.line.split(' ').next().unwrap_or_default(),
        request.path(),
    );
    if path == "/" {
        return answer(200, &[], [""]);
    }
    if key.is_some() && request.key() != key {
        return failure(401, "authentication_error", "invalid x-api-key");
    }
    if method == Method::GET.as_str() && path.starts_with("/v1/models") {
        return object(&json!({"object": "list", "data": [], "has_more": false}));
    }
    if path == "/v1/messages/count_tokens" {
        return object(&json!({"input_tokens": 100}));
    }
    let (number, said) = (request.tool_results().len() + 1, next(request, script));
    match request.api() {
        Some(Api::Messages) => anthropic::say(request, number, said),
        Some(Api::Responses) => responses::say(number, said),
        Some(Api::Chat) => chat::say(request, number, said),
        Some(Api::Google) => google::say(request, said),
        None => failure(
            404,
            "not_found_error",
            "the scripted model has no such path",
        ),
    }
}

/// What is to be said: the conversation itself tells how far it is, so that a repeated request gets the same answer.
fn next(request: &ModelRequest, script: &[Turn]) -> Said {
    let told = request.tool_results().len();
    let run = |command: &str| {
        let shell = request.shell().unwrap_or_default().to_owned();
        Said::Tool(shell, request.command(command))
    };
    if let Some(task) = request.task() {
        return if told == 0 && request.shell().is_some() {
            run(&task)
        } else {
            Said::Words("The task is done.".to_owned())
        };
    }
    if !request.is_main() {
        return Said::Words("Holdfast".to_owned());
    }
    match script.get(told) {
        Some(Turn::Bash(command)) => run(command),
        Some(Turn::Call(tool, input)) => Said::Tool(tool.clone(), input.clone()),
        Some(Turn::Text(text)) => Said::Words(text.clone()),
        None => Said::Words("done".to_owned()),
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

/// Server-sent events without a name each.
fn events(events: impl IntoIterator<Item = String>) -> Answer {
    let lines = events.into_iter().map(|event| format!("data: {event}\n\n"));
    answer(200, &[("content-type", "text/event-stream")], lines)
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
