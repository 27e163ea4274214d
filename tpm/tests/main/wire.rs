//! The bus between the software stack and the TPM: listened to, and tampered with.

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use holdfast_tpm::{SwtpmAddress, Transport};

use crate::swtpm::Swtpm;

/// A command and its response, as they passed.
pub struct Passed {
    pub command: Vec<u8>,
    pub response: Vec<u8>,
}

/// What changes a response on its way, or sends the TPM a command of its own.
type Tamper = Box<dyn FnMut(&mut Passed, &mut UnixStream) + Send>;

pub struct Wire {
    path: PathBuf,
    passed: Arc<Mutex<Vec<Passed>>>,
}

impl Passed {
    pub fn code(&self) -> u32 {
        u32::from_be_bytes(self.command[6..10].try_into().unwrap())
    }

    pub fn contains(&self, secret: &[u8]) -> bool {
        [&self.command, &self.response]
            .iter()
            .any(|bytes| bytes.windows(secret.len()).any(|window| window == secret))
    }
}

impl Wire {
    pub fn listen(swtpm: &Swtpm) -> Self {
        Self::tamper(swtpm, Box::new(|_, _| {}))
    }

    pub fn tamper(swtpm: &Swtpm, mut tamper: Tamper) -> Self {
        let path = swtpm.folder().join("wire");
        symlink(
            swtpm.folder().join("tpm.ctrl"),
            swtpm.folder().join("wire.ctrl"),
        )
        .unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let passed = Arc::new(Mutex::new(Vec::new()));
        let (tpm, kept) = (swtpm.socket(), Arc::clone(&passed));
        std::thread::spawn(move || {
            // One connection at a time, as the TPM takes them.
            for client in listener.incoming() {
                let (mut client, mut tpm) = (client.unwrap(), UnixStream::connect(&tpm).unwrap());
                while let Some(command) = message(&mut client) {
                    tpm.write_all(&command).unwrap();
                    let response = message(&mut tpm).unwrap();
                    let mut passed = Passed { command, response };
                    tamper(&mut passed, &mut tpm);
                    let response = passed.response.clone();
                    kept.lock().unwrap().push(passed);
                    client.write_all(&response).unwrap();
                }
            }
        });
        Self { path, passed }
    }

    pub fn transport(&self) -> Transport {
        Transport::Swtpm(SwtpmAddress::Unix(self.path.clone()))
    }

    /// What passed since it was last asked.
    pub fn take(&self) -> Vec<Passed> {
        std::mem::take(&mut *self.passed.lock().unwrap())
    }
}

/// Sends a command that is not the client's, and gives its response code.
pub fn inject(tpm: &mut UnixStream, command: &[u8]) -> u32 {
    tpm.write_all(command).unwrap();
    let response = message(tpm).unwrap();
    u32::from_be_bytes(response[6..10].try_into().unwrap())
}

/// A command or response: its size is in bytes 2 to 5.
fn message(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 10];
    stream.read_exact(&mut bytes).ok()?;
    let size = u32::from_be_bytes(bytes[2..6].try_into().unwrap());
    bytes.resize(size.try_into().unwrap(), 0);
    stream.read_exact(&mut bytes[10..]).ok()?;
    Some(bytes)
}
