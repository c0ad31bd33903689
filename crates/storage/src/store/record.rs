//! One WAL record: a batch as it was received.
//!
//! Layout, little-endian: version (1 byte), signal (1), length of the tenant (1), tenant,
//! length of the agent's id (2; 0 for no stamp), and with a stamp: agent id, epoch (8),
//! sequence (8), and in version 2 the offset (8) and error (8) of the agent's clock; then the
//! OTLP request in protobuf. Version 1 is for batches without a clock offset.

use bytes::Bytes;
use model::{ClockOffset, Signal, Tenant};

use crate::write::{Batch, Stamp};

const WITHOUT_CLOCK: u8 = 1;
const WITH_CLOCK: u8 = 2;

/// What precedes the request in the record.
pub(super) fn header(batch: &Batch) -> Vec<u8> {
    let tenant = batch.tenant.as_str().as_bytes();
    // Without an agent's id there is no stamp, hence no clock.
    let stamp = batch.stamp.as_ref().filter(|stamp| !stamp.agent.is_empty());
    let clock = stamp.and_then(|stamp| stamp.clock);
    let version = clock.map_or(WITHOUT_CLOCK, |_| WITH_CLOCK);
    let mut out = vec![version, batch.signal as u8];
    out.push(u8::try_from(tenant.len()).expect("tenant names have at most 64 bytes"));
    out.extend_from_slice(tenant);
    let Some(stamp) = stamp else {
        out.extend_from_slice(&[0, 0]);
        return out;
    };
    let agent = stamp.agent.as_bytes();
    let agent = &agent[..agent.len().min(usize::from(u16::MAX))];
    let length = u16::try_from(agent.len()).expect("cut to 16 bits just now");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(agent);
    out.extend_from_slice(&stamp.epoch.to_le_bytes());
    out.extend_from_slice(&stamp.sequence.to_le_bytes());
    if let Some(clock) = clock {
        out.extend_from_slice(&clock.offset_nano.to_le_bytes());
        out.extend_from_slice(&clock.error_nano.to_le_bytes());
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
    if !matches!(version, WITHOUT_CLOCK | WITH_CLOCK) {
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
        let clock = if version == WITH_CLOCK {
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
    Some(Batch {
        tenant,
        signal,
        request: record.slice(at..),
        stamp,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_both_versions_read_back() {
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
        for (stamp, version) in [
            (None, WITHOUT_CLOCK),
            (Some(stamp(None)), WITHOUT_CLOCK),
            (Some(stamp(Some(clock))), WITH_CLOCK),
        ] {
            let batch = Batch {
                tenant: Tenant::default(),
                signal: Signal::Logs,
                request: Bytes::from_static(b"request"),
                stamp,
            };
            let mut record = header(&batch);
            assert_eq!(record[0], version);
            record.extend_from_slice(&batch.request);
            let found = read(&record.clone().into()).unwrap();
            assert_eq!((found.tenant, found.signal), (batch.tenant, batch.signal));
            assert_eq!((found.request, found.stamp), (batch.request, batch.stamp));
            record[0] = WITH_CLOCK + 1;
            assert!(read(&record.into()).is_none());
        }
    }
}
