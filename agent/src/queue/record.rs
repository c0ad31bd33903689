//! What a journal record of the queue holds. All integers are little-endian.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | format version, 3 |
//! | 1 | number of entries: 0 (state alone), 1, or several (the pieces of a replaced entry) |
//! | 1 | 1 if these entries replace another one, else 0 |
//! | 16 | epoch and sequence of the replaced entry, or zeroes |
//! | 4 | length of the state updates |
//! | 4 | number of destinations that keep the replaced entry: these entries are not for them |
//! | per destination 8 | [`destination_code`] of its name |
//! | n | the updates, see [`super::state`] |
//! | per entry 50 | signal (1), rows (4), epoch (8), sequence (8), read time (8), request length (4), and of the collector's clock: 1 if its offset was measured, else 0 (1), offset (8), error (8) |
//! | m | the requests one after another |
//!
//! Versions 1 and 2 are read too: they name no destinations, and the entries of version 1 end with the
//! request length.

use bytes::Bytes;
use model::{ClockOffset, Signal};

use super::state::fnv1a;

const VERSION: u8 = 3;
const WITHOUT_DESTINATIONS: u8 = 2;
const WITHOUT_CLOCK: u8 = 1;
const HEAD_BYTES: usize = 27;
const HEAD_BYTES_WITHOUT_DESTINATIONS: usize = 23;
const ENTRY_BYTES: usize = 50;
const ENTRY_BYTES_WITHOUT_CLOCK: usize = 33;

/// What identifies an entry to a collector, beside the agent's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StampId {
    /// Grows when sequence numbers start over.
    pub epoch: u64,
    /// Grows by one with each entry of an epoch.
    pub sequence: u64,
}

/// An entry as it lies in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub stamp: StampId,
    pub signal: Signal,
    pub rows: u32,
    /// When its oldest content was read.
    pub read_unix_nano: u64,
    /// The collector's clock minus the agent's when the entry was written, if it was known.
    pub clock: Option<ClockOffset>,
    pub request: Bytes,
}

/// What the entries of a record stand in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaces {
    pub stamp: StampId,
    /// Destinations that keep the replaced entry, by their [`destination_code`]: those there were
    /// beside the one that it was too large for.
    pub kept_by: Vec<u64>,
}

/// A whole record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    pub entries: Vec<Sealed>,
    pub replaces: Option<Replaces>,
    /// Encoded state updates.
    pub updates: Bytes,
}

impl Record {
    /// What a destination is to be sent of it.
    pub fn entries_for(self, destination: u64) -> Vec<Sealed> {
        match self.replaces {
            Some(replaces) if replaces.kept_by.contains(&destination) => Vec::new(),
            _ => self.entries,
        }
    }
}

/// How records name a destination.
pub fn destination_code(name: &str) -> u64 {
    fnv1a(name.as_bytes())
}

/// The head of a record; updates and requests follow as parts of their own.
pub(super) struct Head {
    bytes: Vec<u8>,
}

impl Head {
    pub(super) fn new(entries: usize, replaces: Option<&Replaces>, updates: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.push(VERSION);
        bytes.push(u8::try_from(entries).expect("the writer bounds pieces to 255"));
        bytes.push(u8::from(replaces.is_some()));
        let (epoch, sequence) = replaces.map_or((0, 0), |replaces| {
            (replaces.stamp.epoch, replaces.stamp.sequence)
        });
        bytes.extend_from_slice(&epoch.to_le_bytes());
        bytes.extend_from_slice(&sequence.to_le_bytes());
        let updates = u32::try_from(updates).expect("the writer bounds state updates");
        bytes.extend_from_slice(&updates.to_le_bytes());
        let kept_by = replaces.map_or(&[][..], |replaces| &replaces.kept_by);
        let count = u32::try_from(kept_by.len()).expect("destinations fit into memory");
        bytes.extend_from_slice(&count.to_le_bytes());
        for code in kept_by {
            bytes.extend_from_slice(&code.to_le_bytes());
        }
        Self { bytes }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The fixed part of an entry.
pub(super) fn entry_head(
    stamp: StampId,
    signal: Signal,
    rows: u32,
    read_unix_nano: u64,
    length: usize,
    clock: Option<ClockOffset>,
) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[0] = signal as u8;
    bytes[1..5].copy_from_slice(&rows.to_le_bytes());
    bytes[5..13].copy_from_slice(&stamp.epoch.to_le_bytes());
    bytes[13..21].copy_from_slice(&stamp.sequence.to_le_bytes());
    bytes[21..29].copy_from_slice(&read_unix_nano.to_le_bytes());
    let length = u32::try_from(length).expect("the journal's records are below 4 GiB");
    bytes[29..33].copy_from_slice(&length.to_le_bytes());
    if let Some(clock) = clock {
        bytes[33] = 1;
        bytes[34..42].copy_from_slice(&clock.offset_nano.to_le_bytes());
        bytes[42..50].copy_from_slice(&clock.error_nano.to_le_bytes());
    }
    bytes
}

/// Reads a record; `None` if it is of another version or does not add up.
pub fn decode(payload: &Bytes) -> Option<Record> {
    let (head_bytes, entry_bytes) = match *payload.first()? {
        VERSION => (HEAD_BYTES, ENTRY_BYTES),
        WITHOUT_DESTINATIONS => (HEAD_BYTES_WITHOUT_DESTINATIONS, ENTRY_BYTES),
        WITHOUT_CLOCK => (HEAD_BYTES_WITHOUT_DESTINATIONS, ENTRY_BYTES_WITHOUT_CLOCK),
        _ => return None,
    };
    let head = payload.get(..head_bytes)?;
    let destinations = match head.len() {
        HEAD_BYTES => u32_at(head, 23) as usize,
        _ => 0,
    };
    let codes = payload
        .get(head_bytes..)?
        .get(..destinations.checked_mul(8)?)?;
    let count = usize::from(head[1]);
    let replaces = (head[2] == 1).then(|| Replaces {
        stamp: StampId {
            epoch: u64_at(head, 3),
            sequence: u64_at(head, 11),
        },
        kept_by: codes.chunks_exact(8).map(|code| u64_at(code, 0)).collect(),
    });
    let updates_start = head_bytes + codes.len();
    let updates_end = updates_start.checked_add(u32_at(head, 19) as usize)?;
    let requests_start = updates_end.checked_add(count * entry_bytes)?;
    let heads = payload.get(updates_end..requests_start)?;
    let updates = payload.slice(updates_start..updates_end);
    let mut at = requests_start;
    let mut entries = Vec::with_capacity(count);
    for head in heads.chunks_exact(entry_bytes) {
        let end = at.checked_add(u32_at(head, 29) as usize)?;
        if end > payload.len() {
            return None;
        }
        entries.push(Sealed {
            signal: Signal::from_code(head[0])?,
            rows: u32_at(head, 1),
            stamp: StampId {
                epoch: u64_at(head, 5),
                sequence: u64_at(head, 13),
            },
            read_unix_nano: u64_at(head, 21),
            clock: clock(head),
            request: payload.slice(at..end),
        });
        at = end;
    }
    (at == payload.len()).then_some(Record {
        entries,
        replaces,
        updates,
    })
}

/// The clock offset in an entry's fixed part.
fn clock(head: &[u8]) -> Option<ClockOffset> {
    (head.get(33) == Some(&1)).then(|| ClockOffset {
        offset_nano: u64_at(head, 34).cast_signed(),
        error_nano: u64_at(head, 42),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_all_versions_read_back() {
        let stamp = StampId {
            epoch: 3,
            sequence: 7,
        };
        let clock = ClockOffset {
            offset_nano: -3_000_000_000,
            error_nano: 40,
        };
        let replaces = |kept_by| Replaces {
            stamp: StampId {
                epoch: 2,
                sequence: 5,
            },
            kept_by,
        };
        let kept = replaces(vec![destination_code("b"), destination_code("c")]);
        let record = |version, head_bytes: usize, clock, entry_bytes: usize| {
            let mut bytes = Head::new(1, Some(&replaces(Vec::new())), 2)
                .bytes()
                .to_vec();
            bytes[0] = version;
            bytes.truncate(head_bytes);
            bytes.extend_from_slice(b"up");
            let entry = entry_head(stamp, Signal::Logs, 2, 99, 3, clock);
            bytes.extend_from_slice(&entry[..entry_bytes]);
            bytes.extend_from_slice(b"abc");
            Bytes::from(bytes)
        };
        let sealed = |clock| Sealed {
            stamp,
            signal: Signal::Logs,
            rows: 2,
            read_unix_nano: 99,
            clock,
            request: Bytes::from_static(b"abc"),
        };
        for (bytes, clock) in [
            (record(3, 27, None, 50), None),
            (record(3, 27, Some(clock), 50), Some(clock)),
            (record(2, 23, Some(clock), 50), Some(clock)),
            (record(1, 23, None, 33), None),
        ] {
            let read = decode(&bytes).unwrap();
            assert_eq!(read.entries, [sealed(clock)]);
            assert_eq!(read.replaces, Some(replaces(Vec::new())));
            assert_eq!(read.updates, b"up"[..]);
        }
        assert_eq!(decode(&record(VERSION + 1, 27, None, 50)), None);
        let mut named = Head::new(1, Some(&kept), 2).bytes().to_vec();
        named.extend_from_slice(&record(3, 27, None, 50)[27..]);
        let named = Bytes::from(named);
        let read = decode(&named).unwrap();
        assert_eq!(
            (&read.replaces, &read.updates[..]),
            (&Some(kept), &b"up"[..])
        );
        assert_eq!(
            read.clone().entries_for(destination_code("a")),
            [sealed(None)]
        );
        assert_eq!(read.entries_for(destination_code("b")), []);
        for length in 0..named.len() {
            assert_eq!(decode(&named.slice(..length)), None, "{length} bytes");
        }
    }
}
