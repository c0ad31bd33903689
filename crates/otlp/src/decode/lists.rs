//! Lists of a decoder that ask for room before they grow.

use model::room::NoRoom;
use model::row::RowSink;

/// How much is asked for at once where there is no list whose growth says it.
const STEP: usize = 4096;

/// Appends to a list that is kept from row to row.
#[inline]
pub fn push<T>(list: &mut Vec<T>, item: T, sink: &mut dyn RowSink) -> Result<(), NoRoom> {
    if list.len() == list.capacity() {
        grow(list, 1, sink)?;
    }
    list.push(item);
    Ok(())
}

/// Makes room for so many more members of a list.
#[inline]
pub fn reserve<T>(list: &mut Vec<T>, more: usize, sink: &mut dyn RowSink) -> Result<(), NoRoom> {
    if list.capacity() - list.len() < more {
        grow(list, more, sink)?;
    }
    Ok(())
}

#[cold]
fn grow<T>(list: &mut Vec<T>, more: usize, sink: &mut dyn RowSink) -> Result<(), NoRoom> {
    let before = list.capacity();
    let after = (list.len() + more).max(2 * before).max(8);
    sink.room((after - before).saturating_mul(size_of::<T>()))?;
    list.reserve_exact(after - list.len());
    Ok(())
}

/// What a row allocates beside the lists that are kept, and lets go before the next row: room is
/// asked for the most that any row took.
#[derive(Debug, Default)]
pub struct Peak {
    now: usize,
    asked: usize,
}

impl Peak {
    /// The next row begins.
    pub fn restart(&mut self) {
        self.now = 0;
    }

    /// So many bytes are about to be allocated.
    #[inline]
    pub fn add(&mut self, bytes: usize, sink: &mut dyn RowSink) -> Result<(), NoRoom> {
        self.now = self.now.saturating_add(bytes);
        if self.now > self.asked {
            let more = (self.now - self.asked).max(STEP);
            sink.room(more)?;
            self.asked += more;
        }
        Ok(())
    }
}
