//! Clock offsets as columns: absent where no row has one, constant where one agent sent all.

use std::sync::Arc;

use model::ClockOffset;

use super::encode::{RowRef, ints, uints};
use super::table::BlockTable;
use crate::block::{BlockWriter, Kind};
use crate::chunk::Chunk;
use crate::table::Damage;

const OFFSET: &str = "clock.offset";
/// Holds the error plus 1; 0 says that the offset was not measured.
const ERROR: &str = "clock.error";

/// Writes the offsets of the rows.
pub(super) fn encode(chunks: &[Arc<Chunk>], rows: &[RowRef], writer: &mut BlockWriter) {
    if chunks.iter().all(|chunk| chunk.clocks.is_empty()) {
        return;
    }
    let (mut offsets, mut errors) = (Vec::new(), Vec::new());
    for at in rows {
        let (chunk, row) = at.of(chunks);
        let clock = chunk.clocks.of(row);
        offsets.push(clock.map_or(0, |clock| clock.offset_nano));
        // Errors of 584 years need not be told apart.
        errors.push(clock.map_or(0, |clock| clock.error_nano.saturating_add(1)));
    }
    ints(writer, OFFSET, offsets);
    uints(writer, ERROR, errors);
}

/// The offsets of a block's rows.
pub(super) struct ClockColumns(Option<(Vec<i64>, Vec<u64>)>);

impl ClockColumns {
    /// The offset of a row.
    pub(super) fn of(&self, row: usize) -> Option<ClockOffset> {
        let (offsets, errors) = self.0.as_ref()?;
        Some(ClockOffset {
            offset_nano: offsets[row],
            error_nano: errors[row].checked_sub(1)?,
        })
    }
}

impl BlockTable {
    /// How far the senders' clocks were off.
    pub(super) fn clocks(&self) -> Result<ClockColumns, Damage> {
        let measured = self.reader.has(ERROR, Kind::UInt);
        let columns = measured.then(|| Ok((self.ints(OFFSET)?, self.uints(ERROR)?)));
        Ok(ClockColumns(columns.transpose()?))
    }

    /// How far the senders' clocks of some rows were off.
    pub(super) fn clocks_at(&self, rows: &[usize]) -> Result<Vec<Option<ClockOffset>>, Damage> {
        if !self.reader.has(ERROR, Kind::UInt) {
            return Ok(vec![None; rows.len()]);
        }
        let offsets = self.ints_at(OFFSET, rows)?.into_iter();
        let measured = |(offset_nano, error): (i64, u64)| {
            let error_nano = error.checked_sub(1)?;
            Some(ClockOffset {
                offset_nano,
                error_nano,
            })
        };
        Ok(offsets
            .zip(self.uints_at(ERROR, rows)?)
            .map(measured)
            .collect())
    }
}
