//! Reads entries from the queue's journal, a few at a time, on a thread that may block.

use journal::{JournalError, Position, Reader};

use crate::queue::{Sealed, record};

/// Records read from the journal at once.
const READ_RECORDS: usize = 32;

/// Each record's entries and the position after it.
pub(super) type ReadRecords = Vec<(Position, Vec<Sealed>)>;

/// Reads what is for a destination until enough entries or bytes are there. The result says whether
/// the end was reached.
pub(super) fn read_some(
    mut reader: Reader,
    destination: u64,
    entries_max: usize,
    bytes_max: usize,
) -> (Reader, ReadRecords, Result<bool, JournalError>) {
    let (mut records, mut entries, mut bytes) = (Vec::new(), 0, 0);
    while entries < entries_max
        && (entries == 0 || bytes < bytes_max)
        && records.len() < READ_RECORDS
    {
        match reader.next() {
            None => return (reader, records, Ok(true)),
            Some(Err(error)) => return (reader, records, Err(error)),
            Some(Ok(found)) => {
                let record = record::decode(&found.payload).unwrap_or_default();
                let own = record.entries_for(destination);
                entries += own.len();
                bytes += own.iter().map(|entry| entry.request.len()).sum::<usize>();
                records.push((found.next, own));
            }
        }
    }
    (reader, records, Ok(false))
}
