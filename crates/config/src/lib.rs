//! The one configuration file, its environment overrides, and Prometheus rule files: read from
//! YAML with positions, validated, all errors at once.
//!
//! [`Config`] is the tree of settings; each key is one line in `settings.rs` with its default
//! and its documentation, and `docs/configuration.md` lists them all. [`RuleFile`] is a
//! Prometheus rule file; its expressions and templates are checked through a trait, because
//! this crate knows nothing of their languages. Everything that is wrong becomes a [`ConfigError`] with
//! file, line, column, what was expected, and the nearest known name.

mod check;
mod environment;
mod error;
mod load;
mod rule_tests;
mod rules;
mod section;
mod settings;
mod units;
mod values;
mod yaml;

pub use check::{FileKind, check, kind_of};
pub use error::ConfigError;
pub use load::RULE_FILE_BYTES_MAX;
pub use rule_tests::{
    AlertTest, ExpectedAlert, ExpectedSample, ExprTest, InputSeries, RuleTest, RuleTests,
    load_rule_tests,
};
pub use rules::{Expr, ExprError, Rule, RuleFile, RuleGroup, RuleKind, Syntax, parse_rule_file};
pub use section::Key;
pub use settings::*;
pub use units::{ByteSize, format_duration, parse_duration};
pub use values::{CapturePattern, Endpoint, PathPattern, Pattern, Url};
