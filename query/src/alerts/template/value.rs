//! Values that templates work with.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::format::float_g;
use crate::alerts::Sample;

/// A template value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    Sample(Sample),
    /// Seconds since the epoch, printed as a time.
    Time(f64),
}

impl Value {
    /// What Go calls empty: false, zero, and everything without members.
    pub(super) fn truth(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(flag) => *flag,
            Value::Int(int) => *int != 0,
            Value::Float(float) => *float != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Sample(_) | Value::Time(_) => true,
        }
    }

    /// The value as `print` writes it.
    pub(super) fn text(&self) -> String {
        match self {
            Value::Nil => "<no value>".into(),
            Value::Bool(flag) => flag.to_string(),
            Value::Int(int) => int.to_string(),
            Value::Float(float) => float_g(*float),
            Value::Str(text) => text.clone(),
            Value::List(list) => {
                format!(
                    "[{}]",
                    list.iter().map(Value::text).collect::<Vec<_>>().join(" ")
                )
            }
            Value::Map(map) => {
                let members: Vec<_> = map
                    .iter()
                    .map(|(key, value)| format!("{key}:{}", value.text()))
                    .collect();
                format!("map[{}]", members.join(" "))
            }
            Value::Sample(sample) => {
                let labels: Vec<_> = sample
                    .labels
                    .iter()
                    .map(|(key, value)| format!("{key}:{value}"))
                    .collect();
                format!(
                    "&{{map[{}] {}}}",
                    labels.join(" "),
                    float_g(sample.value.number())
                )
            }
            Value::Time(seconds) => super::format::timestamp(*seconds).unwrap_or_default(),
        }
    }

    /// About how much memory the value takes.
    pub(super) fn bytes(&self) -> usize {
        let members = match self {
            Value::Str(text) => text.len(),
            Value::List(list) => list.iter().map(Value::bytes).sum(),
            Value::Map(map) => {
                let members = map.iter();
                members.map(|(key, value)| key.len() + value.bytes()).sum()
            }
            Value::Sample(sample) => {
                let labels = sample.labels.iter();
                let texts = labels.map(|(key, value)| key.len() + value.len());
                texts.map(|text| text + 2 * size_of::<String>()).sum()
            }
            _ => 0,
        };
        members + size_of::<Value>()
    }

    /// The kind's name in error messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Nil => "nil",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Sample(_) => "sample",
            Value::Time(_) => "time",
        }
    }

    /// A number, also from a string that reads as one or as a duration.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn number(&self) -> Result<f64, String> {
        match self {
            Value::Int(int) => Ok(*int as f64),
            Value::Float(float) | Value::Time(float) => Ok(*float),
            Value::Str(text) => match text.trim() {
                "+Inf" | "Inf" => Ok(f64::INFINITY),
                "-Inf" => Ok(f64::NEG_INFINITY),
                trimmed => trimmed
                    .parse()
                    .map_err(|_| format!("{text:?} is not a number")),
            },
            other => Err(format!("can't convert {} to float", other.kind())),
        }
    }

    /// Text where a function wants a string.
    pub(super) fn string(&self) -> Result<&str, String> {
        match self {
            Value::Str(text) => Ok(text),
            other => Err(format!("expected string, got {}", other.kind())),
        }
    }

    /// Field or key of this name; a missing key of a map of labels is empty.
    pub(super) fn member(&self, name: &str) -> Result<Value, String> {
        match self {
            Value::Map(map) => Ok(map.get(name).cloned().unwrap_or(Value::Str(String::new()))),
            Value::Sample(sample) => match name {
                "Labels" => Ok(Value::Map(
                    sample
                        .labels
                        .iter()
                        .map(|(k, v)| (k.clone(), Value::Str(v.clone())))
                        .collect(),
                )),
                "Value" => Ok(Value::Float(sample.value.number())),
                _ => Err(format!("can't evaluate field {name} in type sample")),
            },
            Value::Nil => Err(format!("nil data; no entry for key {name:?}")),
            other => Err(format!(
                "can't evaluate field {name} in type {}",
                other.kind()
            )),
        }
    }

    /// Orders two basic values of one kind; numbers of both kinds compare with each other.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn compare(&self, other: &Value) -> Result<Ordering, String> {
        let incompatible = || "incompatible types for comparison".to_owned();
        match (self, other) {
            (Value::Str(a), Value::Str(b)) => Ok(a.cmp(b)),
            (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
            (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
            (Value::Nil, Value::Nil) => Ok(Ordering::Equal),
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                let (a, b) = (self.number()?, other.number()?);
                // Not-a-number is unequal to everything, as in Go.
                Ok(a.partial_cmp(&b).unwrap_or(Ordering::Greater))
            }
            _ => Err(incompatible()),
        }
    }
}
