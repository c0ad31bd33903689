//! Label matchers: `=`, `!=`, `=~`, `!~`.

mod re2;

use std::fmt;

use regex::Regex;

use crate::labels::{Labels, METRIC_NAME};

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `=~`
    Re,
    /// `!~`
    Nre,
}

impl MatchOp {
    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            MatchOp::Eq => "=",
            MatchOp::Ne => "!=",
            MatchOp::Re => "=~",
            MatchOp::Nre => "!~",
        }
    }
}

/// A condition on one label. A series without the label has the empty value.
#[derive(Clone)]
pub struct Matcher {
    /// Label name.
    pub name: String,
    /// Comparison.
    pub op: MatchOp,
    /// Value or regular expression.
    pub value: String,
    regex: Option<Regex>,
}

/// The largest compiled form of a regular expression.
const REGEX_SIZE_LIMIT_BYTES: usize = 4 << 20;

impl Matcher {
    /// A matcher; fails for a regular expression that does not compile or is too large.
    pub fn new(
        name: impl Into<String>,
        op: MatchOp,
        value: impl Into<String>,
    ) -> Result<Self, regex::Error> {
        let (name, value) = (name.into(), value.into());
        let regex = match op {
            MatchOp::Eq | MatchOp::Ne => None,
            MatchOp::Re | MatchOp::Nre => {
                stands_alone(&value)?;
                Some(anchored_regex(&value)?)
            }
        };
        Ok(Self {
            name,
            op,
            value,
            regex,
        })
    }

    /// An equality matcher.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            op: MatchOp::Eq,
            value: value.into(),
            regex: None,
        }
    }

    /// Whether a value satisfies it.
    pub fn matches(&self, value: &str) -> bool {
        let regex = || {
            self.regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(value))
        };
        match self.op {
            MatchOp::Eq => self.value == value,
            MatchOp::Ne => self.value != value,
            MatchOp::Re => regex(),
            MatchOp::Nre => !regex(),
        }
    }

    /// Whether the series with these labels satisfies it.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.value(&self.name))
    }

    /// Whether it is the equality matcher of the metric name.
    pub fn is_name(&self) -> bool {
        self.op == MatchOp::Eq && self.name == METRIC_NAME
    }

    /// The compiled regular expression, anchored at both ends, of `=~` and `!~`.
    pub fn regex(&self) -> Option<&Regex> {
        self.regex.as_ref()
    }
}

/// Compiles a regular expression as Prometheus reads it: RE2 syntax, matching the whole value,
/// `.` matching newlines too.
pub fn anchored_regex(pattern: &str) -> Result<Regex, regex::Error> {
    let pattern = re2::translate(pattern);
    regex::RegexBuilder::new(&format!("^(?s:{pattern})$"))
        .size_limit(REGEX_SIZE_LIMIT_BYTES)
        .build()
}

/// Fails for what is an expression only within the group that anchors it: `a){0}(b`.
fn stands_alone(pattern: &str) -> Result<(), regex::Error> {
    let pattern = re2::translate(pattern);
    let mut parser = regex_syntax::ast::parse::Parser::new();
    match parser.parse(&pattern) {
        Ok(_) => Ok(()),
        Err(_) => Regex::new(&pattern).map(drop),
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::labels::write_label_name(f, &self.name)?;
        write!(
            f,
            "{}{}",
            self.op.symbol(),
            crate::format::quote(&self.value)
        )
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_anchored_and_dots_match_newlines() {
        let matcher = |op, value: &str| Matcher::new("l", op, value).unwrap();
        assert!(matcher(MatchOp::Re, "a.c").matches("a\nc"));
        assert!(!matcher(MatchOp::Re, "b").matches("abc"));
        assert!(matcher(MatchOp::Re, "a|bc").matches("bc"));
        assert!(!matcher(MatchOp::Re, "a|bc").matches("ac"));
        assert!(matcher(MatchOp::Nre, "b").matches("abc"));
        assert!(matcher(MatchOp::Re, "").matches(""));
        for wrong in ["a(", "a){0}(b", "a)(b"] {
            assert!(Matcher::new("l", MatchOp::Re, wrong).is_err(), "{wrong}");
        }
        assert!(Matcher::new("l", MatchOp::Re, "((a{1000}){1000}){1000}").is_err());
    }
}
