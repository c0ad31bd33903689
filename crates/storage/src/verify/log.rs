//! The log from the checkpoint on.

use journal::Item;
use model::correlation::CorrelationKeys;
use model::row::Decode;

use super::{Finding, Report, Severity};
use crate::folder::{FolderError, chunk_of};
use crate::store::{Logged, read_record};

/// Reads every record, and decodes what it holds.
pub(super) fn check(
    log: journal::Log,
    decoder: &dyn Decode,
    report: &mut Report,
) -> Result<(), FolderError> {
    report.checked.bytes += log.bytes();
    let keys = CorrelationKeys::default();
    let file = |segment: u64| format!("wal/{segment:020}.seg");
    log.each(&mut |item| {
        let (severity, segment, what, costs) = match item {
            Item::Record { position, payload } => {
                let record = match read_record(&payload) {
                    Some(Logged::Batch(record)) => Ok(record),
                    Some(Logged::Checkpoint(_)) => return true,
                    None => Err("it is not a batch".to_owned()),
                };
                report.checked.wal_records += 1;
                match record.and_then(|record| chunk_of(&record, &keys, decoder)) {
                    Ok(chunk) => {
                        report.checked.wal_rows += chunk.rows() as u64;
                        return true;
                    }
                    Err(error) => (
                        Severity::Loss,
                        position.segment,
                        format!("record at {}: {error}", position.offset),
                        "the rows of one request".to_owned(),
                    ),
                }
            }
            Item::Damaged { segment, from, to } => (
                Severity::Loss,
                segment,
                format!("bytes {from} to {to} do not have their checksums"),
                format!("the rows of requests in {} bytes", to - from),
            ),
            Item::Torn {
                segment,
                from,
                bytes,
            } => (
                Severity::Note,
                segment,
                format!("{bytes} bytes from {from} on are a write that is not whole"),
                "nothing that was acknowledged, unless the disk has lost it".to_owned(),
            ),
            Item::Unreadable { segment, bytes } => (
                Severity::Loss,
                segment,
                "neither copy of its header reads".to_owned(),
                format!("the rows of requests in {bytes} bytes; the next start sets it aside"),
            ),
            Item::Missing { after, segments } => (
                Severity::Loss,
                after,
                format!("{segments} segments after it are missing"),
                "the rows of the requests in them".to_owned(),
            ),
        };
        report.add(Finding {
            severity,
            file: file(segment),
            block: None,
            what,
            costs,
        });
        true
    })?;
    Ok(())
}
