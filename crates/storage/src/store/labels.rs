//! What the labels of a series may be: it is looked at when a series is new, so that points of
//! those that are known cost nothing.

use model::row::Reject;
use model::value::KeyValueRef;
use model::{Resource, ValueRef};

/// Bounds on the labels of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelLimits {
    /// How many its points may have beside those of the resource.
    pub count: usize,
    /// The length of a name.
    pub name_bytes: usize,
    /// The length of a value, and of the metric's name.
    pub value_bytes: usize,
}

impl Default for LabelLimits {
    fn default() -> Self {
        Self {
            count: 128,
            name_bytes: 1 << 10,
            value_bytes: 16 << 10,
        }
    }
}

/// Attributes of a resource that are labels of all its series: `job` and `instance`.
const IDENTITY: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

impl LabelLimits {
    pub(super) fn check(
        self,
        metric: &str,
        resource: &Resource,
        attributes: &[KeyValueRef<'_>],
    ) -> Result<(), Reject> {
        if attributes.len() > self.count {
            return Err(Reject::TooManyLabels);
        }
        if attributes.iter().any(|kv| kv.key.len() > self.name_bytes) {
            return Err(Reject::LongLabelName);
        }
        let identity = resource.attributes.iter();
        let identity = identity.filter(|kv| IDENTITY.contains(&kv.key.as_str()));
        let mut lengths = attributes
            .iter()
            .map(|kv| length(kv.value))
            .chain(identity.map(|kv| kv.value.as_str().map_or(0, str::len)))
            .chain([metric.len()]);
        if lengths.any(|length| length > self.value_bytes) {
            return Err(Reject::LongLabelValue);
        }
        Ok(())
    }
}

/// How long the text of a value is, or about as long where it is not text.
fn length(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Str(text) => text.len(),
        ValueRef::Bytes(bytes) | ValueRef::Array(bytes) | ValueRef::KvList(bytes) => bytes.len(),
        ValueRef::Empty | ValueRef::Bool(_) | ValueRef::Int(_) | ValueRef::Double(_) => 0,
    }
}
