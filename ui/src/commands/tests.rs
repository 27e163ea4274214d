#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
//! Which window may call what, asked of the real configuration.

use serde_json::json;
use tauri::ipc::{CallbackFn, InvokeBody};
use tauri::test::{INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder};
use tauri::webview::InvokeRequest;
use tauri::{WebviewUrl, WebviewWindow, WebviewWindowBuilder};

use super::*;
use crate::window::label;

const CALL: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

fn call(window: &WebviewWindow<MockRuntime>, command: &str) -> Result<(), serde_json::Value> {
    let request = InvokeRequest {
        cmd: command.to_owned(),
        callback: CallbackFn(0),
        error: CallbackFn(1),
        url: "tauri://localhost".parse().unwrap(),
        body: InvokeBody::Json(
            json!({"call": CALL, "pin": "kelp-and-rock", "screens": "__CHANNEL__:7"}),
        ),
        headers: tauri::http::HeaderMap::new(),
        invoke_key: INVOKE_KEY.to_owned(),
    };
    get_ipc_response(window, request).map(|_| ())
}

#[test]
fn the_approval_window_may_call_its_commands_and_no_other_window_may() {
    let (controls, mut inbox) = Controls::new();
    let app = mock_builder()
        .manage(controls)
        .invoke_handler(handler())
        .build(tauri::generate_context!(test = true))
        .unwrap();
    let window = |label: &str| {
        WebviewWindowBuilder::new(&app, label, WebviewUrl::default())
            .build()
            .unwrap()
    };
    let (approval, other) = (window(&label(7)), window("other"));
    for command in [
        "watch",
        "approve",
        "deny",
        "deny_and_pause",
        "next",
        "close",
    ] {
        let refused = call(&other, command).unwrap_err().to_string();
        assert!(refused.contains("not allowed"), "{command}: {refused}");
        assert!(inbox.try_recv().is_err(), "{command} got through");
        call(&approval, command).unwrap();
        assert!(inbox.try_recv().is_ok(), "{command} did not get through");
    }
    // Nothing of the shell's own is granted.
    for command in [
        "plugin:event|listen",
        "plugin:window|close",
        "plugin:app|version",
        "plugin:webview|create_webview",
    ] {
        assert!(call(&approval, command).is_err(), "{command}");
    }
}
