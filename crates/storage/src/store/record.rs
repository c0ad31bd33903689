//! One WAL record: a batch as it was received.
//!
//! Layout, little-endian: version (1 byte, 1), signal (1), length of the tenant (1), tenant,
//! length of the agent's id (2; 0 for no stamp), and with a stamp: agent id, epoch (8),
//! sequence (8); then the OTLP request in protobuf.

use bytes::Bytes;
use model::{Signal, Tenant};

use crate::write::{Batch, Stamp};

const VERSION: u8 = 1;

/// What precedes the request in the record.
pub(super) fn header(batch: &Batch) -> Vec<u8> {
    let tenant = batch.tenant.as_str().as_bytes();
    let mut out = vec![VERSION, batch.signal as u8];
    out.push(u8::try_from(tenant.len()).expect("tenant names have at most 64 bytes"));
    out.extend_from_slice(tenant);
    let Some(stamp) = &batch.stamp else {
        out.extend_from_slice(&[0, 0]);
        return out;
    };
    let agent = stamp.agent.as_bytes();
    let agent = &agent[..agent.len().min(usize::from(u16::MAX))];
    let length = u16::try_from(agent.len()).expect("cut to 16 bits just now");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(agent);
    if length > 0 {
        out.extend_from_slice(&stamp.epoch.to_le_bytes());
        out.extend_from_slice(&stamp.sequence.to_le_bytes());
    }
    out
}

/// Reads a record; nothing if it is not one of ours.
pub(super) fn read(record: &Bytes) -> Option<Batch> {
    let mut at = 0;
    let mut take = |length: usize| {
        let part = record.get(at..at + length)?;
        at += length;
        Some(part)
    };
    let [version, signal, tenant_length] = take(3)?.try_into().ok()?;
    if version != VERSION {
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
        Some(Stamp {
            agent,
            epoch,
            sequence,
            sent_unix_nano: 0,
            complete_to_unix_nano: 0,
        })
    } else {
        None
    };
    Some(Batch {
        tenant,
        signal,
        request: record.slice(at..),
        stamp,
    })
}
