//! A sink of rows for tests of decoders alone.

use model::room::{Budget, NoRoom, Room};
use model::row::{LogRef, MetricRef, PointRef, Reject, ResourceRef, RowSink, ScopeRef, SpanRef};

/// Keeps no rows: what it is asked for are the decoder's own lists.
#[derive(Debug)]
pub struct NoRows {
    /// What the decoder may still take, and what it took.
    pub room: Room,
}

impl NoRows {
    /// A sink whose decoder may take so many bytes.
    pub fn within(bytes: usize) -> Self {
        let room = std::sync::Arc::new(Budget::new(bytes)).room(bytes);
        Self { room }
    }
}

impl RowSink for NoRows {
    fn room(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.room.take(bytes)
    }
    fn resource(&mut self, _: &ResourceRef<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
    fn scope(&mut self, _: &ScopeRef<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
    fn span(&mut self, _: &SpanRef<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
    fn log(&mut self, _: &LogRef<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
    fn metric(&mut self, _: &MetricRef<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
    fn point(&mut self, _: &PointRef<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
    fn reject(&mut self, _: Reject, _: u64) {}
}
