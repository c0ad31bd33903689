//! Attribute values: OTLP's `AnyValue`, owned and borrowed.
//!
//! Arrays and key-value lists are kept in their protobuf encoding where a row is stored
//! ([`ValueRef::Array`], [`ValueRef::KvList`]), so that they come back to the last bit; the
//! owned [`Value`] is a tree for those who look inside.

use serde::{Deserialize, Serialize, Serializer};

/// An owned attribute value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub enum Value {
    /// `AnyValue` with nothing set.
    #[default]
    Empty,
    /// Text.
    Str(String),
    /// Boolean.
    Bool(bool),
    /// 64-bit integer.
    Int(i64),
    /// 64-bit float; the bits are kept.
    Double(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list; its members may differ in type.
    Array(Vec<Value>),
    /// A nested list of keys and values; order and duplicates are kept.
    KvList(Vec<KeyValue>),
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key as sent.
    pub key: String,
    /// The value as sent.
    pub value: Value,
}

impl KeyValue {
    /// An attribute of these.
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }
}

/// The last value of this key: what queries see when a key was sent more than once.
pub fn last<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes
        .iter()
        .rev()
        .find(|kv| kv.key == key)
        .map(|kv| &kv.value)
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.to_owned())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text)
    }
}
impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Value::Int(int)
    }
}
impl From<f64> for Value {
    fn from(double: f64) -> Self {
        Value::Double(double)
    }
}
impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Bool(flag)
    }
}

impl Value {
    /// The text of a string value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The value as plain text: strings as they are, numbers in their shortest form, bytes as
    /// base64-free hex, lists as compact JSON.
    pub fn to_text(&self) -> String {
        match self {
            Value::Empty => String::new(),
            Value::Str(text) => text.clone(),
            Value::Bool(flag) => flag.to_string(),
            Value::Int(int) => int.to_string(),
            Value::Double(double) => double.to_string(),
            Value::Bytes(_) | Value::Array(_) | Value::KvList(_) => self.to_json().to_string(),
        }
    }

    /// The value as plain JSON (not OTLP JSON): what a person would write. Doubles that JSON
    /// lacks become the strings `NaN`, `Infinity` and `-Infinity`; bytes become hex.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::Empty => Json::Null,
            Value::Str(text) => Json::String(text.clone()),
            Value::Bool(flag) => Json::Bool(*flag),
            Value::Int(int) => Json::from(*int),
            Value::Double(double) => double_to_json(*double),
            Value::Bytes(bytes) => {
                Json::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }
            Value::Array(values) => Json::Array(values.iter().map(Value::to_json).collect()),
            Value::KvList(pairs) => Json::Object(
                pairs
                    .iter()
                    .map(|kv| (kv.key.clone(), kv.value.to_json()))
                    .collect(),
            ),
        }
    }
}

/// A double as JSON; the three that JSON lacks as OTLP's strings.
pub fn double_to_json(double: f64) -> serde_json::Value {
    serde_json::Number::from_f64(double).map_or_else(
        || {
            let name = if double.is_nan() {
                "NaN"
            } else if double > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            };
            serde_json::Value::String(name.to_owned())
        },
        serde_json::Value::Number,
    )
}

/// A borrowed attribute value on the ingest path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// `AnyValue` with nothing set.
    Empty,
    /// Text.
    Str(&'a str),
    /// Boolean.
    Bool(bool),
    /// 64-bit integer.
    Int(i64),
    /// 64-bit float.
    Double(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A validated protobuf `ArrayValue`.
    Array(&'a [u8]),
    /// A validated protobuf `KeyValueList`.
    KvList(&'a [u8]),
}

impl ValueRef<'_> {
    /// The same text as [`Value::to_text`] gives, without the memory of a tree for a list.
    pub fn to_text(self) -> String {
        match self {
            ValueRef::Array(_) | ValueRef::KvList(_) => {
                // Writing into memory cannot fail, and nothing in a value refuses to be written.
                serde_json::to_string(&Json(self)).unwrap_or_default()
            }
            plain => plain.to_value().to_text(),
        }
    }
}

/// A value written as [`Value::to_json`] would have it.
struct Json<'a>(ValueRef<'a>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ValueRef::Str(text) => to.serialize_str(text),
            ValueRef::Array(list) => to.collect_seq(crate::wire::array_items(list).map(Json)),
            ValueRef::KvList(list) => {
                // A key that comes twice has its first place and its last value.
                let mut members: indexmap::IndexMap<&str, ValueRef<'_>> = indexmap::IndexMap::new();
                for pair in crate::wire::kvlist_items(list) {
                    members.insert(pair.key, pair.value);
                }
                to.collect_map(members.into_iter().map(|(key, value)| (key, Json(value))))
            }
            plain => plain.to_value().to_json().serialize(to),
        }
    }
}

/// One borrowed attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeyValueRef<'a> {
    /// The key as sent.
    pub key: &'a str,
    /// The value as sent.
    pub value: ValueRef<'a>,
}
