//! The answer to a push that did not happen, in git's own words, so that `git push` shows why.
//!
//! A `report-status` (gitprotocol-pack(5), "Report Status"). It must never say of a ref that it was
//! changed.

use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use super::super::body::Given;
use super::super::refusal::{REASON, Refusal, printable};
use super::push_head::{PushHead, Report};

/// The longest reason, in characters.
const MAX_REASON: usize = 300;

/// The most of a band's data in one line, in bytes; git takes 65515.
const MAX_BAND: usize = 60_000;

/// The answer that rejects every ref of `head`; absent if the client does not want to be told.
pub(super) fn rejects(head: &PushHead, refusal: &Refusal) -> Option<Response<Given>> {
    let reason = printable(refusal.words(), MAX_REASON);
    let body = match head.report {
        Report::None => return None,
        Report::Plain => status(head, &reason),
        Report::SideBand => banded(&status(head, &reason), &reason),
    };
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
    let mut response = Response::new(Given::new(body));
    let fields = response.headers_mut();
    fields.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-git-receive-pack-result"),
    );
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    fields.insert(REASON, HeaderValue::from_static(refusal.name()));
    Some(response)
}

fn status(head: &PushHead, reason: &str) -> Vec<u8> {
    let mut report = line(b"unpack ok\n");
    for command in &head.commands {
        let rejected = format!("ng {} holdfast: {reason}\n", command.name);
        report.extend(line(rejected.as_bytes()));
    }
    report.extend(FLUSH);
    report
}

fn banded(report: &[u8], reason: &str) -> Vec<u8> {
    let mut bands = line(format!("\u{2}holdfast: {reason}\n").as_bytes());
    for part in report.chunks(MAX_BAND) {
        let mut data = vec![1];
        data.extend_from_slice(part);
        bands.extend(line(&data));
    }
    bands.extend(FLUSH);
    bands
}

const FLUSH: &[u8] = b"0000";

/// One line (gitprotocol-common(5), "pkt-line Format"); its callers keep it short enough.
fn line(data: &[u8]) -> Vec<u8> {
    let mut line = format!("{:04x}", data.len().saturating_add(4)).into_bytes();
    line.extend_from_slice(data);
    line
}
