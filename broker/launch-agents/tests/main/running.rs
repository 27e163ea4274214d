//! Running a program in a session and reading what it says.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use holdfast_launch_agents::task::{Begun, SessionError};
use holdfast_launch_agents::{Ending, Stdio, Tree};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::host::Host;
use crate::human::{HUMAN, connection};

pub struct Running {
    pub begun: Begun,
    pub input: Option<File>,
    pub output: File,
    pub errors: File,
}

pub struct Output {
    pub ending: Ending,
    pub stdout: String,
    pub stderr: String,
}

impl Host {
    /// Starts a shell with this script.
    pub async fn start(&self, script: &str) -> Running {
        self.start_program(Path::new("/bin/sh"), &["-c", script], HUMAN)
            .await
            .unwrap()
    }

    pub async fn start_program(
        &self,
        program: &Path,
        arguments: &[&str],
        human: u32,
    ) -> Result<Running, SessionError> {
        let (stdio, input, output, errors) = pipes();
        let prepared = self.prepare(program, arguments, stdio, human).await?;
        Ok(Running {
            begun: prepared.begin()?,
            input: Some(input),
            output,
            errors,
        })
    }

    /// Runs a shell with this script to its end.
    pub async fn run(&mut self, script: &str) -> Output {
        let running = self.start(script).await;
        self.finish(running, "").await
    }

    /// Runs a shell with this script and these trees to its end.
    pub async fn run_with(&mut self, script: &str, trees: Vec<Tree>) -> Output {
        let (stdio, input, output, errors) = pipes();
        let (shell, human) = (Path::new("/bin/sh"), connection(HUMAN));
        let prepared = self
            .prepare_with(shell, &["-c", script], stdio, human, HUMAN, trees)
            .await
            .unwrap();
        let running = Running {
            begun: prepared.begin().unwrap(),
            input: Some(input),
            output,
            errors,
        };
        self.finish(running, "").await
    }

    /// Feeds a program, closes its input, reads all that it says.
    pub async fn finish(&mut self, mut running: Running, input: &str) -> Output {
        let mut writer = running.input.take().unwrap();
        let input = input.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            writer.write_all(input.as_bytes()).unwrap();
            drop(writer);
            let (mut stdout, mut stderr) = (String::new(), String::new());
            running.output.read_to_string(&mut stdout).unwrap();
            running.errors.read_to_string(&mut stderr).unwrap();
            (stdout, stderr)
        });
        let read = tokio::time::timeout(Duration::from_secs(20), read);
        let (stdout, stderr) = read.await.expect("output ends").unwrap();
        let ended = self.next_ended().await;
        assert_eq!(ended.id, running.begun.id);
        Output {
            ending: ended.ending,
            stdout,
            stderr,
        }
    }
}

pub fn pipes() -> (Stdio, File, File, File) {
    let pair = || -> (OwnedFd, OwnedFd) { pipe_with(PipeFlags::CLOEXEC).unwrap() };
    let (inner_input, input) = pair();
    let (output, inner_output) = pair();
    let (errors, inner_errors) = pair();
    let stdio = Stdio::Pipes {
        input: inner_input,
        output: inner_output,
        errors: inner_errors,
    };
    (stdio, input.into(), output.into(), errors.into())
}
