//! Google's `generateContent`, as Gemini CLI asks it. Its calls have no names.

use serde_json::{Value, json};

use super::{Answer, ModelRequest, Said, ToolResult, events, object};

pub(super) fn results(body: &Value) -> Vec<ToolResult> {
    let contents = body["contents"].as_array().into_iter().flatten();
    contents
        .filter_map(|content| content["parts"].as_array())
        .flatten()
        .filter_map(|part| part.get("functionResponse"))
        .map(|response| ToolResult {
            id: response["id"].as_str().unwrap_or_default().to_owned(),
            text: response["response"]["output"]
                .as_str()
                .map_or_else(|| response["response"].to_string(), ToOwned::to_owned),
            failed: false,
        })
        .collect()
}

pub(super) fn say(request: &ModelRequest, said: Said) -> Answer {
    let wants_json = request.body["generationConfig"]["responseMimeType"] == "application/json";
    let part = match said {
        Said::Tool(name, input) => json!({"functionCall": {"name": name, "args": input}}),
        // It asks a small model which one to take, and who speaks next.
        Said::Words(_) if wants_json => {
            let choice = json!({
                "complexity_reasoning": "a script", "complexity_score": 1,
                "reasoning": "a script", "model_choice": "flash", "next_speaker": "user",
            });
            json!({"text": choice.to_string()})
        }
        Said::Words(text) => json!({"text": text}),
    };
    let response = json!({
        "candidates": [{
            "content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0,
        }],
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110},
    });
    if request.path().contains(":stream") {
        events([response.to_string()])
    } else {
        object(&response)
    }
}
