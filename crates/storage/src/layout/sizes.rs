//! How much memory reading takes, before it is taken.

use model::Signal;

use super::read::AttributeReader;
use super::rows::nested_of;
use super::table::BlockTable;
use crate::block::Kind;
use crate::table::{Cell, Damage, Mask};

/// Encoded bytes that become no more than a few megabytes however they are built: an empty member
/// of a list has two of them.
const SMALL: u64 = 256 << 10;

impl BlockTable {
    /// Bytes of the distinct texts and byte strings of all columns, and of the numbers of all rows:
    /// what decoding the whole block takes at most, roughly.
    pub(crate) fn decoded_bytes(&self) -> u64 {
        let texts = self.reader.text_bytes(|_| true);
        let numbers = self.reader.columns_len() as u64 * self.rows() as u64;
        texts.saturating_add(numbers.saturating_mul(8))
    }

    /// See [`crate::table::Table::nested_bytes`].
    pub(super) fn nested_bytes_of(&self, rows: &[usize]) -> Result<usize, Damage> {
        let nested = |name: &str| {
            let kinds = [".x:", ".a:", ".k:"];
            name == "body.bytes" || kinds.iter().any(|kind| name.contains(kind))
        };
        if self.signal == Signal::Metrics || self.reader.text_bytes(nested) <= SMALL {
            return Ok(0);
        }
        let mut bytes = self.attributes()?.nested_bytes(&self.reader, rows)?;
        if self.reader.has("body.bytes", Kind::Bytes) {
            let mut mask = Mask::none(self.rows());
            rows.iter().for_each(|row| mask.set(*row));
            for pick in self.body_picks()? {
                pick.visit(&mask, &mut |_, cell| {
                    if let Cell::Value(value) = cell {
                        bytes = bytes.saturating_add(value.owned_bytes());
                    }
                });
            }
        }
        for unit in ["event", "link"] {
            if self.signal != Signal::Traces {
                break;
            }
            let Some((starts, units)) = self.nested_starts(unit)? else {
                continue;
            };
            let attributes = AttributeReader::open(&self.reader, &format!("{unit}.attr"), units)?;
            let wanted = nested_of(&starts, rows);
            bytes = bytes.saturating_add(attributes.nested_bytes(&self.reader, &wanted)?);
        }
        Ok(bytes)
    }
}
