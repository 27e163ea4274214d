//! OpenAI's Chat Completions API, which most agents speak to a model of one's own.

use serde_json::{Value, json};

use super::{Answer, ModelRequest, Said, ToolResult, events, object, text};

pub(super) fn results(body: &Value) -> Vec<ToolResult> {
    let messages = body["messages"].as_array().into_iter().flatten();
    messages
        .filter(|message| message["role"] == "tool")
        .map(|message| ToolResult {
            id: message["tool_call_id"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            text: text(&message["content"]),
            failed: false,
        })
        .collect()
}

pub(super) fn say(request: &ModelRequest, number: usize, said: Said) -> Answer {
    let (message, reason) = match said {
        Said::Tool(name, input) => {
            let call = json!({
                "index": 0, "id": format!("call_{number}"), "type": "function",
                "function": {"name": name, "arguments": input.to_string()},
            });
            let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
            (message, "tool_calls")
        }
        Said::Words(text) => (json!({"role": "assistant", "content": text}), "stop"),
    };
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110});
    let part = |object: &str, choice: Value| {
        json!({
            "id": format!("chatcmpl-{number}"), "object": object, "created": 1,
            "model": request.body["model"], "choices": [choice], "usage": usage,
        })
    };
    if request.body["stream"] != true {
        let choice = json!({"index": 0, "message": message, "finish_reason": reason});
        return object(&part("chat.completion", choice));
    }
    let chunks = [
        json!({"index": 0, "delta": message, "finish_reason": null}),
        json!({"index": 0, "delta": {}, "finish_reason": reason}),
    ];
    let chunks = chunks.map(|choice| part("chat.completion.chunk", choice).to_string());
    events(chunks.into_iter().chain(["[DONE]".to_owned()]))
}
