//! What this process may inherit from whoever started it.
//!
//! Some variables make a toolkit load foreign code, let another program drive the window, or send
//! what it shows elsewhere. They are taken out before the toolkit starts, by starting this program
//! once more. It must never take out what a screen reader or an input method needs.

use std::ffi::{OsStr, OsString};

/// Whether another program may drive the window (WebDriver).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Automation {
    /// No; the rule.
    Refused,
    /// Yes: asked for, and the broker says that nothing here is hardware's.
    Allowed,
}

/// The variables that let WebDriver in.
const DRIVING: [&str; 3] = [
    "TAURI_WEBVIEW_AUTOMATION",
    "WEBKIT_INSPECTOR_SERVER",
    "WEBKIT_INSPECTOR_HTTP_SERVER",
];

/// The variables that load code into a GTK or WebKit process, or weaken one.
const FOREIGN: [&str; 17] = [
    "GCONV_PATH",
    "GDK_PIXBUF_MODULEDIR",
    "GDK_PIXBUF_MODULE_FILE",
    "GIO_EXTRA_MODULES",
    "GIO_MODULE_DIR",
    "GST_PLUGIN_PATH",
    "GTK3_MODULES",
    "GTK_DATA_PREFIX",
    "GTK_EXE_PREFIX",
    "GTK_MODULES",
    "GTK_PATH",
    "JSC_useInspector",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "WEBKIT_EXEC_PATH",
    "WEBKIT_INJECTED_BUNDLE_PATH",
];

/// Which of `present` are not to be inherited.
pub fn unwanted<'a>(
    present: impl IntoIterator<Item = &'a OsStr>,
    automation: Automation,
) -> Vec<OsString> {
    let drives = |name: &OsStr| DRIVING.iter().any(|driving| name == *driving);
    let foreign = |name: &OsStr| FOREIGN.iter().any(|foreign| name == *foreign);
    present
        .into_iter()
        .filter(|name| foreign(name) || (automation == Automation::Refused && drives(name)))
        .map(OsStr::to_os_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lets_others_in_is_taken_out() {
        let present = [
            "HOME",
            "LD_PRELOAD",
            "TAURI_WEBVIEW_AUTOMATION",
            "GTK_THEME",
            "GTK_MODULES",
        ];
        let out = |automation| unwanted(present.map(OsStr::new), automation);
        assert_eq!(
            out(Automation::Refused),
            ["LD_PRELOAD", "TAURI_WEBVIEW_AUTOMATION", "GTK_MODULES"]
        );
        assert_eq!(out(Automation::Allowed), ["LD_PRELOAD", "GTK_MODULES"]);
        assert!(unwanted([], Automation::Refused).is_empty());
    }
}
