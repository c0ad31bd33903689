//! The attributes of rows, and what rows are correlated by.

use model::room::NoRoom;
use model::value::KeyValueRef;

use super::{ChunkSink, index32};
use crate::chunk::{Attr, Corr, Span32, Text, Val};

/// So many keys of correlation pairs are looked for among those of the request.
const PAIR_KEYS_MAX: usize = 16;
/// A key of which it is not known what comes after it.
const UNKNOWN: u32 = u32::MAX;
/// A set of attributes may have as many keys as a request has room for: within it too, now and then
/// room is taken for what they need.
const ATTRIBUTES_BETWEEN_LOOKS: usize = 1_024;

impl ChunkSink<'_> {
    pub(super) fn attributes(&mut self, attributes: &[KeyValueRef<'_>]) -> Result<Span32, NoRoom> {
        let first = index32(self.chunk.attributes.len());
        self.set += 1;
        let mut before = 0;
        for part in attributes.chunks(ATTRIBUTES_BETWEEN_LOOKS) {
            for attribute in part {
                let key = self.key(attribute.key, before);
                before = key as usize + 1;
                let value = self.val(attribute.value);
                self.chunk.attributes.push(Attr { key, value });
                let at = key as usize;
                if at == self.seen.len() {
                    self.seen.push(self.set);
                } else if self.seen[at] == self.set {
                    self.chunk.duplicate_keys += 1;
                } else {
                    self.seen[at] = self.set;
                }
            }
            if part.len() == ATTRIBUTES_BETWEEN_LOOKS {
                self.grown()?;
            }
        }
        Ok(Span32 {
            first,
            count: index32(attributes.len()),
        })
    }

    /// The index of a key, given the place in [`Self::follows`] of the one before it in its set.
    fn key(&mut self, key: &str, before: usize) -> u32 {
        if let Some(likely) = self.follows.get(before).copied()
            && likely != UNKNOWN
            && self.chunk.keys.get(likely) == key
        {
            return likely;
        }
        let index = self.chunk.keys.intern(key);
        if self.follows.len() <= before {
            self.follows.resize(before + 1, UNKNOWN);
        }
        self.follows[before] = index;
        index
    }

    /// Whether rows are correlated by a key, which has this index.
    fn is_correlating(&mut self, index: u32, key: &str) -> bool {
        let at = index as usize;
        if self.correlating.len() <= at {
            self.correlating.resize(at + 1, None);
        }
        *self.correlating[at].get_or_insert_with(|| self.keys.contains(key))
    }

    /// Correlation pairs of a row's own attributes, which are stored already.
    pub(super) fn correlate_attributes(&mut self, attributes: &[KeyValueRef<'_>], stored: Span32) {
        let keys = self.keys;
        let row_first = self.chunk.correlation.len();
        for (index, attribute) in attributes.iter().enumerate() {
            let stored = self.chunk.attributes[stored.first as usize + index];
            if !self.is_correlating(stored.key, attribute.key) {
                continue;
            }
            // Nearly always one: a header's value alone is a list.
            let (mut first, mut others) = (None, Vec::new());
            keys.attribute(attribute.key, attribute.value, &mut |key, value| {
                if first.is_none() {
                    first = Some((key, value));
                } else {
                    others.push((key, value));
                }
            });
            for (key, value) in first.into_iter().chain(others) {
                if self.chunk.correlation.len() - row_first >= model::correlation::PAIRS_PER_ROW_MAX
                {
                    return;
                }
                let key = self.pair_key(key);
                let value = match stored.value {
                    Val::Str(whole) if self.chunk.bytes(whole) == value.as_bytes() => whole,
                    _ => self.text(value),
                };
                self.chunk.correlation.push(Corr {
                    key,
                    value,
                    source: index32(index) + 1,
                });
            }
        }
    }

    /// The key of a correlation pair, which is stored once for all rows; of very many not.
    fn pair_key(&mut self, key: &str) -> Text {
        let mut known = self.pair_keys.iter();
        if let Some(known) = known.find(|known| self.chunk.bytes(**known) == key.as_bytes()) {
            return *known;
        }
        let text = self.text(key);
        if self.pair_keys.len() < PAIR_KEYS_MAX {
            self.pair_keys.push(text);
        }
        text
    }

    /// Correlation pairs in a body that is text; values are slices of the stored body.
    pub(super) fn correlate_body(&mut self, row_first: usize, body: &str, stored: Text) {
        let keys = self.keys;
        let mut pairs: Vec<(&str, Text)> = Vec::new();
        keys.text(body, &mut |key, value| {
            let offset = value.as_ptr() as usize - body.as_ptr() as usize;
            let value = Text {
                offset: stored.offset + index32(offset),
                length: index32(value.len()),
            };
            pairs.push((key, value));
        });
        for (key, value) in pairs {
            let row = &self.chunk.correlation[row_first..];
            let value_bytes = self.chunk.bytes(value);
            if row.len() >= model::correlation::PAIRS_PER_ROW_MAX {
                return;
            }
            if row
                .iter()
                .any(|other| self.chunk.bytes(other.value) == value_bytes)
            {
                continue;
            }
            let key = self.pair_key(key);
            self.chunk.correlation.push(Corr {
                key,
                value,
                source: 0,
            });
        }
    }

    pub(super) fn correlation_since(&self, first: usize) -> Span32 {
        Span32 {
            first: index32(first),
            count: index32(self.chunk.correlation.len() - first),
        }
    }
}
