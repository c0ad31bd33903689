//! How the names and labels of OTLP become those of Prometheus, by configuration.
//!
//! Names are worked out when series are read, from what was sent. So that a changed configuration
//! holds for what comes from then on, and what is stored stays what it was, a metric that is not named
//! in the default way says so in its metadata, under [`NAMING_KEY`]: the name of its strategy, and
//! then each switch that is not in its default position, separated by spaces.

use std::collections::BTreeMap;

use super::{IDENTITY, Scope, Strategy, Target};
use crate::metric::Metric;
use crate::value::{KeyValue, Value, last};

/// The metadata key of a metric that is named in another way than the default one.
pub const NAMING_KEY: &str = "prometheus.naming";

/// Labels that series of one resource and scope have in common.
#[derive(Debug, Clone, Default)]
pub struct SharedLabels(BTreeMap<String, String>);

/// How a metric and its labels are named, and in which shape it is shown. The members are those of
/// Prometheus' section `otlp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Naming {
    /// `translation_strategy`.
    pub strategy: Strategy,
    /// `promote_scope_metadata`: the instrumentation scope is in labels.
    pub scope: bool,
    /// `convert_histograms_to_nhcb`: histograms with bounds are native ones with custom bounds.
    pub native_bounds: bool,
    /// `keep_identifying_resource_attributes`: `target_info` has those, too, that `job` and
    /// `instance` are made of.
    pub identity: bool,
    /// `label_name_underscore_sanitization`: `key` stands before a single underscore at the start.
    pub guard_underscore: bool,
    /// `label_name_preserve_multiple_underscores`: several underscores stay several.
    pub keep_underscores: bool,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            scope: true,
            native_bounds: false,
            identity: false,
            guard_underscore: true,
            keep_underscores: true,
        }
    }
}

impl Naming {
    /// Of what came by a protocol of Prometheus: everything as it was.
    pub(super) const VERBATIM: Self = Self {
        strategy: Strategy::NoTranslation,
        scope: true,
        native_bounds: false,
        identity: false,
        guard_underscore: true,
        keep_underscores: true,
    };

    /// What a metric says that is named in the default way whatever the configuration.
    pub fn fixed() -> KeyValue {
        KeyValue::new(NAMING_KEY, Strategy::NAMED[0].0)
    }

    /// The switches with their names.
    fn switches(&mut self) -> [(&'static str, &mut bool); 5] {
        [
            ("scope", &mut self.scope),
            ("native_bounds", &mut self.native_bounds),
            ("identity", &mut self.identity),
            ("guard_underscore", &mut self.guard_underscore),
            ("keep_underscores", &mut self.keep_underscores),
        ]
    }

    /// What a metric says of itself.
    pub fn of(metric: &Metric) -> Self {
        let text = last(&metric.metadata, NAMING_KEY).and_then(Value::as_str);
        text.map_or_else(Self::default, Self::parse)
    }

    /// What a metric says that is named in this way; nothing for the default one.
    pub fn mark(mut self) -> Option<KeyValue> {
        if self == Self::default() {
            return None;
        }
        let mut named = Strategy::NAMED.iter();
        let strategy = named.find(|(_, strategy)| *strategy == self.strategy);
        let mut text = strategy.map_or("", |(name, _)| name).to_owned();
        let mut default = Self::default();
        for ((name, on), (_, usual)) in self.switches().into_iter().zip(default.switches()) {
            if on != usual {
                text.push(' ');
                text.push_str(name);
            }
        }
        Some(KeyValue::new(NAMING_KEY, text.as_str()))
    }

    /// Reads a mark; words that are not known change nothing.
    fn parse(text: &str) -> Self {
        let mut naming = Self::default();
        for word in text.split(' ') {
            if let Some((_, strategy)) = Strategy::NAMED.iter().find(|(name, _)| *name == word) {
                naming.strategy = *strategy;
            }
            let switches = naming.switches().into_iter();
            for (_, on) in switches.filter(|(name, _)| *name == word) {
                *on = !*on;
            }
        }
        naming
    }

    /// The Prometheus name of an attribute; empty where nothing but underscores would be left of one
    /// that had other characters.
    pub fn label_name(self, name: &str) -> String {
        if !self.strategy.escapes() {
            return name.to_owned();
        }
        let mut label = String::with_capacity(name.len() + 4);
        for c in name.chars() {
            let c = if c.is_ascii_alphanumeric() { c } else { '_' };
            if self.keep_underscores || c != '_' || !label.ends_with('_') {
                label.push(c);
            }
        }
        if label.bytes().all(|byte| byte == b'_') {
            return if label == name { label } else { String::new() };
        }
        if label.as_bytes()[0].is_ascii_digit() {
            label.insert_str(0, "key_");
        } else if self.guard_underscore && label.starts_with('_') && !label.starts_with("__") {
            label.insert_str(0, "key");
        }
        label
    }

    /// The labels of a series, sorted by name, without the metric name.
    ///
    /// Of the resource only `job` and `instance` are taken (the rest is in [`super::TARGET_INFO`]).
    /// Attributes that become the same label are joined with `;` in the order of their OTLP names.
    pub fn labels<'a, R, P>(self, resource: R, scope: &Scope<'_>, point: P) -> Vec<(String, String)>
    where
        R: IntoIterator<Item = (&'a str, String)>,
        P: IntoIterator<Item = (&'a str, String)>,
    {
        self.labels_beside(&self.shared_labels(resource, scope), point)
    }

    /// The labels that all series of a resource and scope have, whatever else these have. One with an
    /// empty value takes the place of another, and is none.
    pub fn shared_labels<'a>(
        self,
        resource: impl IntoIterator<Item = (&'a str, String)>,
        scope: &Scope<'_>,
    ) -> SharedLabels {
        let mut labels = BTreeMap::new();
        if self.scope {
            self.scope_labels(scope, &mut labels);
        }
        labels.extend(Target::of(resource).labels());
        SharedLabels(labels)
    }

    /// The labels of a series that has these and those of its attributes, sorted by name.
    pub fn labels_beside<'a>(
        self,
        shared: &SharedLabels,
        point: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Vec<(String, String)> {
        let mut sorted: Vec<(&str, String)> = point.into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        let mut labels = BTreeMap::new();
        for (key, value) in sorted {
            self.join(&mut labels, key, value);
        }
        let shared = shared.0.iter();
        labels.extend(shared.map(|(name, value)| (name.clone(), value.clone())));
        labels
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }

    fn scope_labels(self, scope: &Scope<'_>, labels: &mut BTreeMap<String, String>) {
        for (key, value) in &scope.attributes {
            let name = format!("otel_scope_{key}");
            labels.insert(self.label_name(&name), value.clone());
        }
        let identity = [
            ("otel_scope_name", scope.name),
            ("otel_scope_version", scope.version),
            ("otel_scope_schema_url", scope.schema_url),
        ];
        for (name, value) in identity {
            if !value.is_empty() {
                labels.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The labels of [`super::TARGET_INFO`] for a resource, sorted by name; `None` for a resource
    /// without an identity (no `job` and no `instance`) or without any further attribute.
    pub fn target_info<'a, R>(self, resource: R) -> Option<Vec<(String, String)>>
    where
        R: IntoIterator<Item = (&'a str, String)>,
    {
        let mut sorted: Vec<(&str, String)> = resource.into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        let target = Target::of(sorted.iter().map(|(key, value)| (*key, value.clone())));
        let identity: Vec<_> = target.labels().collect();
        let further = sorted.iter().any(|(key, _)| !IDENTITY.contains(key));
        let mut labels = BTreeMap::new();
        for (key, value) in sorted {
            if self.identity || !IDENTITY.contains(&key) {
                self.join(&mut labels, key, value);
            }
        }
        if !further || labels.is_empty() || identity.is_empty() {
            return None;
        }
        labels.extend(identity);
        Some(
            labels
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        )
    }

    fn join(self, labels: &mut BTreeMap<String, String>, key: &str, value: String) {
        let name = self.label_name(key);
        if name.is_empty() {
            return;
        }
        labels
            .entry(name)
            .and_modify(|joined: &mut String| {
                joined.push(';');
                joined.push_str(&value);
            })
            .or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_differs_and_reads_back() {
        assert_eq!(Naming::default().mark(), None);
        let mut all = Naming {
            strategy: Strategy::NoTranslation,
            ..Naming::default()
        };
        for (_, on) in all.switches() {
            *on = !*on;
        }
        let scope = Naming {
            scope: false,
            ..Naming::default()
        };
        for naming in [all, scope] {
            let mark = naming.mark().unwrap();
            assert_eq!(Naming::parse(mark.value.as_str().unwrap()), naming);
        }
        let mark = scope.mark().unwrap();
        assert_eq!(
            mark.value.as_str(),
            Some("UnderscoreEscapingWithSuffixes scope")
        );
        assert_eq!(Naming::parse("of another version"), Naming::default());
        let fixed = Naming::fixed();
        assert_eq!(
            Naming::parse(fixed.value.as_str().unwrap()),
            Naming::default()
        );
    }

    #[test]
    fn label_names_go_by_the_switches() {
        let plain = Naming::default();
        let unguarded = Naming {
            guard_underscore: false,
            ..plain
        };
        let single = Naming {
            keep_underscores: false,
            ..plain
        };
        let sent = Naming {
            strategy: Strategy::NoUtf8EscapingWithSuffixes,
            ..plain
        };
        for (name, expected) in [
            ("_a", ["key_a", "_a", "key_a", "_a"]),
            ("a..b", ["a__b", "a__b", "a_b", "a..b"]),
            ("__a", ["__a", "__a", "key_a", "__a"]),
            ("0a", ["key_0a", "key_0a", "key_0a", "0a"]),
            ("日", ["", "", "", "日"]),
        ] {
            let found = [plain, unguarded, single, sent].map(|naming| naming.label_name(name));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn scope_and_identity_are_there_where_they_are_wanted() {
        let resource = || {
            [
                ("service.name", "cart".to_owned()),
                ("host.name", "h".to_owned()),
            ]
        };
        let scope = Scope {
            name: "lib",
            ..Scope::default()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let naming = Naming {
            scope: false,
            identity: true,
            ..Naming::default()
        };
        let labels = naming.labels(resource(), &scope, []);
        assert_eq!(labels, [pair("job", "cart")]);
        let info = naming.target_info(resource()).unwrap();
        let expected = [
            pair("host_name", "h"),
            pair("job", "cart"),
            pair("service_name", "cart"),
        ];
        assert_eq!(info, expected);
        // The identity alone is not worth a series.
        assert_eq!(naming.target_info([("service.name", "x".to_owned())]), None);
    }
}
