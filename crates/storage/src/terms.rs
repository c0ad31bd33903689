//! Terms of the index: what a block may be found by, and what a filter needs.
//!
//! A term is a 40-bit hash of a kind, a key and a value. Two values may share one: that costs a
//! needless look into a block and never a wrong answer. What has no term (numbers of many
//! distinct values, doubles, nested values, words of up to four digits, span ids) is marked per
//! key as unindexed, or not pruned by at all.

mod collect;
mod found;
mod need;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::filter::Level;

pub(crate) use collect::{Collector, Column, table_name};
pub(crate) use found::{Search, each_search};
pub(crate) use need::{Need, need_of_matchers};

/// Which values have terms, and how a term is made. A file says by which scheme it was written;
/// terms of another one mean nothing, so such a file is searched without them.
pub(crate) const SCHEME: u8 = 1;

/// Words of digits alone that are shorter have no term.
const DIGITS_MIN: usize = 5;
/// Values of at least this length are ids more often than not: they have one term, whatever they
/// are the value of, so that an id in an attribute, in a body and among the correlation values is
/// stored once.
const ID_BYTES_MIN: usize = 16;

/// What a term is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Of {
    Attribute = 1,
    Event = 2,
    Link = 3,
    Word = 4,
    Name = 5,
    Service = 6,
    Status = 7,
    Kind = 8,
    Level = 9,
    Trace = 10,
    LinkTrace = 11,
    Correlation = 12,
    EventName = 13,
    /// Some row has an attribute of this key.
    Has = 14,
    /// Some row has a value of this key that has no term.
    Unindexed = 15,
    /// A Prometheus label.
    Label = 16,
    /// A long value of an attribute, word or correlation pair.
    Id = 17,
}

impl Of {
    /// What values of attributes at this level are.
    fn attribute(level: Level) -> Self {
        match level {
            Level::Event => Of::Event,
            Level::Link => Of::Link,
            Level::Any | Level::Row | Level::Scope | Level::Resource => Of::Attribute,
        }
    }
}

/// The part of a term that all values of a key have in common.
fn seed(of: Of, key: &str) -> u64 {
    xxh3_64_with_seed(key.as_bytes(), of as u64)
}

fn term(of: Of, key: &str, value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, seed(of, key))
}

/// The term of a value that may be an id.
fn value_term(seed: u64, value: &[u8]) -> u64 {
    let seed = if value.len() < ID_BYTES_MIN {
        seed
    } else {
        Of::Id as u64
    };
    xxh3_64_with_seed(value, seed)
}

/// The term of a word in lower case, if it has one.
fn word_term(seed: u64, word: &str) -> Option<u64> {
    let indexed = word.len() >= DIGITS_MIN || !word.bytes().all(|byte| byte.is_ascii_digit());
    indexed.then(|| value_term(seed, word.as_bytes()))
}

/// The bits of a term that the index keeps.
pub(crate) fn truncated(term: u64) -> u64 {
    term >> 24
}
