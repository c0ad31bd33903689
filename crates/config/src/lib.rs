//! The one configuration file, its environment overrides, and Prometheus rule files: read from
//! YAML with positions, validated, all errors at once.
//!
//! [`Config`] is the tree of settings; each key is one line in `settings.rs` with its default
//! and its documentation, and `docs/configuration.md` lists them all. [`RuleFile`] is a
//! Prometheus rule file; the syntax of its expressions is checked through a callback, because
//! this crate knows nothing of PromQL. Everything that is wrong becomes a [`ConfigError`] with
//! file, line, column, what was expected, and the nearest known name.

mod check;
mod environment;
mod error;
mod load;
mod rules;
mod section;
mod settings;
mod units;
mod values;
mod yaml;

pub use check::{CheckDialect, FileKind, check, kind_of};
pub use error::ConfigError;
pub use load::RULE_FILE_BYTES_MAX;
pub use rules::{CheckExpr, Expr, ExprError, Rule, RuleFile, RuleGroup, RuleKind, parse_rule_file};
pub use section::Key;
pub use settings::*;
pub use units::{ByteSize, format_duration, parse_duration};
pub use values::{CapturePattern, Endpoint, PathPattern, Pattern, Url};
