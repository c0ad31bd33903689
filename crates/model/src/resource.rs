//! Who produced a row: resource and instrumentation scope.

use serde::{Deserialize, Serialize};

use crate::value::{self, KeyValue};

/// An OTLP resource with the schema URL of its envelope.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Resource {
    /// Attributes as sent.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// Entities that the resource stands for.
    pub entity_refs: Vec<EntityRef>,
    /// Schema URL of the resource's envelope.
    pub schema_url: String,
}

/// A reference to an entity described by resource attributes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EntityRef {
    /// Schema URL of the entity.
    pub schema_url: String,
    /// Its type.
    pub r#type: String,
    /// Keys of the attributes that identify it.
    pub id_keys: Vec<String>,
    /// Keys of the attributes that describe it.
    pub description_keys: Vec<String>,
}

impl Resource {
    /// `service.name`, or `unknown_service` where the resource has none or an empty one.
    pub fn service(&self) -> &str {
        value::last(&self.attributes, "service.name")
            .and_then(|value| value.as_str())
            .filter(|name| !name.is_empty())
            .unwrap_or(UNKNOWN_SERVICE)
    }
}

/// The service of rows whose resource names none.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// An OTLP instrumentation scope with the schema URL of its envelope.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Scope {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Attributes as sent.
    pub attributes: Vec<KeyValue>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// Schema URL of the scope's envelope.
    pub schema_url: String,
}
