//! tpm2-tools as an independent witness: what they see of a TPM was not read by code of this project.
//!
//! It must never fall back to a TPM of the machine: the TCTI is always named.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A way to run tpm2-tools against one TPM. Context files are relative to `folder`.
#[derive(Clone, Debug)]
pub struct Tools {
    tcti: String,
    folder: PathBuf,
}

impl Tools {
    /// Tools for the TPM that `tcti` names, working in `folder`.
    pub fn new(tcti: String, folder: PathBuf) -> Self {
        Self { tcti, folder }
    }

    /// Runs `tpm2_<tool>`; its output.
    ///
    /// # Panics
    /// When the tool is not installed or refuses; its own words are in the message.
    pub fn run<A: AsRef<OsStr>>(&self, tool: &str, args: impl IntoIterator<Item = A>) -> Vec<u8> {
        let output = self.attempt(tool, args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "tpm2_{tool}: {}\n{stderr}",
            output.status
        );
        output.stdout
    }

    /// As [`Tools::run`], for output that is text.
    ///
    /// # Panics
    /// As [`Tools::run`], and when the output is not UTF-8.
    pub fn text<A: AsRef<OsStr>>(&self, tool: &str, args: impl IntoIterator<Item = A>) -> String {
        String::from_utf8(self.run(tool, args)).expect("text from a tool")
    }

    /// Runs `tpm2_<tool>` and leaves the judgement of its exit to the caller.
    ///
    /// # Panics
    /// When the tool is not installed.
    pub fn attempt<A: AsRef<OsStr>>(
        &self,
        tool: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Output {
        Command::new(format!("tpm2_{tool}"))
            .args(args)
            .env("TPM2TOOLS_TCTI", &self.tcti)
            // A private tpm2-tss that the test runner put in the loader's way is not the tools' own.
            .env_remove("LD_LIBRARY_PATH")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|e| panic!("run tpm2_{tool} (tpm2-tools): {e}"))
    }
}
