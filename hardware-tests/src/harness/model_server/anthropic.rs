//! Anthropic's Messages API, as Claude Code asks it: streamed or whole.

use serde_json::{Value, json};

use super::{Answer, ModelRequest, Said, ToolResult, answer, object, text};

/// What the conversation began with.
pub(super) fn first_words(body: &Value) -> String {
    text(&body["messages"][0]["content"])
}

pub(super) fn results(body: &Value) -> Vec<ToolResult> {
    let messages = body["messages"].as_array().into_iter().flatten();
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

pub(super) fn say(request: &ModelRequest, number: usize, said: Said) -> Answer {
    let (empty, delta, whole, reason) = match said {
        Said::Tool(name, input) => {
            let id = format!("toolu_{number:024}");
            let block =
                |input: &Value| json!({"type": "tool_use", "id": id, "name": name, "input": input});
            (
                block(&json!({})),
                json!({"type": "input_json_delta", "partial_json": input.to_string()}),
                block(&input),
                "tool_use",
            )
        }
        Said::Words(text) => (
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
