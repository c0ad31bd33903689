//! Label sets: sorted name/value pairs that are cheap to clone and compare.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxHasher;

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";
/// The label that holds the upper bound of a classic histogram's bucket.
pub const BUCKET_LABEL: &str = "le";

/// Labels about the metric itself; a function whose result is another quantity drops them.
const METADATA: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

type Pair = (Arc<str>, Arc<str>);

struct Inner {
    hash: u64,
    /// Where the labels of [`METADATA`] are: they are asked for most.
    metadata: [Option<u32>; METADATA.len()],
    pairs: Box<[Pair]>,
}

/// An immutable label set, sorted by name, without empty values. Clones share it.
#[derive(Clone)]
pub struct Labels(Arc<Inner>);

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Self::sorted(Vec::new())
    }

    /// The set of these pairs, in any order. Empty values are dropped, as an empty label is the
    /// same as none; of a name given twice the last value counts.
    pub fn new<N: Into<Arc<str>>, V: Into<Arc<str>>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut pairs: Vec<Pair> = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let mut unique: Vec<Pair> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            if unique.last().is_some_and(|last| last.0 == pair.0) {
                unique.pop();
            }
            unique.push(pair);
        }
        unique.retain(|(_, value)| !value.is_empty());
        Self::sorted(unique)
    }

    fn sorted(pairs: Vec<Pair>) -> Self {
        let mut hasher = FxHasher::default();
        pairs.hash(&mut hasher);
        let place = |wanted: &str| {
            let found = pairs.binary_search_by(|(name, _)| (**name).cmp(wanted));
            found.ok().and_then(|index| u32::try_from(index).ok())
        };
        Self(Arc::new(Inner {
            hash: hasher.finish(),
            metadata: METADATA.map(place),
            pairs: pairs.into(),
        }))
    }

    /// The value of a label, empty when absent.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        if name.starts_with("__")
            && let Some(known) = METADATA.iter().position(|known| *known == name)
        {
            return self.metadata(known);
        }
        let index = self
            .0
            .pairs
            .binary_search_by(|(known, _)| (**known).cmp(name))
            .ok()?;
        Some(&self.0.pairs[index].1)
    }

    /// The metric name, empty when absent.
    pub fn metric_name(&self) -> &str {
        self.metadata(0).unwrap_or("")
    }

    /// The value of one of [`METADATA`].
    fn metadata(&self, known: usize) -> Option<&str> {
        let index = self.0.metadata[known]?;
        Some(&self.0.pairs[index as usize].1)
    }

    /// Pairs in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.0.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.pairs.is_empty()
    }

    /// The labels that `keep` holds for.
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        if self.0.pairs.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        Self::sorted(
            self.0
                .pairs
                .iter()
                .filter(|(name, _)| keep(name))
                .cloned()
                .collect(),
        )
    }

    /// Without the metric name and what describes the metric.
    pub fn without_metadata(&self) -> Self {
        self.filter(|name| !METADATA.contains(&name))
    }

    /// Whether there is a label about the metric itself.
    pub(crate) fn has_metadata(&self) -> bool {
        self.0.metadata.iter().any(Option::is_some)
    }

    /// With one label set, or removed when the value is empty.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs = self.0.pairs.to_vec();
        let found = pairs.binary_search_by(|(known, _)| (**known).cmp(name));
        match (found, value.is_empty()) {
            (Ok(index), true) => drop(pairs.remove(index)),
            (Ok(index), false) => pairs[index].1 = value.into(),
            (Err(_), true) => return self.clone(),
            (Err(index), false) => pairs.insert(index, (name.into(), value.into())),
        }
        Self::sorted(pairs)
    }

    /// A hash that is the same in every process and version, and the one that Prometheus
    /// calculates: the XXH64 of each name and value after its length. `limit_ratio` picks by it.
    pub fn stable_hash(&self) -> u64 {
        let mut bytes = Vec::new();
        for text in self.iter().flat_map(|(name, value)| [name, value]) {
            match u8::try_from(text.len()) {
                Ok(length) if length < u8::MAX => bytes.push(length),
                _ => {
                    bytes.push(u8::MAX);
                    bytes.extend_from_slice(&text.len().to_le_bytes()[..3]);
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
        xxhash_rust::xxh64::xxh64(&bytes, 0)
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (&self.0, &other.0);
        Arc::ptr_eq(one, other)
            || (one.hash == other.hash
                && one.pairs.len() == other.pairs.len()
                && one
                    .pairs
                    .iter()
                    .zip(&other.pairs)
                    .all(|(one, other)| same_text(&one.0, &other.0) && same_text(&one.1, &other.1)))
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return std::cmp::Ordering::Equal;
        }
        for (one, other) in self.0.pairs.iter().zip(&other.0.pairs) {
            let order = compare(&one.0, &other.0).then_with(|| compare(&one.1, &other.1));
            if order.is_ne() {
                return order;
            }
        }
        self.len().cmp(&other.len())
    }
}

/// Whoever makes many label sets may keep each text once, and texts need not be looked at then.
fn same_text(one: &Arc<str>, other: &Arc<str>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

fn compare(one: &Arc<str>, other: &Arc<str>) -> std::cmp::Ordering {
    if Arc::ptr_eq(one, other) {
        return std::cmp::Ordering::Equal;
    }
    one.cmp(other)
}

/// Whether a metric name needs no quotes.
pub fn is_classic_metric_name(name: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    name.bytes().next().is_some_and(first)
        && name
            .bytes()
            .all(|byte| first(byte) || byte.is_ascii_digit())
}

/// Whether a label name needs no quotes.
pub fn is_classic_label_name(name: &str) -> bool {
    is_classic_metric_name(name) && !name.contains(':')
}

/// Prints a label set as `{a="b", c="d"}`, the metric name among the labels.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write_label_name(f, name)?;
            write!(f, "={}", crate::format::quote(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(crate) fn write_label_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    if is_classic_label_name(name) {
        f.write_str(name)
    } else {
        f.write_str(&crate::format::quote(name))
    }
}

impl serde::Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sorted_unique_and_without_empty_values() {
        let labels = Labels::new([("b", "2"), ("a", "0"), ("c", ""), ("a", "1")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(labels.to_string(), r#"{a="1", b="2"}"#);
        assert_eq!(labels.with("a", ""), Labels::new([("b", "2")]));
        assert_eq!(
            labels.with("aa", "3").to_string(),
            r#"{a="1", aa="3", b="2"}"#
        );
        assert_eq!(
            Labels::new([("my.label", "x\n")]).to_string(),
            r#"{"my.label"="x\n"}"#
        );
    }

    #[test]
    fn the_stable_hash_covers_lengths() {
        let a = Labels::new([("a", "bc")]);
        let b = Labels::new([("ab", "c")]);
        assert_ne!(a.stable_hash(), b.stable_hash());
        let long = Labels::new([("a", "x".repeat(300))]);
        assert_ne!(long.stable_hash(), a.stable_hash());
    }
}
