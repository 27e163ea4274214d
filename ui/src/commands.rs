//! What the page may ask for. Each is granted to the window by name; a command only passes a message
//! on, and the controller's core decides what becomes of it.
#![expect(
    clippy::unreachable,
    reason = "what `tauri::command` makes of an async command that can fail"
)]

use holdfast_protocol::id::CallId;
use holdfast_protocol::secret::Secret;
use holdfast_ui::state::{Deed, Input};
use holdfast_ui::view::Screen;
use tauri::ipc::{Channel, Invoke};
use tauri::{Runtime, State};

use crate::controller::{Controls, Message};

/// All of them; `build.rs` lists their names.
pub fn handler<R: Runtime>() -> impl Fn(Invoke<R>) -> bool + Send + Sync + 'static {
    tauri::generate_handler![watch, approve, deny, deny_and_pause, next, close]
}

/// Takes the page's ear: every screen goes there from now on.
#[tauri::command]
async fn watch(screens: Channel<Screen>, controls: State<'_, Controls>) -> Result<(), ()> {
    controls.send(Message::Watch(screens)).await;
    Ok(())
}

/// Approves the question on the screen, by a click or with a PIN.
#[tauri::command]
async fn approve(
    call: CallId,
    pin: Option<Secret>,
    controls: State<'_, Controls>,
) -> Result<(), ()> {
    let deed = pin.map_or(Deed::Click, Deed::Pin);
    controls.input(Input::Decide(call, deed)).await;
    Ok(())
}

/// Denies it.
#[tauri::command]
async fn deny(call: CallId, controls: State<'_, Controls>) -> Result<(), ()> {
    controls.input(Input::Decide(call, Deed::Deny)).await;
    Ok(())
}

/// Denies it and freezes its session.
#[tauri::command]
async fn deny_and_pause(call: CallId, controls: State<'_, Controls>) -> Result<(), ()> {
    controls
        .input(Input::Decide(call, Deed::DenyAndPause))
        .await;
    Ok(())
}

/// Shows the next one.
#[tauri::command]
async fn next(call: CallId, controls: State<'_, Controls>) -> Result<(), ()> {
    controls.input(Input::Next(call)).await;
    Ok(())
}

/// Puts everything aside.
#[tauri::command]
async fn close(controls: State<'_, Controls>) -> Result<(), ()> {
    controls.input(Input::Close).await;
    Ok(())
}

#[cfg(test)]
mod tests;
