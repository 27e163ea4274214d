//! `holdfast audit`: tail, show, verify, checkpoint, export.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use holdfast_protocol::management::{AuditRecord, Request, Response};

use super::{print_line, receipts, show};
use crate::args::{Args, Audit, Export};
use crate::client::{ask, unexpected};
use crate::outcome::Problem;
use crate::render;

/// Records asked for at a time; the broker sends as many of them as fit a frame.
const PAGE: u32 = 500;

/// Runs one of the audit commands.
pub fn run(args: &Args, command: &Audit) -> Result<(), Problem> {
    match command {
        Audit::Tail { count } => tail(args, *count),
        Audit::Show { index } => show_one(args, *index),
        Audit::Verify => verify(args),
        Audit::VerifyReceipt { from, key } => receipts::run(args, from, key.as_deref()),
        Audit::Checkpoint => checkpoint(args),
        Audit::Export(export) => write_ocsf(args, export),
    }
}

fn tail(args: &Args, count: u32) -> Result<(), Problem> {
    let Response::Records(records) = ask(&args.socket, &Request::AuditTail { count })? else {
        return Err(unexpected());
    };
    show(args, &records, render::records(&records).trim_end())
}

fn show_one(args: &Args, index: u64) -> Result<(), Problem> {
    let record = page(args, index, 1)?.into_iter().next().ok_or_else(|| {
        Problem::usage(
            format!("the log has no record {index}"),
            "`holdfast audit tail` shows which there are",
        )
    })?;
    show(args, &record, &render::record(&record))
}

fn verify(args: &Args) -> Result<(), Problem> {
    let Response::Verified(report) = ask(&args.socket, &Request::AuditVerify)? else {
        return Err(unexpected());
    };
    show(args, &report, &render::report(&report))?;
    if report.findings.is_empty() {
        return Ok(());
    }
    Err(Problem::failed(
        "the audit log does not verify",
        "keep the state folder as it is for an investigation; do not restart with a copy",
    ))
}

fn checkpoint(args: &Args) -> Result<(), Problem> {
    let Response::Checkpointed(head) = ask(&args.socket, &Request::AuditCheckpoint)? else {
        return Err(unexpected());
    };
    show(args, &head, &render::head(&head))
}

fn write_ocsf(args: &Args, export: &Export) -> Result<(), Problem> {
    if export.ocsf == Path::new("-") {
        return each_record(args, export.from, |record| print_line(&record.json));
    }
    let failed = |error: std::io::Error| {
        Problem::failed(
            format!("`{}` cannot be written: {error}", export.ocsf.display()),
            "name a file that you may write",
        )
    };
    let mut out = BufWriter::new(File::create(&export.ocsf).map_err(failed)?);
    let mut written = 0_u64;
    each_record(args, export.from, |record| {
        written += 1;
        writeln!(out, "{}", record.json).map_err(failed)
    })?;
    out.flush().map_err(failed)?;
    eprintln!(
        "{} written to {}",
        render::counted(written),
        export.ocsf.display()
    );
    Ok(())
}

/// Every record from an index on, in order.
pub(super) fn each_record(
    args: &Args,
    mut from: u64,
    mut take: impl FnMut(AuditRecord) -> Result<(), Problem>,
) -> Result<(), Problem> {
    loop {
        let records = page(args, from, PAGE)?;
        if records.is_empty() {
            return Ok(());
        }
        for record in records {
            from = record.index.saturating_add(1);
            take(record)?;
        }
    }
}

fn page(args: &Args, from: u64, count: u32) -> Result<Vec<AuditRecord>, Problem> {
    let Response::Records(records) = ask(&args.socket, &Request::AuditRecords { from, count })?
    else {
        return Err(unexpected());
    };
    Ok(records)
}
