//! What to look for: fields, comparisons and their boolean combinations.
//!
//! Every query language compiles to this. The index may only say that a block *can* match; these
//! conditions, evaluated over decoded columns, decide. All conditions hold on one row. A
//! comparison on a field that a row lacks is false, so its negation is true.

use std::cell::Cell;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// How deep a filter that comes from outside may nest.
pub const DEPTH_MAX: usize = 200;

/// A field of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Field {
    /// `service.name` of the resource, `unknown_service` where it has none.
    Service,
    /// Span name, or metric name.
    Name,
    /// Span kind by name (`server`, `client`, ...).
    Kind,
    /// Span status by name (`unset`, `ok`, `error`).
    Status,
    /// Span status message.
    StatusMessage,
    /// Span duration in nanoseconds.
    Duration,
    /// Trace id, lower-case hex.
    TraceId,
    /// Span id, lower-case hex.
    SpanId,
    /// Parent span id, lower-case hex; missing on a root.
    ParentId,
    /// W3C trace state.
    TraceState,
    /// Severity as a number 1 to 24: the number sent, else what the severity text means.
    Severity,
    /// Severity by name (`trace`, `debug`, `info`, `warn`, `error`, `fatal`).
    Level,
    /// Severity text as sent.
    SeverityText,
    /// Body of a log record; of a body that is not text, its compact JSON.
    Body,
    /// Name of a log record's event, or of any event of a span.
    EventName,
    /// Trace id of any link of a span.
    LinkTraceId,
    /// Any correlation value.
    Correlation,
    /// Name of the instrumentation scope.
    ScopeName,
    /// Version of the instrumentation scope.
    ScopeVersion,
    /// An attribute.
    Attribute {
        /// Whose attribute.
        level: Level,
        /// Its key.
        key: String,
    },
}

/// Whose attribute a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// The row's, else the scope's, else the resource's: the first that has the key.
    Any,
    /// The span's or log record's own.
    Row,
    /// The instrumentation scope's.
    Scope,
    /// The resource's.
    Resource,
    /// Any event of a span.
    Event,
    /// Any link of a span.
    Link,
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Operand {
    /// Unquoted text: equals a string of the same text, and a number or boolean that it reads as.
    Literal(String),
    /// Quoted text: equals strings alone.
    Text(String),
    /// An integer: equals integers and doubles of the same value.
    Int(i64),
    /// A double.
    Double(f64),
    /// A boolean.
    Bool(bool),
}

/// How to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// Equal.
    Eq,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

thread_local! {
    /// How many conditions around it the one that is being read here has.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Reads what is within a condition. A hostile filter nests as deep as it is long, and each level
/// takes some of the stack.
fn deeper<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<T, D::Error> {
    let depth = DEPTH.get();
    if depth == DEPTH_MAX {
        return Err(D::Error::custom("the filter nests too deep"));
    }
    DEPTH.set(depth + 1);
    let read = T::deserialize(reader);
    DEPTH.set(depth);
    read
}

/// A condition on a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Filter {
    /// True for every row.
    All,
    /// True where every condition is; an empty list is true.
    And(#[serde(deserialize_with = "deeper")] Vec<Filter>),
    /// True where any condition is; an empty list is false.
    Or(#[serde(deserialize_with = "deeper")] Vec<Filter>),
    /// True where the condition is not.
    Not(#[serde(deserialize_with = "deeper")] Box<Filter>),
    /// The row has the field.
    Exists(Field),
    /// The field compares so. Numbers compare with numbers, text with text.
    Compare {
        /// Left side.
        field: Field,
        /// Operator.
        op: Op,
        /// Right side.
        value: Operand,
    },
    /// The field's text is one of these, exactly: for lists of ids.
    AnyOf {
        /// The field.
        field: Field,
        /// The texts.
        values: Vec<String>,
    },
    /// The field's text matches somewhere; anchor the pattern to match it whole.
    Regex {
        /// The field.
        field: Field,
        /// Rust regex syntax.
        pattern: String,
    },
    /// The field's text begins with this, case-sensitive.
    Prefix {
        /// The field.
        field: Field,
        /// The prefix.
        prefix: String,
    },
    /// Words of the body or span name (or of the field named), case-insensitive; see
    /// [`crate::words`] for what a word is.
    Words {
        /// Where to look; the body of a log record or the name of a span where not said.
        field: Option<Field>,
        /// Lower-case words.
        words: Vec<String>,
        /// Whether the words must follow each other without a word between them.
        phrase: bool,
        /// Whether the last word may be the beginning of a longer one.
        prefix: bool,
    },
}

impl Filter {
    /// `field` equals `text` exactly.
    pub fn text_equals(field: Field, text: impl Into<String>) -> Self {
        Filter::Compare {
            field,
            op: Op::Eq,
            value: Operand::Text(text.into()),
        }
    }

    /// Both conditions, without needless nesting.
    pub fn and(self, other: Filter) -> Self {
        match (self, other) {
            (Filter::All, filter) | (filter, Filter::All) => filter,
            (Filter::And(mut left), Filter::And(right)) => {
                left.extend(right);
                Filter::And(left)
            }
            (Filter::And(mut list), filter) => {
                list.push(filter);
                Filter::And(list)
            }
            (left, right) => Filter::And(vec![left, right]),
        }
    }
}
