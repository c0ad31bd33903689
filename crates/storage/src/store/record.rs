//! One WAL record: a batch as it was received.
//!
//! Layout, little-endian: version (1 byte), signal (1), length of the tenant (1), tenant,
//! length of the agent's id (2; 0 for no stamp), and with a stamp: agent id, epoch (8),
//! sequence (8), and with a clock offset the offset (8) and error (8) of the agent's clock. Then,
//! where series of the request were refused, how many (4) and for each its place (4) among the
//! distinct series of the request in the order of their first points; then, where what becomes of the
//! request depends on it (rows without a time or far ahead, points of metrics), when it was
//! received (8); then, where zeros went before its points, how many (4) and for each its place (4)
//! among all points that the request became; then, where it is not OTLP, its format (1); then, where the request is counts of
//! spans, up to which position in the log they cover the spans of the tenant (16), and those of all
//! tenants (16), each as segment and offset, most significant byte first; then the request.
//!
//! The version less one says in its bits what is there: 1 a clock offset, 2 refused series, 4 the
//! time of receipt, 8 the format, 16 what is covered, 32 zeros.
//!
//! A record that begins with 255 is no batch but the checkpoint that was written before it, as JSON:
//! for a start that finds none in its files ([`super::rebuild`]).

use bytes::Bytes;
use journal::Position;
use model::{ClockOffset, Format, Signal, Tenant};

use super::checkpoint::Checkpoint;
use crate::write::{Batch, Stamp};

/// The version of a record without any of them.
const PLAIN: u8 = 1;
/// Bits of the version less [`PLAIN`].
const WITH_CLOCK: u8 = 1;
const WITH_REFUSED: u8 = 2;
const WITH_RECEIVED: u8 = 4;
const WITH_FORMAT: u8 = 8;
const WITH_COVERS: u8 = 16;
const WITH_ZEROS: u8 = 32;
/// Begins a record that is a checkpoint.
const CHECKPOINT: u8 = u8::MAX;

/// What a record says.
#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    pub batch: Batch,
    /// Series of the request that were refused, by their order in it.
    pub refused_series: Vec<u32>,
    /// Which of the points that it became are zeros where counters began.
    pub zeros: Vec<u32>,
    /// When the request was received, where what becomes of it depends on that.
    pub received_unix_nano: Option<u64>,
    /// Of counts of spans: which ones they cover.
    pub covers: Option<Covers>,
}

/// Which spans are counted, by their positions in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Covers {
    /// Those of the tenant before this position.
    pub tenant: Position,
    /// Those of all tenants before this one.
    pub all: Position,
}

/// What precedes the request in the record.
pub(super) fn header(
    batch: &Batch,
    refused_series: &[u32],
    zeros: &[u32],
    received: Option<u64>,
    covers: Option<Covers>,
) -> Vec<u8> {
    let tenant = batch.tenant.as_str().as_bytes();
    // Without an agent's id there is no stamp, hence no clock.
    let stamp = batch.stamp.as_ref().filter(|stamp| !stamp.agent.is_empty());
    let clock = stamp.and_then(|stamp| stamp.clock);
    let mut parts = 0;
    if clock.is_some() {
        parts |= WITH_CLOCK;
    }
    if !refused_series.is_empty() {
        parts |= WITH_REFUSED;
    }
    if received.is_some() {
        parts |= WITH_RECEIVED;
    }
    if batch.format != Format::Otlp {
        parts |= WITH_FORMAT;
    }
    if covers.is_some() {
        parts |= WITH_COVERS;
    }
    if !zeros.is_empty() {
        parts |= WITH_ZEROS;
    }
    let mut out = vec![PLAIN + parts, batch.signal as u8];
    out.push(u8::try_from(tenant.len()).expect("tenant names have at most 64 bytes"));
    out.extend_from_slice(tenant);
    match stamp {
        Some(stamp) => put_stamp(stamp, &mut out),
        None => out.extend_from_slice(&[0, 0]),
    }
    put_places(refused_series, &mut out);
    if let Some(received) = received {
        out.extend_from_slice(&received.to_le_bytes());
    }
    put_places(zeros, &mut out);
    if batch.format != Format::Otlp {
        out.push(batch.format as u8);
    }
    if let Some(covers) = covers {
        out.extend_from_slice(&covers.tenant.to_bytes());
        out.extend_from_slice(&covers.all.to_bytes());
    }
    out
}

/// Nothing where there are none.
fn put_places(places: &[u32], out: &mut Vec<u8>) {
    if places.is_empty() {
        return;
    }
    let count = u32::try_from(places.len()).expect("a request has fewer points");
    out.extend_from_slice(&count.to_le_bytes());
    for place in places {
        out.extend_from_slice(&place.to_le_bytes());
    }
}

fn take_places<'r>(take: &mut impl FnMut(usize) -> Option<&'r [u8]>) -> Option<Vec<u32>> {
    let count = u32::from_le_bytes(take(4)?.try_into().ok()?);
    let places = take((count as usize).checked_mul(4)?)?.chunks_exact(4);
    let place = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?));
    places.map(place).collect()
}

fn put_stamp(stamp: &Stamp, out: &mut Vec<u8>) {
    let agent = stamp.agent.as_bytes();
    let agent = &agent[..agent.len().min(usize::from(u16::MAX))];
    let length = u16::try_from(agent.len()).expect("cut to 16 bits just now");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(agent);
    out.extend_from_slice(&stamp.epoch.to_le_bytes());
    out.extend_from_slice(&stamp.sequence.to_le_bytes());
    if let Some(clock) = stamp.clock {
        out.extend_from_slice(&clock.offset_nano.to_le_bytes());
        out.extend_from_slice(&clock.error_nano.to_le_bytes());
    }
}

/// What a record may be.
#[derive(Debug, PartialEq)]
pub(crate) enum Logged {
    Batch(Box<Record>),
    Checkpoint(Box<Checkpoint>),
}

/// The record of a checkpoint.
pub(super) fn checkpoint(checkpoint: &Checkpoint) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = vec![CHECKPOINT];
    serde_json::to_writer(&mut out, checkpoint)?;
    Ok(out)
}

/// Reads a record. Nothing if it is not one of ours.
pub(crate) fn read_any(record: &Bytes) -> Option<Logged> {
    if let [CHECKPOINT, json @ ..] = &record[..] {
        return Checkpoint::from_record(json).map(|it| Logged::Checkpoint(Box::new(it)));
    }
    read(record).map(|record| Logged::Batch(Box::new(record)))
}

/// Reads the record of a batch.
fn read(record: &Bytes) -> Option<Record> {
    let mut at = 0_usize;
    let mut take = |length: usize| {
        let part = record.get(at..at.checked_add(length)?)?;
        at += length;
        Some(part)
    };
    let [version, signal, tenant_length] = take(3)?.try_into().ok()?;
    let parts = version.checked_sub(PLAIN)?;
    let known = WITH_CLOCK | WITH_REFUSED | WITH_RECEIVED | WITH_FORMAT | WITH_COVERS | WITH_ZEROS;
    if parts > known {
        return None;
    }
    let signal = Signal::from_code(signal)?;
    let tenant = Tenant::new(std::str::from_utf8(take(usize::from(tenant_length))?).ok()?)?;
    let agent_length = u16::from_le_bytes(take(2)?.try_into().ok()?);
    let stamp = if agent_length > 0 {
        let agent = std::str::from_utf8(take(usize::from(agent_length))?)
            .ok()?
            .to_owned();
        let epoch = u64::from_le_bytes(take(8)?.try_into().ok()?);
        let sequence = u64::from_le_bytes(take(8)?.try_into().ok()?);
        let clock = if parts & WITH_CLOCK != 0 {
            Some(ClockOffset {
                offset_nano: i64::from_le_bytes(take(8)?.try_into().ok()?),
                error_nano: u64::from_le_bytes(take(8)?.try_into().ok()?),
            })
        } else {
            None
        };
        Some(Stamp {
            agent,
            epoch,
            sequence,
            sent_unix_nano: 0,
            complete_to_unix_nano: 0,
            clock,
        })
    } else {
        None
    };
    let refused_series = if parts & WITH_REFUSED != 0 {
        take_places(&mut take)?
    } else {
        Vec::new()
    };
    let received_unix_nano = if parts & WITH_RECEIVED != 0 {
        Some(u64::from_le_bytes(take(8)?.try_into().ok()?))
    } else {
        None
    };
    let zeros = if parts & WITH_ZEROS != 0 {
        take_places(&mut take)?
    } else {
        Vec::new()
    };
    let format = if parts & WITH_FORMAT != 0 {
        Format::from_code(take(1)?[0])?
    } else {
        Format::Otlp
    };
    let covers = if parts & WITH_COVERS != 0 {
        Some(Covers {
            tenant: Position::from_bytes(take(16)?.try_into().ok()?),
            all: Position::from_bytes(take(16)?.try_into().ok()?),
        })
    } else {
        None
    };
    let batch = Batch {
        tenant,
        signal,
        format,
        request: record.slice(at..),
        stamp,
    };
    Some(Record {
        batch,
        refused_series,
        zeros,
        received_unix_nano,
        covers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_all_versions_read_back() {
        let clock = ClockOffset {
            offset_nano: -3_000_000_000,
            error_nano: 40,
        };
        let stamp = |clock| Stamp {
            agent: "node-1".to_owned(),
            epoch: 3,
            sequence: 7,
            sent_unix_nano: 0,
            complete_to_unix_nano: 0,
            clock,
        };
        use Format::{Otlp, RemoteWrite1, RemoteWrite2};
        let position = |segment| Position { segment, offset: 7 };
        let covers = Covers {
            tenant: position(1 << 40),
            all: position(3),
        };
        for (stamp, refused, received, format, version) in [
            (None, vec![], None, Otlp, 1),
            (Some(stamp(None)), vec![], None, Otlp, 1),
            (Some(stamp(Some(clock))), vec![], None, Otlp, 2),
            (None, vec![0, 7], None, Otlp, 3),
            (Some(stamp(None)), vec![1], None, Otlp, 3),
            (Some(stamp(Some(clock))), vec![70_000], None, Otlp, 4),
            (None, vec![], Some(9), Otlp, 5),
            (Some(stamp(Some(clock))), vec![3], Some(1 << 60), Otlp, 8),
            (None, vec![], None, RemoteWrite1, 9),
            (Some(stamp(Some(clock))), vec![3], Some(9), RemoteWrite2, 16),
        ] {
            let batch = Batch {
                tenant: Tenant::default(),
                signal: Signal::Logs,
                format,
                request: Bytes::from_static(b"request"),
                stamp,
            };
            let mut expected = Record {
                batch: batch.clone(),
                refused_series: refused.clone(),
                zeros: Vec::new(),
                received_unix_nano: received,
                covers: None,
            };
            let mut record = Vec::new();
            for (covers, zeros, more) in [
                (Some(covers), vec![], 16),
                (Some(covers), vec![2], 48),
                (None, vec![0, 70_000], 32),
                (None, vec![], 0),
            ] {
                record = header(&batch, &refused, &zeros, received, covers);
                assert_eq!(record[0], version + more);
                record.extend_from_slice(&batch.request);
                expected.covers = covers;
                expected.zeros = zeros;
                assert_eq!(read(&record.clone().into()).as_ref(), Some(&expected));
            }
            for unknown in [0, 65] {
                record[0] = unknown;
                assert!(read(&record.clone().into()).is_none());
            }
        }
    }
}
