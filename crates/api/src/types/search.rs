//! What a query can be made of: fields, their values, completion, the parts of a text.

use serde::{Deserialize, Serialize};

use super::{ApiError, Completeness};

/// Answer of `GET fields`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldsAnswer {
    /// Fields by count.
    pub fields: Vec<FieldView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldView {
    /// As written in a query.
    pub name: String,
    /// Value type.
    pub kind: String,
    /// Rows that have it.
    pub count: u64,
}

/// Answer of `GET fields/{field}/values`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ValuesAnswer {
    /// Values by count.
    pub values: Vec<ValueView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ValueView {
    /// The value's text.
    pub value: String,
    /// Rows that have it.
    pub count: u64,
}

/// Answer of `GET search/complete`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CompleteAnswer {
    /// What stands at the cursor: `field`, `value` or `nothing`.
    pub context: String,
    /// The field whose value is being typed, or empty.
    pub field: String,
    /// First byte of the query that a suggestion replaces.
    pub start: usize,
    /// One past the last byte that it replaces.
    pub end: usize,
    /// Best first.
    pub suggestions: Vec<CompletionView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// One suggestion.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CompletionView {
    /// As written in a query.
    pub text: String,
    /// Rows that have it; 0 where that was not counted.
    pub count: u64,
}

/// Answer of `GET search/highlight`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HighlightAnswer {
    /// Parts of the query in order.
    pub tokens: Vec<TokenView>,
    /// What is wrong with the query, if anything.
    pub error: Option<ApiError>,
}

/// A part of a query text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenView {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// `field`, `operator`, `value`, `quoted`, `regex`, `word`, `parenthesis` or `error`.
    pub class: String,
}
