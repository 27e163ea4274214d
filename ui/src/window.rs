//! The approval window itself: made when there is something to show, destroyed with its web view when
//! there is not. It loads the embedded page and can go nowhere else.

use holdfast_protocol::approval::Surface;
use holdfast_ui::environment::Automation;
use holdfast_ui::state::Input;
use raw_window_handle::{HasDisplayHandle, RawDisplayHandle};
use tauri::webview::NewWindowResponse;
use tauri::{
    AppHandle, Manager, Runtime, WebviewUrl, WebviewWindow, WebviewWindowBuilder, WindowEvent,
};

use crate::controller::Controls;

/// Its label: what `tauri.conf.json` grants commands to.
pub const LABEL: &str = "approval";

/// Brings it up, and to the front as far as the desktop lets it.
pub fn open<R: Runtime>(
    app: &AppHandle<R>,
    controls: &Controls,
    automation: Automation,
) -> tauri::Result<()> {
    if let Some(window) = app.get_webview_window(LABEL) {
        window.unminimize()?;
        return window.set_focus();
    }
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App("index.html".into()))
        .title("Holdfast asks")
        .inner_size(620.0, 780.0)
        .min_inner_size(460.0, 480.0)
        .center()
        .always_on_top(true)
        .focused(true)
        // Nothing of a question is kept. WebDriver knows no other web context than the ordinary one.
        .incognito(automation == Automation::Refused)
        .devtools(false)
        .disable_drag_drop_handler()
        .on_navigation(|url| url.scheme() == "tauri")
        .on_new_window(|_, _| NewWindowResponse::Deny)
        .build()?;
    let controls = controls.clone();
    window.on_window_event(move |event| {
        if let WindowEvent::CloseRequested { api, .. } = event {
            // The controller takes it down, once it has put the question aside.
            api.prevent_close();
            controls.hint(Input::Close);
        }
    });
    Ok(())
}

/// Takes it down.
pub fn close<R: Runtime>(app: &AppHandle<R>) -> tauri::Result<()> {
    app.get_webview_window(LABEL)
        .map_or(Ok(()), |window| window.destroy())
}

/// What a PIN that is typed into it is typed on. Whatever is not surely Wayland counts as X11, where others can watch.
pub fn surface<R: Runtime>(app: &AppHandle<R>) -> Surface {
    let wayland = |window: WebviewWindow<R>| {
        let display = window.display_handle().map(|display| display.as_raw());
        matches!(display, Ok(RawDisplayHandle::Wayland(_)))
    };
    if app.get_webview_window(LABEL).is_some_and(wayland) {
        Surface::WaylandWindow
    } else {
        Surface::X11Window
    }
}
