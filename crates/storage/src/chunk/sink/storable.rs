//! Which rows no block can hold: these are refused before they are acknowledged.

use std::mem::{Discriminant, discriminant};

use model::ValueRef;
use model::row::Reject;
use model::value::KeyValueRef;
use rustc_hash::FxHashSet;

/// The most bytes of a key, which is a part of the name of a column.
pub(crate) const KEY_BYTES_MAX: usize = crate::block::MAX_NAME_BYTES / 2;
/// The most distinct keys, each with a type, of a row or of what is nested in it. A column is for
/// each of them, and for nested ones two, as links and events have their own.
pub(crate) const ROW_KEYS_MAX: usize = crate::block::MAX_COLUMNS / 8;

/// Why a row with these attributes is refused, if it is.
pub(super) fn refusal(own: &[KeyValueRef<'_>], nested: &[KeyValueRef<'_>]) -> Option<Reject> {
    for list in [own, nested] {
        if list
            .iter()
            .any(|attribute| attribute.key.len() > KEY_BYTES_MAX)
        {
            return Some(Reject::LongAttributeKey);
        }
        if list.len() > ROW_KEYS_MAX && has_many(list) {
            return Some(Reject::TooManyAttributes);
        }
    }
    None
}

fn has_many(list: &[KeyValueRef<'_>]) -> bool {
    let mut seen: FxHashSet<(&str, Discriminant<ValueRef<'_>>)> = FxHashSet::default();
    list.iter().any(|attribute| {
        seen.insert((attribute.key, discriminant(&attribute.value)));
        seen.len() > ROW_KEYS_MAX
    })
}
