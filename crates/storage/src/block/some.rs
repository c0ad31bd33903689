//! Reads some values of a column. A row or a few of them are read from every column of a block, so what is not asked
//! for is skipped where the encoding allows.

use super::codes;
use super::directory::Entry;
use super::ints::{self, Depth};
use super::reader::words;
use super::text;
use super::wire::{Cursor, Decoded, Malformed};
use super::{BlockError, BlockReader, Encoding, Kind};

const COUNT: Malformed = Malformed("it has not as many values as it should");
const NOT_TEXT: Malformed = Malformed("its text is not UTF-8");

/// Refuses a column of another count, so that every position asked for is in it.
fn counted(column: &Entry, count: usize, wanted: &[usize]) -> Decoded<()> {
    let inside = column.count as usize == count && wanted.iter().all(|at| *at < count);
    if inside { Ok(()) } else { Err(COUNT) }
}

fn words_at(column: &Entry, bytes: &[u8], count: usize, wanted: &[usize]) -> Decoded<Vec<u64>> {
    counted(column, count, wanted)?;
    if column.encoding == Encoding::Empty {
        return Ok(Vec::new());
    }
    let mut from = Cursor::new(bytes);
    let values = ints::decode_at(&mut from, count, Depth::Outer, wanted)?;
    from.finish()?;
    Ok(values)
}

fn fixed_at<const N: usize>(
    column: &Entry,
    bytes: &[u8],
    count: usize,
    wanted: &[usize],
) -> Decoded<Vec<[u8; N]>> {
    counted(column, count, wanted)?;
    let mut from = Cursor::new(bytes);
    let (entries, coded) = match column.encoding {
        Encoding::Empty => (0, false),
        Encoding::Raw => (count, false),
        _ => (
            from.bounded(count, "there are more distinct ids than values")?,
            true,
        ),
    };
    let (ids, _) = from.take(entries * N)?.as_chunks::<N>();
    let values = if coded {
        let codes = codes::decode_at(&mut from, count, entries, wanted)?;
        codes.into_iter().map(|code| ids[code as usize]).collect()
    } else {
        wanted.iter().map(|at| ids[*at]).collect()
    };
    from.finish()?;
    Ok(values)
}

/// All of these take the number of values that the column has to have, and the positions wanted; they return the
/// values there in the order asked for, None when the block has no such column.
impl BlockReader {
    /// The values of a `UInt` column as indices, all of which lie below `bound`.
    pub(crate) fn indices(&self, name: &str, bound: usize) -> Result<Option<Vec<u32>>, BlockError> {
        self.read(name, Kind::UInt, |column, bytes| {
            let values = words(column, &bytes)?;
            let largest = values.iter().fold(0, |largest, value| largest.max(*value));
            if !values.is_empty() && (largest >= bound as u64 || largest > u64::from(u32::MAX)) {
                return Err(Malformed("an index lies outside of what it is for"));
            }
            Ok(values.into_iter().map(|value| value as u32).collect())
        })
    }

    /// Some values of an `Int` column.
    pub fn ints_at(
        &self,
        name: &str,
        count: usize,
        wanted: &[usize],
    ) -> Result<Option<Vec<i64>>, BlockError> {
        let values = self.read(name, Kind::Int, |column, bytes| {
            words_at(column, &bytes, count, wanted)
        })?;
        Ok(values.map(|values| values.into_iter().map(|value| value as i64).collect()))
    }

    /// Some values of a `UInt` column.
    pub fn uints_at(
        &self,
        name: &str,
        count: usize,
        wanted: &[usize],
    ) -> Result<Option<Vec<u64>>, BlockError> {
        self.read(name, Kind::UInt, |column, bytes| {
            words_at(column, &bytes, count, wanted)
        })
    }

    /// Some values of a `Fixed8` column.
    pub fn fixed8_at(
        &self,
        name: &str,
        count: usize,
        wanted: &[usize],
    ) -> Result<Option<Vec<[u8; 8]>>, BlockError> {
        self.read(name, Kind::Fixed8, |column, bytes| {
            fixed_at(column, &bytes, count, wanted)
        })
    }

    /// Some values of a `Fixed16` column.
    pub fn fixed16_at(
        &self,
        name: &str,
        count: usize,
        wanted: &[usize],
    ) -> Result<Option<Vec<[u8; 16]>>, BlockError> {
        self.read(name, Kind::Fixed16, |column, bytes| {
            fixed_at(column, &bytes, count, wanted)
        })
    }

    /// Some values of a `Text` column of `count` values, in the order asked for. Cheaper than the whole column while
    /// they are few.
    pub fn text_at(
        &self,
        name: &str,
        count: usize,
        wanted: &[usize],
    ) -> Result<Option<Vec<String>>, BlockError> {
        self.read(name, Kind::Text, |column, bytes| {
            counted(column, count, wanted)?;
            if wanted.is_empty() {
                return Ok(Vec::new());
            }
            let mut from = Cursor::new(&bytes);
            let head = text::decode_head_at(&mut from, count, wanted)?;
            let rest = &bytes[bytes.len() - from.remaining()..];
            if column.encoding == Encoding::Templates {
                let templates = text::decode_templates(rest, &head)?;
                let strings = templates.render_some(rest, &head.codes)?;
                let texts = (0..strings.len()).map(|index| strings.get(index).to_vec());
                return texts
                    .map(|text| String::from_utf8(text).map_err(|_| NOT_TEXT))
                    .collect();
            }
            let strings = text::decode_dictionary(from, &head)?;
            let texts = head.codes.iter().map(|code| strings.get(*code as usize));
            texts
                .map(|text| str::from_utf8(text).map(str::to_owned))
                .map(|text| text.map_err(|_| NOT_TEXT))
                .collect()
        })
    }
}
