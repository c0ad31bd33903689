//! Prometheus rule files with positions.
//!
//! The structure is checked here: keys, types, durations, names. The languages in it, PromQL and
//! templates, are checked by the caller through [`Syntax`], which says where in an expression it is
//! wrong; that offset is mapped to line and column of the file, block scalars included.

mod expr;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ConfigError;
use crate::section::{Context, Value, refuse_unknown};
use crate::yaml::{self, Content, Node};

pub use expr::Expr;

/// A syntax error in an expression, in byte offsets of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprError {
    pub start: usize,
    pub end: usize,
    pub message: String,
}

/// Checks the languages that this crate knows nothing of.
pub trait Syntax {
    /// Checks a PromQL expression.
    fn expr(&self, text: &str) -> Result<(), ExprError>;

    /// Checks the name and the labels of a series, which may have neither.
    fn series(&self, text: &str) -> Result<(), ExprError>;

    /// Checks the template of an alert's label or annotation; the error is one sentence.
    fn template(&self, text: &str) -> Result<(), String>;

    /// Whether keys of rule files that nobody knows are passed over.
    fn ignores_unknown_keys(&self) -> bool {
        false
    }
}

/// A rule file.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// As it was named.
    pub file: String,
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated together, one after another.
#[derive(Clone, Debug)]
pub struct RuleGroup {
    pub name: String,
    pub line: u32,
    /// `None` stands for `rules.interval`.
    pub interval: Option<Duration>,
    /// Series or alerts that one rule may make; 0 for no limit.
    pub limit: usize,
    /// Evaluate as of this long ago.
    pub query_offset: Option<Duration>,
    /// Added to every rule's labels, which win.
    pub labels: BTreeMap<String, String>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub kind: RuleKind,
    pub expr: Expr,
    pub labels: BTreeMap<String, String>,
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleKind {
    Alert {
        name: String,
        /// How long the expression must hold before the alert fires.
        r#for: Duration,
        /// How long the alert stays after the expression no longer holds.
        keep_firing_for: Duration,
        annotations: BTreeMap<String, String>,
    },
    Record {
        /// The metric that is written.
        name: String,
    },
}

const FILE_KEYS: [&str; 1] = ["groups"];
const GROUP_KEYS: [&str; 6] = [
    "name",
    "interval",
    "query_offset",
    "limit",
    "labels",
    "rules",
];
const ALERT_ONLY: [&str; 3] = ["for", "keep_firing_for", "annotations"];
const RULE_KEYS: [&str; 7] = [
    "record",
    "alert",
    "expr",
    "for",
    "keep_firing_for",
    "labels",
    "annotations",
];

/// Reads a rule file; `file` is its name in errors. All mistakes come at once, in the order of
/// the file.
pub fn parse_rule_file(
    file: &str,
    text: &str,
    syntax: &dyn Syntax,
) -> Result<RuleFile, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let root = yaml::parse(file, text, &mut errors);
    let mut reader = Reader {
        cx: Context {
            errors: &mut errors,
            base_dir: std::path::PathBuf::new(),
        },
        source: text.chars().collect(),
        syntax,
    };
    let groups = root.map(|root| reader.file(&root)).unwrap_or_default();
    errors.sort();
    errors.dedup();
    if errors.is_empty() {
        return Ok(RuleFile {
            file: file.to_owned(),
            groups,
        });
    }
    Err(errors)
}

struct Reader<'a> {
    cx: Context<'a>,
    /// The file by character, as the positions count.
    source: Vec<char>,
    syntax: &'a dyn Syntax,
}

impl Reader<'_> {
    fn file(&mut self, root: &Node) -> Vec<RuleGroup> {
        if root.is_null() {
            return Vec::new();
        }
        if root.as_map().is_none() {
            self.cx.expected(root, "a map with `groups`", None);
            return Vec::new();
        }
        self.refuse_unknown(root, &FILE_KEYS);
        let mut names: BTreeMap<String, u32> = BTreeMap::new();
        let mut groups = Vec::new();
        for node in self.list(root, "groups", "a list of groups") {
            let Some(group) = self.group(node) else {
                continue;
            };
            if let Some(first) = names.insert(group.name.clone(), group.line) {
                let name = node.get("name").unwrap_or(node);
                let message = format!("group `{}` is there twice", group.name);
                let hint = format!("first on line {first}; names are unique within a file");
                self.cx.error(name, message, Some(hint));
            }
            groups.push(group);
        }
        groups
    }

    fn refuse_unknown(&mut self, node: &Node, known: &[&str]) {
        if !self.syntax.ignores_unknown_keys() {
            refuse_unknown(node, known, &mut self.cx);
        }
    }

    /// The elements of a list under a key; nothing there is an empty list.
    fn list<'n>(&mut self, node: &'n Node, key: &str, kind: &str) -> &'n [Node] {
        match node.get(key).map(|value| (value, &value.content)) {
            Some((_, Content::List(items))) => items,
            None | Some((_, Content::Null)) => &[],
            Some((value, _)) => {
                self.cx.expected(value, kind, None);
                &[]
            }
        }
    }

    /// The value of an optional key.
    fn optional<T: Value>(&mut self, node: &Node, key: &str) -> Option<T> {
        let value = node.get(key).filter(|value| !value.is_null())?;
        T::read(value, &mut self.cx)
    }

    fn group(&mut self, node: &Node) -> Option<RuleGroup> {
        if node.as_map().is_none() {
            self.cx
                .expected(node, "a group with `name` and `rules`", None);
            return None;
        }
        self.refuse_unknown(node, &GROUP_KEYS);
        let name = node.get("name").filter(|name| !name.is_null());
        if name.is_none() {
            self.cx
                .error(node, "the group has no `name`".to_owned(), None);
        }
        let name = name.and_then(|name| String::read(name, &mut self.cx));
        let interval = self.optional::<Duration>(node, "interval");
        let query_offset = self.optional(node, "query_offset");
        let limit = self.optional(node, "limit").unwrap_or(0);
        let labels = self.labels(node);
        let nodes = self.list(node, "rules", "a list of rules");
        if nodes.iter().any(|rule| rule.get("alert").is_some()) {
            // They become labels of its alerts, where templates are expanded.
            self.templates(node, "labels");
        }
        // Every rule is read even if one fails, to report all mistakes.
        let rules: Vec<Option<Rule>> = nodes.iter().map(|rule| self.rule(rule)).collect();
        Some(RuleGroup {
            name: name?,
            line: node.place.line,
            interval: interval.filter(|interval| !interval.is_zero()),
            limit,
            query_offset,
            labels,
            rules: rules.into_iter().collect::<Option<Vec<_>>>()?,
        })
    }

    fn rule(&mut self, node: &Node) -> Option<Rule> {
        if node.as_map().is_none() {
            let kind = "a rule with `expr` and either `record` or `alert`";
            self.cx.expected(node, kind, None);
            return None;
        }
        self.refuse_unknown(node, &RULE_KEYS);
        let kind = self.kind(node);
        let labels = self.labels(node);
        if let Some(RuleKind::Alert { .. }) = kind {
            self.templates(node, "labels");
            self.templates(node, "annotations");
        }
        let expr = self.expr(node);
        Some(Rule {
            kind: kind?,
            expr: expr?,
            labels,
            line: node.place.line,
        })
    }

    fn kind(&mut self, node: &Node) -> Option<RuleKind> {
        let given = |key| node.get(key).filter(|value: &&Node| !value.is_null());
        let hold = self.optional(node, "for");
        let keep_firing_for = self.optional(node, "keep_firing_for");
        let annotations = self.text_map(node, "annotations");
        match (given("alert"), given("record")) {
            (Some(_), Some(record)) => {
                let message = "both `alert` and `record` in one rule".to_owned();
                let hint = "write two rules".to_owned();
                self.cx.error(record, message, Some(hint));
                None
            }
            (None, None) => {
                let message = "the rule has neither `record` nor `alert`".to_owned();
                self.cx.error(node, message, None);
                None
            }
            (Some(alert), None) => Some(RuleKind::Alert {
                name: String::read(alert, &mut self.cx)?,
                r#for: hold.unwrap_or_default(),
                keep_firing_for: keep_firing_for.unwrap_or_default(),
                annotations,
            }),
            (None, Some(record)) => {
                self.refuse_alert_keys(node);
                let name = String::read(record, &mut self.cx)?;
                self.check_metric_name(record, &name);
                Some(RuleKind::Record { name })
            }
        }
    }

    fn refuse_alert_keys(&mut self, node: &Node) {
        for (key, value) in node.as_map().unwrap_or_default() {
            let name = key.as_text().unwrap_or_default();
            if ALERT_ONLY.contains(&name) && !value.is_null() {
                let message = format!("`{name}` in a recording rule");
                self.cx
                    .error(key, message, Some("only alerting rules have it".to_owned()));
            }
        }
    }

    /// Any text names a metric, but braces are a sign of an expression in the wrong place.
    fn check_metric_name(&mut self, node: &Node, name: &str) {
        if name.contains(['{', '}']) {
            let hint = "an expression belongs under `expr`".to_owned();
            let message = format!("`{name}` is not a metric name");
            self.cx.error(node, message, Some(hint));
        }
    }

    fn labels(&mut self, node: &Node) -> BTreeMap<String, String> {
        let labels = self.text_map(node, "labels");
        for (key, _) in entries(node, "labels") {
            if key.as_text() == Some("__name__") {
                let hint = "the name of a recorded metric belongs under `record`".to_owned();
                self.cx
                    .error(key, "`__name__` may not be set".to_owned(), Some(hint));
            }
        }
        labels
    }

    /// Checks the values of a map of templates.
    fn templates(&mut self, node: &Node, key: &str) {
        for (_, value) in entries(node, key) {
            if let Some(Err(reason)) = value.as_text().map(|text| self.syntax.template(text)) {
                self.cx
                    .error(value, format!("invalid template: {reason}"), None);
            }
        }
    }

    /// A map of text; an empty value is empty text, as Prometheus has it.
    fn text_map(&mut self, node: &Node, key: &str) -> BTreeMap<String, String> {
        let Some(value) = node.get(key).filter(|value| !value.is_null()) else {
            return BTreeMap::new();
        };
        let Some(entries) = value.as_map() else {
            self.cx.expected(value, "a map of text to text", None);
            return BTreeMap::new();
        };
        let mut map = BTreeMap::new();
        for (name, value) in entries {
            let text = match &value.content {
                Content::Scalar { text, .. } => text.clone(),
                Content::Null => String::new(),
                _ => {
                    self.cx.expected(value, "text", None);
                    continue;
                }
            };
            let Some(label) = name.as_text().filter(|label| !label.is_empty()) else {
                self.cx.expected(name, "a name", None);
                continue;
            };
            map.insert(label.to_owned(), text);
        }
        map
    }

    fn expr(&mut self, node: &Node) -> Option<Expr> {
        let Some(value) = node.get("expr").filter(|value| !value.is_null()) else {
            self.cx
                .error(node, "the rule has no `expr`".to_owned(), None);
            return None;
        };
        let Content::Scalar { text, style } = &value.content else {
            self.cx.expected(value, "a PromQL expression", None);
            return None;
        };
        if text.trim().is_empty() {
            self.cx.error(value, "`expr` is empty".to_owned(), None);
            return None;
        }
        let expr = Expr::new(text, *style, value, &self.source);
        if let Err(error) = self.syntax.expr(text) {
            let (line, column) = expr.position(error.start);
            self.cx.errors.push(ConfigError {
                file: value.file.to_string(),
                line,
                column,
                message: format!("invalid expression: {}", error.message),
                hint: None,
            });
        }
        Some(expr)
    }
}

/// The entries of the map under a key.
fn entries<'n>(node: &'n Node, key: &str) -> &'n [(Node, Node)] {
    node.get(key).and_then(Node::as_map).unwrap_or_default()
}

#[cfg(test)]
mod tests;
