//! Which rows no block can hold: these are refused before they are acknowledged.

use std::mem::{Discriminant, discriminant};

use model::ValueRef;
use model::row::Reject;
use model::value::KeyValueRef;
use rustc_hash::FxHashSet;

use crate::block;

/// The most bytes of a key, which is a part of the name of a column.
pub(crate) const KEY_BYTES_MAX: usize = block::MAX_NAME_BYTES / 2;
/// The most columns that the attributes of a row may need. A block has some columns besides.
pub(crate) const ROW_COLUMNS_MAX: usize = block::MAX_COLUMNS / 4 * 3;

/// Why a row with these attributes is refused, if it is.
pub(super) fn refusal(own: &[KeyValueRef<'_>], nested: &[KeyValueRef<'_>]) -> Option<Reject> {
    let mut all = own.iter().chain(nested);
    if all.any(|attribute| attribute.key.len() > KEY_BYTES_MAX) {
        return Some(Reject::LongAttributeKey);
    }
    // Events have columns of their own, and links, too.
    let columns = |count: &dyn Fn(&[KeyValueRef<'_>]) -> usize| count(own) + 2 * count(nested);
    let many =
        columns(&|list| list.len()) > ROW_COLUMNS_MAX && columns(&distinct) > ROW_COLUMNS_MAX;
    many.then_some(Reject::TooManyAttributes)
}

/// How many keys there are, each with a type, as far as that matters: a request may have millions.
fn distinct(list: &[KeyValueRef<'_>]) -> usize {
    let mut seen: FxHashSet<(&str, Discriminant<ValueRef<'_>>)> = FxHashSet::default();
    for attribute in list {
        seen.insert((attribute.key, discriminant(&attribute.value)));
        if seen.len() > ROW_COLUMNS_MAX {
            break;
        }
    }
    seen.len()
}
