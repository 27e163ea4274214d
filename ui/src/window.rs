//! The approval window itself: made when there is something to show, destroyed with its web view when
//! there is not. It loads the embedded page and can go nowhere else.

use holdfast_protocol::approval::Surface;
use holdfast_ui::state::Input;
use raw_window_handle::{HasDisplayHandle, RawDisplayHandle};
use tauri::webview::NewWindowResponse;
use tauri::{
    AppHandle, Runtime, WebviewUrl, WebviewWindow, WebviewWindowBuilder, WindowEvent, Wry,
};

use crate::controller::Controls;

/// Whether a window is seen at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is, and to the front as far as the desktop lets it.
    AtOnce,
    /// Nobody sees it. What a first window costs (the libraries of toolkit and graphics, WebKit's network
    /// process) is paid before a question comes, and the question is on the screen in half the time.
    Not,
}

/// The window; it goes when it is told to.
pub struct Window<R: Runtime = Wry>(WebviewWindow<R>);

/// The label of the so-manyth window; `tauri.conf.json` grants commands to these. Each has its own, for a
/// destroyed one keeps its label until the toolkit comes round to it.
pub fn label(number: u32) -> String {
    format!("approval-{number}")
}

impl<R: Runtime> Window<R> {
    /// Makes one.
    pub fn make(
        app: &AppHandle<R>,
        controls: &Controls,
        number: u32,
        seen: Seen,
    ) -> tauri::Result<Self> {
        let page = WebviewUrl::App("index.html".into());
        // Not incognito: Tauri registers the page's scheme with one web context, once, and each incognito
        // window has a context of its own, so that the second would stay blank. The page stores nothing.
        let window = WebviewWindowBuilder::new(app, label(number), page)
            .title("Holdfast asks")
            .inner_size(620.0, 780.0)
            .min_inner_size(460.0, 480.0)
            .center()
            .always_on_top(true)
            .visible(seen == Seen::AtOnce)
            .focused(seen == Seen::AtOnce)
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
        Ok(Self(window))
    }

    /// Brings it to the front, as far as the desktop lets it.
    pub fn raise(&self) -> tauri::Result<()> {
        self.0.show()?;
        self.0.unminimize()?;
        self.0.set_focus()
    }

    /// Takes it down, and its web view with it.
    pub fn destroy(self) -> tauri::Result<()> {
        self.0.destroy()
    }

    /// What a PIN that is typed into it is typed on. Whatever is not surely Wayland counts as X11, where
    /// others can watch.
    pub fn surface(&self) -> Surface {
        let display = self.0.display_handle().map(|display| display.as_raw());
        if matches!(display, Ok(RawDisplayHandle::Wayland(_))) {
            Surface::WaylandWindow
        } else {
            Surface::X11Window
        }
    }
}
