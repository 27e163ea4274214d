//! OpenAI's Responses API, as Codex asks it: always streamed.

use serde_json::{Value, json};

use super::{Answer, Said, ToolResult, answer, text};

pub(super) fn results(body: &Value) -> Vec<ToolResult> {
    let items = body["input"].as_array().into_iter().flatten();
    items
        .filter(|item| {
            let kind = item["type"].as_str().unwrap_or_default();
            kind.ends_with("_call_output")
        })
        .map(|item| ToolResult {
            id: item["call_id"].as_str().unwrap_or_default().to_owned(),
            text: text(&item["output"]),
            failed: false,
        })
        .collect()
}

pub(super) fn say(number: usize, said: Said) -> Answer {
    let item = match said {
        // A tool of this API's own kind takes text, whatever it says; a function takes an object.
        Said::Tool(name, Value::String(input)) => json!({
            "type": "custom_tool_call", "id": format!("ctc_{number}"), "call_id": format!("call_{number}"),
            "name": name, "input": input, "status": "completed",
        }),
        Said::Tool(name, input) => json!({
            "type": "function_call", "id": format!("fc_{number}"), "call_id": format!("call_{number}"),
            "name": name, "arguments": input.to_string(), "status": "completed",
        }),
        Said::Words(text) => json!({
            "type": "message", "id": format!("msg_{number}"), "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }),
    };
    let usage = json!({
        "input_tokens": 100, "output_tokens": 10, "total_tokens": 110,
        "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
    });
    let response = |status: &str, output: Value| {
        json!({
            "id": format!("resp_{number}"), "object": "response", "status": status,
            "output": output, "usage": usage,
        })
    };
    let events = [
        json!({"type": "response.created", "response": response("in_progress", json!([]))}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": response("completed", json!([item]))}),
    ];
    let lines = events.map(|event| {
        let name = event["type"].as_str().unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    });
    answer(200, &[("content-type", "text/event-stream")], lines)
}
