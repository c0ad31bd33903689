//! Spans that were stored before a start and whose counts were not written: shown once more.
//!
//! Each write of counts says in its record up to which position it covers the spans of its tenant,
//! and before which position the counts of all tenants were written when it was made. What comes
//! after both was not counted, so each span is counted once, whenever the process was killed. The log
//! has the records of these writes as long as it has spans that they cover, since they come after them.

use std::collections::HashMap;

use journal::{Position, Tail};
use model::room::Room;
use model::{Signal, Tenant};

use super::Core;
use super::record::{self, Logged, Record};
use super::recover::Again;
use crate::write::{Mark, Observe};

/// Up to where counts were written.
#[derive(Default)]
struct Written {
    /// Of all tenants.
    all: Position,
    tenants: HashMap<Tenant, Position>,
}

impl Written {
    /// What the log says of it.
    fn read(log: &Tail) -> Self {
        let mut written = Self::default();
        each(log, Position::START, &mut |record, _, _| {
            let Some(covers) = record.covers else {
                return;
            };
            written.all = written.all.max(covers.all);
            let tenant = written.tenants.entry(record.batch.tenant).or_default();
            *tenant = covers.tenant.max(*tenant);
        });
        written
    }

    fn covers(&self, tenant: &Tenant, position: Position) -> bool {
        let own = self.tenants.get(tenant).copied().unwrap_or_default();
        position < own.max(self.all)
    }
}

/// Shows the batches that the log has from a position on, each with where it begins and ends.
fn each(log: &Tail, from: Position, see: &mut dyn FnMut(Record, Position, Position)) {
    for item in log.read_from(from) {
        let item = match item {
            Ok(item) => item,
            Err(error) => {
                tracing::error!(%error, "spans in the rest of the log are not counted");
                return;
            }
        };
        // What is no record was counted and named when the log was replayed.
        if let Some(Logged::Batch(record)) = record::read_any(&item.payload) {
            see(*record, item.position, item.next);
        }
    }
}

/// Shows the spans that were not counted, and notes from where on the log has to be kept for them.
pub(super) fn recount(core: &Core, observer: &mut dyn Observe) {
    let Some(log) = core.wal.get() else {
        return;
    };
    let written = Written::read(log);
    let wanted = observer.attributes();
    let mut spans_end = Position::START;
    each(log, written.all, &mut |record, begin, next| {
        let Record {
            batch,
            received_unix_nano: received,
            ..
        } = record;
        if batch.signal != Signal::Traces || written.covers(&batch.tenant, begin) {
            return;
        }
        let (mut gate, mut room) = (Again::new(&[], &[]), Room::unlimited());
        let chunk = core.decode(&batch, &mut gate, &mut room, received.unwrap_or(0));
        if let Ok(chunk) = chunk {
            spans_end = next;
            observer.spans(Mark(next), &mut |see| {
                chunk.show_spans(&batch.tenant, &wanted, see)
            });
        }
    });
    core.counting.found(written.all, spans_end);
    observer.spans(Mark(log.synced_end()), &mut |_| {});
}
