//! `holdfast-ui`: the approval window and the tray.
//!
//! It displays and collects, and decides nothing: no click here proves a human. It must never hold a
//! PIN longer than it takes to send it, and never let the page do more than `commands` has.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod controller;
mod start;
mod tray;
mod window;

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use tauri::RunEvent;
use tracing_subscriber::EnvFilter;

use crate::args::Args;
use crate::controller::Controls;

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_from_env("HOLDFAST_UI_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(&args) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("holdfast-ui: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Two threads of work at most, in a program that waits nearly always.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let ready = match runtime.block_on(start::prepare(args))? {
        start::Prepared::Go(ready) => ready,
        start::Prepared::NothingWaits => {
            println!("Nothing waits for you.");
            return Ok(ExitCode::SUCCESS);
        }
    };
    // The toolkit panics where it cannot start; asked first, it only says so.
    if let Err(error) = gtk::init() {
        bail!(
            "the display cannot be opened: {error}
  next: check DISPLAY or WAYLAND_DISPLAY, or use `holdfast-approve` in a terminal"
        );
    }
    tauri::async_runtime::set(runtime.handle().clone());
    let (controls, inbox) = Controls::new();
    let for_setup = controls.clone();
    let app = tauri::Builder::default()
        .manage(controls)
        .invoke_handler(commands::handler())
        .setup(move |app| {
            let handle = app.handle().clone();
            tauri::async_runtime::spawn(controller::run(handle, ready, for_setup, inbox));
            Ok(())
        })
        .build(tauri::generate_context!())?;
    let code = app.run_return(|_, event| {
        // The window goes when its queue is empty; the program stays.
        if let RunEvent::ExitRequested {
            code: None, api, ..
        } = event
        {
            api.prevent_exit();
        }
    });
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
