//! Claude Code's hooks (2.1): `PreToolUse` asks, the other events tell.
//!
//! It must never let the agent name its own session: who asks is known from the socket, and `session_id` is only noted.

use std::path::{Path, PathBuf};

use holdfast_protocol::call::{Effect, Manner, ToolCall};
use serde::Deserialize;
use serde_json::Value;

use super::{Arrival, NotUnderstood, tool_call, uninspectable};
use crate::shell;
use crate::world::World;

/// What a hook's message is.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A tool wants to run: decide.
    Call {
        /// What it wants.
        call: Box<ToolCall>,
        /// The model's own name for the call, which the end of it will bear.
        tool_use_id: Option<String>,
    },
    /// A tool has run.
    Ended {
        /// The model's own name for the call.
        tool_use_id: String,
    },
    /// Nothing to decide.
    Nothing,
}

/// Tools that change nothing outside the agent.
const INSIDE: &[&str] = &[
    "Task",
    "Agent",
    "TodoWrite",
    "TodoRead",
    "TaskCreate",
    "TaskUpdate",
    "TaskGet",
    "TaskList",
    "TaskOutput",
    "TaskStop",
    "BashOutput",
    "KillShell",
    "KillBash",
    "ExitPlanMode",
    "EnterPlanMode",
    "AskUserQuestion",
    "ToolSearch",
    "Skill",
    "SlashCommand",
    "StructuredOutput",
];

#[derive(Deserialize)]
struct Message {
    hook_event_name: String,
    cwd: PathBuf,
    tool_name: Option<String>,
    #[serde(default)]
    tool_input: Value,
    tool_use_id: Option<String>,
}

/// Reads a hook's message.
///
/// # Errors
/// [`NotUnderstood`] if it is not one of Claude Code's; the answer is then a denial.
pub fn hear(payload: &Value, arrival: Arrival, world: &World) -> Result<Heard, NotUnderstood> {
    let message = Message::deserialize(payload).map_err(NotUnderstood::Message)?;
    match message.hook_event_name.as_str() {
        "PreToolUse" => {}
        "PostToolUse" | "PostToolUseFailure" => {
            return Ok(message
                .tool_use_id
                .map_or(Heard::Nothing, |tool_use_id| Heard::Ended { tool_use_id }));
        }
        _ => return Ok(Heard::Nothing),
    }
    if !message.cwd.is_absolute() || message.cwd.as_os_str().len() > 4096 {
        return Err(NotUnderstood::Folder);
    }
    let tool = message.tool_name.unwrap_or_default();
    let effects = effects(&tool, &message.tool_input, &message.cwd, world);
    let effects = world.resolve(effects);
    let call = tool_call(arrival, tool, message.tool_input, message.cwd, effects)?;
    Ok(Heard::Call {
        call: Box::new(call),
        tool_use_id: message.tool_use_id,
    })
}

fn effects(tool: &str, input: &Value, cwd: &Path, world: &World) -> Vec<Effect> {
    let text = |key: &str| input.get(key).and_then(Value::as_str);
    let path = |key: &str| text(key).map(PathBuf::from);
    let known = match tool {
        "Bash" => text("command").map(|command| shell::effects(command, cwd, world)),
        "Read" | "NotebookRead" => path("file_path")
            .or_else(|| path("notebook_path"))
            .map(|path| vec![Effect::Reads { path }]),
        "Edit" | "Write" | "MultiEdit" => {
            path("file_path").map(|path| vec![Effect::Writes { path }])
        }
        "NotebookEdit" => path("notebook_path").map(|path| vec![Effect::Writes { path }]),
        "LS" => path("path").map(|path| vec![Effect::Reads { path }]),
        "Glob" => path("pattern").map(|pattern| {
            vec![Effect::Reads {
                path: path("path").unwrap_or_default().join(pattern),
            }]
        }),
        "Grep" => text("pattern").map(|_| {
            let folder = path("path").unwrap_or_else(|| PathBuf::from("."));
            let mut effects = vec![Effect::Reads {
                path: folder.clone(),
            }];
            effects.extend(path("glob").map(|glob| Effect::Reads {
                path: folder.join(glob),
            }));
            effects
        }),
        "WebFetch" => text("url").and_then(shell::host).map(|host| {
            vec![Effect::Reaches {
                host,
                manner: Manner::Fetch,
            }]
        }),
        "WebSearch" => text("query").map(|_| {
            vec![Effect::Reaches {
                host: "web search".to_owned(),
                manner: Manner::Fetch,
            }]
        }),
        inside if INSIDE.contains(&inside) => Some(vec![]),
        other => match other
            .strip_prefix("mcp__")
            .and_then(|rest| rest.split_once("__"))
        {
            Some((server, name)) => {
                return uninspectable(format!(
                    "`{name}` of the MCP server `{server}` says nothing of what it does"
                ));
            }
            None => return uninspectable(format!("the tool `{other}` is not known")),
        },
    };
    known.unwrap_or_else(|| uninspectable(format!("its arguments are not those of `{tool}`")))
}

#[cfg(test)]
mod tests;
