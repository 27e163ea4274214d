//! TPM commands written by hand to the TPM's own socket (TPM 2.0 Library, Parts 2 and 3): what somebody sends who has
//! neither Holdfast nor a software stack in the way.
//!
//! Every authorization is a password: the same policies, without a line of the product's session code.

mod lease;

use std::io::{Read, Write};
use std::net::TcpStream;

use holdfast_hardware_tests::harness::Swtpm;
use holdfast_proof::hash::sha256;
use holdfast_proof::policy::{CommandCode, cp_hash};
use holdfast_proof::tpm::{NvPublic, Signature};
use holdfast_protocol::Sha256Digest;
use holdfast_tpm::{ApproverState, STORAGE_ROOT};

pub use lease::{Conditions, Stolen};

const OWNER: u32 = 0x4000_0001;
const NULL: u32 = 0x4000_0007;
/// TPM_RS_PW: the authorization is the value itself.
const PASSWORD: u32 = 0x4000_0009;

/// The value that the TPM knows a PIN by.
pub fn pin_auth(typed: &str) -> [u8; 32] {
    *sha256(format!("holdfast-pin-v1{typed}").as_bytes()).as_bytes()
}

/// A connection to the TPM, with nothing in between.
pub struct Straight(TcpStream);

impl Straight {
    pub fn open(tpm: &Swtpm) -> Self {
        Self(TcpStream::connect(tpm.ports().command()).unwrap())
    }

    /// Gives a PIN for the digest `bound`, and has the digest `signed` signed; the response code where that is refused.
    pub fn approve(
        &mut self,
        approver: &ApproverState,
        pin: &[u8],
        bound: Sha256Digest,
        signed: Sha256Digest,
    ) -> Result<Signature, u32> {
        let key = self.load(approver.key().private(), approver.public().as_bytes());
        let session = self.policy_session();
        let name = approver.public().name();
        let bound = cp_hash(CommandCode::SIGN, &[&name], &sign_parameters(bound));
        let result = self
            .policy_secret(approver.pin_index(), session, pin, &bound)
            .and_then(|()| self.policy_password(session))
            .and_then(|()| self.sign(key, session, pin, signed));
        self.flush(session);
        self.flush(key);
        result
    }

    /// Has a digest signed without giving the PIN to the index that counts: the key's own authorization alone.
    pub fn sign_without_index(
        &mut self,
        approver: &ApproverState,
        pin: &[u8],
        signed: Sha256Digest,
    ) -> Result<Signature, u32> {
        let key = self.load(approver.key().private(), approver.public().as_bytes());
        let session = self.policy_session();
        let result = self
            .policy_password(session)
            .and_then(|()| self.sign(key, session, pin, signed));
        self.flush(session);
        self.flush(key);
        result
    }

    /// TPM2_NV_Write of a PIN index by the owner, with an empty authorization.
    pub fn write_as_owner(&mut self, area: &NvPublic) -> Result<(), u32> {
        self.write(OWNER, area, b"")
    }

    /// TPM2_NV_Write of a PIN index by its own PIN.
    pub fn write_by_pin(&mut self, area: &NvPublic, pin: &[u8]) -> Result<(), u32> {
        self.write(area.index.handle(), area, pin)
    }

    fn write(&mut self, by: u32, area: &NvPublic, auth: &[u8]) -> Result<(), u32> {
        const NV_WRITE: u32 = 0x137;
        let mut parameters = sized(&[0, 0, 0, 0, 0, 0, 0, 9]);
        parameters.extend([0, 0]);
        let handles = [by, area.index.handle()];
        self.send(NV_WRITE, &handles, Some((PASSWORD, auth)), &parameters)
            .map(drop)
    }

    fn load(&mut self, private: &[u8], public: &[u8]) -> u32 {
        const LOAD: u32 = 0x157;
        let parameters = [sized(private), sized(public)].concat();
        let loaded = self
            .send(LOAD, &[STORAGE_ROOT], Some((PASSWORD, b"")), &parameters)
            .unwrap();
        handle(&loaded)
    }

    fn policy_session(&mut self) -> u32 {
        const START_AUTH_SESSION: u32 = 0x176;
        // TPM_SE_POLICY, no cipher, SHA-256.
        let mut parameters = sized(&[0x11; 16]);
        parameters.extend(sized(b""));
        parameters.extend([0x01, 0x00, 0x10, 0x00, 0x0b]);
        let started = self.send(START_AUTH_SESSION, &[NULL, NULL], None, &parameters);
        handle(&started.unwrap())
    }

    fn policy_secret(
        &mut self,
        index: &NvPublic,
        session: u32,
        pin: &[u8],
        bound: &Sha256Digest,
    ) -> Result<(), u32> {
        const POLICY_SECRET: u32 = 0x151;
        // No nonce, the cpHash, no policyRef, no expiration.
        let mut parameters = sized(b"");
        parameters.extend(sized(bound.as_bytes()));
        parameters.extend(sized(b""));
        parameters.extend([0; 4]);
        let handles = [index.index.handle(), session];
        self.send(POLICY_SECRET, &handles, Some((PASSWORD, pin)), &parameters)
            .map(drop)
    }

    /// The same policy digest as TPM2_PolicyAuthValue (Part 3 §23.18), and the value instead of a MAC of it.
    fn policy_password(&mut self, session: u32) -> Result<(), u32> {
        const POLICY_PASSWORD: u32 = 0x18c;
        self.send(POLICY_PASSWORD, &[session], None, &[]).map(drop)
    }

    fn sign(
        &mut self,
        key: u32,
        session: u32,
        pin: &[u8],
        digest: Sha256Digest,
    ) -> Result<Signature, u32> {
        const SIGN: u32 = 0x15d;
        let parameters = sign_parameters(digest);
        let answer = self.send(SIGN, &[key], Some((session, pin)), &parameters)?;
        let size = usize::try_from(handle(&answer)).unwrap();
        Ok(Signature::parse(&answer[4..4 + size]).unwrap())
    }

    fn flush(&mut self, handle: u32) {
        const FLUSH_CONTEXT: u32 = 0x165;
        let parameters = handle.to_be_bytes();
        self.send(FLUSH_CONTEXT, &[], None, &parameters).unwrap();
    }

    /// One command, with at most one authorization; what follows the header of its answer, or the response code.
    fn send(
        &mut self,
        code: u32,
        handles: &[u32],
        auth: Option<(u32, &[u8])>,
        parameters: &[u8],
    ) -> Result<Vec<u8>, u32> {
        let mut body = code.to_be_bytes().to_vec();
        body.extend(handles.iter().flat_map(|handle| handle.to_be_bytes()));
        if let Some((session, value)) = auth {
            // No nonce; continueSession, so that each session is flushed by name.
            let mut area = session.to_be_bytes().to_vec();
            area.extend([0, 0, 0x01]);
            area.extend(sized(value));
            body.extend(u32::try_from(area.len()).unwrap().to_be_bytes());
            body.extend(area);
        }
        body.extend(parameters);
        let tag: u16 = if auth.is_some() { 0x8002 } else { 0x8001 };
        let mut command = tag.to_be_bytes().to_vec();
        command.extend(u32::try_from(body.len() + 6).unwrap().to_be_bytes());
        command.extend(body);
        self.0.write_all(&command).unwrap();

        let mut header = [0; 10];
        self.0.read_exact(&mut header).unwrap();
        let size = usize::try_from(handle(&header[2..])).unwrap();
        let mut rest = vec![0; size - header.len()];
        self.0.read_exact(&mut rest).unwrap();
        match handle(&header[6..]) {
            0 => Ok(rest),
            refused => Err(refused),
        }
    }
}

/// TPM2_Sign's parameters: the digest, the key's own scheme, no ticket.
fn sign_parameters(digest: Sha256Digest) -> Vec<u8> {
    let mut parameters = sized(digest.as_bytes());
    parameters.extend([0x00, 0x10, 0x80, 0x24, 0x40, 0x00, 0x00, 0x07, 0x00, 0x00]);
    parameters
}

/// A TPM2B.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).unwrap();
    [&size.to_be_bytes(), bytes].concat()
}

/// The first four bytes.
fn handle(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}
