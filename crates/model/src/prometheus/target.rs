//! From the labels `job` and `instance` to resource attributes and back.

use crate::value::{KeyValue, KeyValueRef, ValueRef};

/// The resource attributes that `job` and `instance` stand for.
///
/// A job `namespace/name` is a service of a namespace, as OpenTelemetry has it; any other is a
/// service's name as a whole. [`super::Target::of`] makes the same labels of them again, whatever the
/// labels were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TargetRef<'a> {
    /// The label `job`, or empty.
    pub job: &'a str,
    /// The label `instance`, or empty.
    pub instance: &'a str,
}

impl<'a> TargetRef<'a> {
    /// Whether a label is the target's and not the series' own.
    pub fn has(label: &str) -> bool {
        matches!(label, "job" | "instance")
    }

    /// Keys and values of the attributes.
    pub fn pairs(self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let split = self.job.split_once('/');
        let (namespace, name) = split
            .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
            .unwrap_or(("", self.job));
        [
            ("service.namespace", namespace),
            ("service.name", name),
            ("service.instance.id", self.instance),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
    }

    /// The attributes, borrowed.
    pub fn attributes(self) -> impl Iterator<Item = KeyValueRef<'a>> {
        self.pairs().map(|(key, value)| KeyValueRef {
            key,
            value: ValueRef::Str(value),
        })
    }

    /// The attributes, owned.
    pub fn owned(self) -> Vec<KeyValue> {
        let owned = |(key, value): (&str, &str)| KeyValue::new(key, value);
        self.pairs().map(owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;

    #[test]
    fn labels_of_a_target_come_back_as_they_were() {
        for job in ["", "api", "shop/api", "a/b/c", "/x", "x/", "/", "//", " "] {
            for instance in ["", "10.0.0.1:9100"] {
                let target = TargetRef { job, instance };
                let back = Target::of(target.pairs().map(|(key, value)| (key, value.to_owned())));
                assert_eq!(back.job.unwrap_or_default(), job);
                assert_eq!(back.instance.unwrap_or_default(), instance);
            }
        }
        let pairs: Vec<_> = TargetRef {
            job: "shop/api/v2",
            instance: "",
        }
        .pairs()
        .collect();
        assert_eq!(
            pairs,
            [("service.namespace", "shop"), ("service.name", "api/v2")]
        );
    }
}
