//! The series that points belong to.

use std::sync::Arc;

use model::Metric;
use model::room::NoRoom;
use model::row::Reject;
use model::value::KeyValueRef;

use super::super::shared;
use super::{ChunkSink, index32};
use crate::points::{Entry, SeriesEntry, series_id};

/// Where series of requests come from, and who decides whether their points are taken.
pub(crate) trait SeriesGate {
    /// Whether a zero is to be stored where a counter says that it began, before its point: when that
    /// was, and the time of the point. `place` is that of the zero among all points so far.
    fn begins(&mut self, _place: u32, _id: u128, _times: (u64, u64)) -> bool {
        false
    }
    /// A series that was let in before, of which points have come again.
    fn known(&mut self, id: u128) -> Option<Arc<SeriesEntry>>;
    /// Lets in a series that is not known, with these attributes, or says why not.
    fn admit(
        &mut self,
        entry: SeriesEntry,
        attributes: &[KeyValueRef<'_>],
    ) -> Result<Arc<SeriesEntry>, Reject>;
}

impl ChunkSink<'_> {
    /// The series of a point, or why it was refused.
    pub(super) fn series(
        &mut self,
        metric: &Arc<Entry<Metric>>,
        attributes: &[KeyValueRef<'_>],
    ) -> Result<Result<u32, Reject>, NoRoom> {
        let nested = self.unfolded(attributes)?;
        self.scratch.clear();
        shared::put_attributes(&mut self.scratch, attributes);
        self.room.give_back(nested);
        let resource = &self.chunk.resources[self.resource as usize];
        let scope = &self.chunk.scopes[self.scope as usize];
        let id = series_id(&self.scratch, resource.hash, scope.hash, metric.hash);
        if let Some(index) = self.series.get(&id) {
            return Ok(*index);
        }
        if self.series.len() == self.series.capacity() {
            // A map doubles, and has an eighth of its places free.
            let places = (2 * self.series.len()).max(4);
            self.room
                .take(places * size_of::<(u128, Result<u32, Reject>)>())?;
        }
        let entry = match self.gate.known(id) {
            Some(entry) => entry,
            None => {
                let encoded = &self.scratch;
                let entry = shared::series(resource, scope, metric, encoded, id, self.room)?;
                let bytes = entry.bytes;
                match self.gate.admit(entry, attributes) {
                    Ok(entry) => {
                        self.chunk.series_bytes += bytes;
                        entry
                    }
                    Err(reason) => {
                        self.room.give_back(bytes);
                        self.series.insert(id, Err(reason));
                        return Ok(Err(reason));
                    }
                }
            }
        };
        let index = index32(self.chunk.series.len());
        self.chunk.series.push(entry);
        self.series.insert(id, Ok(index));
        Ok(Ok(index))
    }
}
