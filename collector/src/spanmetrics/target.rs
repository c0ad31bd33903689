//! What the resources of spans say of the services that sent them, as `traces_target_info`.

use std::borrow::Cow;

use model::value::{self, Value};
use model::{KeyValue, Resource};

/// How many labels of span metrics come from the identity of a resource, beside its service.
pub(super) const IDENTITY: usize = 2;
/// What the labels `job` and `instance` are made of, which are no labels of their own.
const NAME: &str = "service.name";
const NAMESPACE: &str = "service.namespace";
const INSTANCE: &str = "service.instance.id";

/// Namespace and instance of a resource; empty where it has none.
pub(super) fn identity(resource: &Resource) -> [Cow<'_, str>; IDENTITY] {
    [NAMESPACE, INSTANCE].map(|key| text(value::last(&resource.attributes, key)))
}

fn text(value: Option<&Value>) -> Cow<'_, str> {
    match value {
        None => Cow::Borrowed(""),
        Some(Value::Str(text)) => Cow::Borrowed(text),
        Some(other) => Cow::Owned(other.to_text()),
    }
}

/// The values by which a resource is told from others: service, namespace and instance, then each
/// further attribute and its value. Nothing where it has no identity, or nothing but that.
pub(super) fn values<'a>(resource: &'a Resource, excluded: &[String]) -> Option<Vec<Cow<'a, str>>> {
    let attributes = &resource.attributes;
    let mut values = vec![text(value::last(attributes, NAME))];
    values.extend(identity(resource));
    if values[0].is_empty() && values[2].is_empty() {
        return None;
    }
    let fixed = values.len();
    for (at, attribute) in attributes.iter().enumerate() {
        let key = attribute.key.as_str();
        let is_own = [NAME, NAMESPACE, INSTANCE].contains(&key);
        // A label cannot begin with a digit; of a key that comes twice, the last one counts.
        let is_label = !key.is_empty() && !key.starts_with(|first: char| first.is_ascii_digit());
        let again = attributes[at + 1..].iter().any(|other| other.key == key);
        if is_own || !is_label || again || excluded.iter().any(|excluded| excluded == key) {
            continue;
        }
        values.push(Cow::Borrowed(key));
        values.push(text(Some(&attribute.value)));
    }
    (values.len() > fixed).then_some(values)
}

/// The resource that such values begin with.
pub(super) fn resource(service: &str, identity: &[Box<str>]) -> Resource {
    let pairs = [NAMESPACE, INSTANCE].into_iter().zip(identity);
    let pairs = pairs.map(|(key, value)| (key, &**value));
    let attributes = std::iter::once((NAME, service)).chain(pairs);
    Resource {
        attributes: attributes
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| KeyValue::new(key, value))
            .collect(),
        ..Resource::default()
    }
}

/// The labels among such values.
pub(super) fn labels(values: &[Box<str>]) -> impl Iterator<Item = KeyValue> + '_ {
    let pairs = values.get(1 + IDENTITY..).unwrap_or_default();
    pairs.chunks_exact(2).map(|pair| match &*pair[0] {
        // Those that the identity becomes.
        name @ ("job" | "instance") => KeyValue::new(format!("__{name}"), &*pair[1]),
        name => KeyValue::new(name, &*pair[1]),
    })
}
