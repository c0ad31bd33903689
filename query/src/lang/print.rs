//! From tree to text, such that the text parses to the same tree.

use std::fmt;

use super::ast::{Expr, Node, Test, Value};

/// A text in quotes.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expr {
            Expr::All => f.write_str("*"),
            Expr::And(nodes) => list(f, nodes, " "),
            Expr::Or(nodes) => list(f, nodes, " OR "),
            Expr::Not(node) => {
                f.write_str("NOT ")?;
                operand(f, node)
            }
            Expr::Field { subject, test, .. } => write!(f, "{}:{test}", subject.text()),
            Expr::Text(text) => {
                let star = if text.prefix { "*" } else { "" };
                if text.quoted {
                    write!(f, "{}{star}", quote(&text.text))
                } else {
                    write!(f, "{}{star}", text.text)
                }
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, nodes: &[Node], separator: &str) -> fmt::Result {
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        operand(f, node)?;
    }
    Ok(())
}

fn operand(f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
    match node.expr {
        Expr::And(_) | Expr::Or(_) => write!(f, "({node})"),
        _ => write!(f, "{node}"),
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Test::Exists => f.write_str("*"),
            Test::Is(value) | Test::Glob(value) => write!(f, "{value}"),
            Test::Equals(value) => write!(f, "={value}"),
            Test::Differs(value) => write!(f, "!={value}"),
            Test::Compare(comparison, value) => write!(f, "{}{value}", comparison.symbol()),
            Test::Range(from, to) => {
                let side = |value: &Option<Value>| {
                    value.as_ref().map_or_else(String::new, ToString::to_string)
                };
                write!(f, "{}..{}", side(from), side(to))
            }
            Test::Prefix(value) => write!(f, "{value}*"),
            Test::Regex(value) => {
                f.write_str("/")?;
                let mut chars = value.text.chars();
                while let Some(c) = chars.next() {
                    match c {
                        '/' => f.write_str("\\/")?,
                        '\\' => {
                            f.write_str("\\")?;
                            chars.next().map_or(Ok(()), |c| write!(f, "{c}"))?;
                        }
                        c => write!(f, "{c}")?,
                    }
                }
                f.write_str("/")
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.quoted {
            f.write_str(&quote(&self.text))
        } else {
            f.write_str(&self.text)
        }
    }
}
