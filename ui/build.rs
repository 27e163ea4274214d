//! Embeds the built front end, and makes every command deny-by-default: a window may call what
//! `tauri.conf.json` grants its label.

use std::path::Path;
use std::process::ExitCode;

/// The commands that exist; `src/commands.rs` has them.
const COMMANDS: &[&str] = &[
    "watch",
    "approve",
    "deny",
    "deny_and_pause",
    "next",
    "close",
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=dist");
    if !Path::new("dist/index.html").is_file() {
        println!(
            "cargo::error=the front end is not built: run `npm ci && npm run build` in ui/ first"
        );
        return ExitCode::FAILURE;
    }
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    let attributes = tauri_build::Attributes::new().app_manifest(manifest);
    match tauri_build::try_build(attributes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error:#}");
            ExitCode::FAILURE
        }
    }
}
