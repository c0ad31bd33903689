//! From text to tree.

use super::ast::{Comparison, Expr, Node, Span, Test, Text, Value};
use super::cursor::{Cursor, error};
use super::fields::{Shape, Subject, intrinsic_names, quoted_subject, subject_of};
use super::highlight::{Class, Token};
use super::{DEPTH_MAX, LENGTH_MAX, quantity};
use crate::error::QueryError;
use crate::nearest::nearest;

/// The tree of a text, and the pieces seen on the way, up to an error if there is one.
pub(super) fn parse(text: &str) -> (Result<Node, QueryError>, Vec<Token>) {
    if text.len() > LENGTH_MAX {
        let message = format!(
            "the query is {} bytes long, over the limit of {LENGTH_MAX}",
            text.len()
        );
        return (Err(error(Span::new(0, text.len()), message)), Vec::new());
    }
    let mut parser = Parser {
        cursor: Cursor::new(text),
        depth: 0,
        group: None,
    };
    let parsed = parser.query();
    (parsed, parser.cursor.into_tokens())
}

type Parsed = Result<Node, QueryError>;

struct Parser<'a> {
    cursor: Cursor<'a>,
    depth: usize,
    /// The field whose tests stand in the parentheses that the cursor is in.
    group: Option<(Subject, Span)>,
}

impl Parser<'_> {
    fn query(&mut self) -> Parsed {
        self.cursor.skip_space();
        if self.cursor.is_at_end() {
            return Ok(Node {
                span: Span::default(),
                expr: Expr::All,
            });
        }
        let node = self.or()?;
        self.cursor.skip_space();
        if let Some(c) = self.cursor.peek() {
            let span = Span::new(self.cursor.at(), self.cursor.at() + c.len_utf8());
            return Err(error(span, "a parenthesis is closed that was not opened"));
        }
        Ok(node)
    }

    fn or(&mut self) -> Parsed {
        let mut nodes = vec![self.and()?];
        loop {
            self.cursor.skip_space();
            let Some(operator) = self.cursor.take_keyword("OR") else {
                break;
            };
            self.expect_condition(operator, "OR")?;
            nodes.push(self.and()?);
        }
        Ok(join(nodes, Expr::Or))
    }

    fn and(&mut self) -> Parsed {
        let mut nodes = vec![self.not()?];
        loop {
            self.cursor.skip_space();
            if let Some(operator) = self.cursor.take_keyword("AND") {
                self.expect_condition(operator, "AND")?;
            } else if self.cursor.is_at_boundary() || self.cursor.keyword() == Some("OR") {
                break;
            }
            nodes.push(self.not()?);
        }
        Ok(join(nodes, Expr::And))
    }

    fn expect_condition(&mut self, operator: Span, name: &str) -> Result<(), QueryError> {
        self.cursor.skip_space();
        if self.cursor.is_at_boundary() {
            return Err(error(operator, format!("nothing follows {name}"))
                .hint("add a condition, or quote the word to search for it"));
        }
        Ok(())
    }

    fn not(&mut self) -> Parsed {
        self.cursor.skip_space();
        let start = self.cursor.at();
        let operator = match self.cursor.take_keyword("NOT") {
            Some(operator) => Some((operator, "NOT")),
            None => self.minus().map(|operator| (operator, "-")),
        };
        let Some((operator, name)) = operator else {
            return self.term();
        };
        self.expect_condition(operator, name)?;
        self.deeper(start)?;
        let inner = self.not()?;
        self.depth -= 1;
        let span = Span::new(start, inner.span.end);
        Ok(Node {
            span,
            expr: Expr::Not(Box::new(inner)),
        })
    }

    /// A minus sign that negates: inside a field's parentheses one before a digit does not.
    fn minus(&mut self) -> Option<Span> {
        let after = self.cursor.rest().strip_prefix('-')?;
        let next = after.chars().next();
        let negates = match next {
            None => false,
            Some(c) if self.group.is_some() && (c.is_ascii_digit() || c == '.') => false,
            Some(c) => !c.is_whitespace(),
        };
        if negates {
            self.cursor.take("-", Class::Operator)
        } else {
            None
        }
    }

    fn deeper(&mut self, start: usize) -> Result<(), QueryError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let span = Span::new(start, self.cursor.at());
            let message = format!("conditions are nested deeper than {DEPTH_MAX} levels");
            return Err(error(span, message));
        }
        Ok(())
    }

    fn term(&mut self) -> Parsed {
        let start = self.cursor.at();
        if let Some(keyword) = self.cursor.keyword() {
            let span = Span::new(start, start + keyword.len());
            return Err(error(span, format!("{keyword} has no condition before it"))
                .hint("quote the word to search for it"));
        }
        if let Some(open) = self.cursor.take("(", Class::Parenthesis) {
            let inner = self.parenthesised(open)?;
            return Ok(inner);
        }
        if let Some((subject, name)) = self.group.clone() {
            let test = self.test(&subject, name)?;
            return Ok(self.field_node(start, subject, name, test));
        }
        match self.field_name()? {
            Some((subject, name)) => self.field(start, subject, name),
            None => self.text(),
        }
    }

    fn parenthesised(&mut self, open: Span) -> Parsed {
        self.deeper(open.start)?;
        self.cursor.skip_space();
        if self.cursor.rest().starts_with(')') {
            let span = Span::new(open.start, self.cursor.at() + 1);
            return Err(error(span, "there is nothing between the parentheses"));
        }
        if self.cursor.is_at_end() {
            return Err(unclosed(open));
        }
        let mut node = self.or()?;
        self.cursor.skip_space();
        let Some(close) = self.cursor.take(")", Class::Parenthesis) else {
            return Err(unclosed(open));
        };
        self.depth -= 1;
        node.span = Span::new(open.start, close.end);
        Ok(node)
    }

    /// Takes a field name and its colon, if one stands here.
    fn field_name(&mut self) -> Result<Option<(Subject, Span)>, QueryError> {
        let start = self.cursor.at();
        let plain = self.cursor.run(Some(':'));
        let name = self.cursor.slice(plain);
        let subject = match self.cursor.peek() {
            Some(':') if name.is_empty() => {
                let span = Span::new(start, start + 1);
                return Err(error(span, "there is no field name before the colon")
                    .hint("quote the text to search for it"));
            }
            Some(':') => subject_of(name),
            Some('"') if name.is_empty() || name.ends_with('.') => {
                let Some(subject) = self.quoted_name(name)? else {
                    self.cursor.rewind(start);
                    return Ok(None);
                };
                subject
            }
            _ => {
                self.cursor.rewind(start);
                return Ok(None);
            }
        };
        let span = Span::new(start, self.cursor.at());
        self.cursor.token(span, Class::Field);
        self.cursor.take(":", Class::Operator);
        Ok(Some((subject, span)))
    }

    /// The field of a quoted key after a prefix; nothing where no colon follows.
    fn quoted_name(&mut self, prefix: &str) -> Result<Option<Subject>, QueryError> {
        let start = self.cursor.at() - prefix.len();
        let mut ahead = Cursor::new(
            self.cursor
                .slice(Span::new(0, self.cursor.at() + self.cursor.rest().len())),
        );
        ahead.rewind(self.cursor.at());
        let (key, quoted) = ahead.quoted(Class::Field)?;
        if ahead.peek() != Some(':') {
            return Ok(None);
        }
        let Some(subject) = quoted_subject(prefix, &key) else {
            let span = Span::new(start, quoted.start);
            return Err(
                error(span, format!("{prefix:?} is not a prefix of a field name"))
                    .hint("use one of resource. scope. attr. event. link."),
            );
        };
        if key.is_empty() {
            return Err(error(quoted, "the field name is empty"));
        }
        self.cursor.rewind(quoted.end);
        Ok(Some(subject))
    }

    fn field(&mut self, start: usize, subject: Subject, name: Span) -> Parsed {
        if let Some(open) = self.cursor.take("(", Class::Parenthesis) {
            self.group = Some((subject, name));
            let node = self.parenthesised(open);
            self.group = None;
            let mut node = node?;
            node.span.start = start;
            return Ok(node);
        }
        let test = self.test(&subject, name)?;
        Ok(self.field_node(start, subject, name, test))
    }

    fn field_node(&self, start: usize, subject: Subject, name: Span, test: Test) -> Node {
        let span = Span::new(start, self.cursor.at());
        Node {
            span,
            expr: Expr::Field {
                subject,
                name,
                test,
            },
        }
    }

    fn test(&mut self, subject: &Subject, name: Span) -> Result<Test, QueryError> {
        const COMPARISONS: [Comparison; 4] = [
            Comparison::GreaterOrEqual,
            Comparison::LessOrEqual,
            Comparison::Greater,
            Comparison::Less,
        ];
        for comparison in COMPARISONS {
            if let Some(operator) = self.cursor.take(comparison.symbol(), Class::Operator) {
                let value = self.value(Span::new(name.start, operator.end))?;
                return Ok(Test::Compare(comparison, value));
            }
        }
        if let Some(operator) = self.cursor.take("!=", Class::Operator) {
            return Ok(Test::Differs(
                self.value(Span::new(name.start, operator.end))?,
            ));
        }
        if let Some(operator) = self.cursor.take("=", Class::Operator) {
            return Ok(Test::Equals(
                self.value(Span::new(name.start, operator.end))?,
            ));
        }
        if let Some((pattern, span)) = self.cursor.regex() {
            check_regex(&pattern, span)?;
            return Ok(Test::Regex(Value {
                text: pattern,
                quoted: false,
                span,
            }));
        }
        let value = self.value(Span::new(name.start, self.cursor.at()))?;
        if value.quoted {
            let prefix = self.cursor.take("*", Class::Operator).is_some();
            self.expect_boundary()?;
            return Ok(if prefix {
                Test::Prefix(value)
            } else {
                Test::Is(value)
            });
        }
        if name.end - name.start <= 5
            && value.text.starts_with("//")
            && matches!(self.cursor.slice(name), "http" | "https")
        {
            let span = Span::new(name.start, value.span.end);
            return Err(error(span, "an address reads as a field and its value")
                .hint("quote it to search for it"));
        }
        Ok(classify(subject, value))
    }

    /// A value, quoted or not. `before` is what it belongs to, for the error that it is missing.
    fn value(&mut self, before: Span) -> Result<Value, QueryError> {
        if self.cursor.peek() == Some('"') {
            let (text, span) = self.cursor.quoted(Class::Quoted)?;
            return Ok(Value {
                text,
                quoted: true,
                span,
            });
        }
        let span = self.cursor.run(None);
        if span.start == span.end {
            let written = self.cursor.slice(before);
            return Err(error(before, format!("there is no value after {written}"))
                .hint("write the value right after it, \"\" for an empty one or * for any"));
        }
        self.cursor.token(span, Class::Value);
        self.expect_boundary()?;
        Ok(Value {
            text: self.cursor.slice(span).to_owned(),
            quoted: false,
            span,
        })
    }

    fn expect_boundary(&mut self) -> Result<(), QueryError> {
        if self.cursor.is_at_boundary() {
            return Ok(());
        }
        let at = self.cursor.at();
        let end = at + self.cursor.peek().map_or(0, char::len_utf8);
        Err(
            error(Span::new(at, end), "the value goes on without a space")
                .hint("put a space between conditions, or quote the whole value"),
        )
    }

    fn text(&mut self) -> Parsed {
        let start = self.cursor.at();
        if self.cursor.peek() == Some('"') {
            let (text, span) = self.cursor.quoted(Class::Quoted)?;
            let prefix = self.cursor.take("*", Class::Operator).is_some();
            check_words(&text, span)?;
            let span = Span::new(start, self.cursor.at());
            return Ok(Node {
                span,
                expr: Expr::Text(Text {
                    text,
                    quoted: true,
                    prefix,
                }),
            });
        }
        let span = self.cursor.run(None);
        let word = self.cursor.slice(span);
        self.cursor.token(span, Class::Word);
        if word == "*" {
            return Ok(Node {
                span,
                expr: Expr::All,
            });
        }
        forgotten_colon(word, span)?;
        let (text, prefix) = match word.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (word, false),
        };
        if text.contains('*') {
            return Err(error(span, "a word may have a * at its end only")
                .hint("use a field: body:/regex/ or name:*text*"));
        }
        check_words(text, span)?;
        Ok(Node {
            span,
            expr: Expr::Text(Text {
                text: text.to_owned(),
                quoted: false,
                prefix,
            }),
        })
    }
}

fn unclosed(open: Span) -> QueryError {
    error(open, "a parenthesis is never closed").hint("add the closing )")
}

fn join(mut nodes: Vec<Node>, list: impl FnOnce(Vec<Node>) -> Expr) -> Node {
    if nodes.len() == 1 {
        return nodes.remove(0);
    }
    let start = nodes.first().map_or(0, |node| node.span.start);
    let end = nodes.last().map_or(0, |node| node.span.end);
    Node {
        span: Span::new(start, end),
        expr: list(nodes),
    }
}

/// What an unquoted value after a colon means: existence, a prefix, a glob, a range, a value.
fn classify(subject: &Subject, value: Value) -> Test {
    let shape = subject.shape();
    if value.text == "*" {
        return Test::Exists;
    }
    if let Some((from, to)) = range(shape, &value) {
        return Test::Range(from, to);
    }
    match value.text.strip_suffix('*') {
        Some(stem) if !stem.contains('*') => {
            let end = value.span.end - 1;
            let span = Span::new(value.span.start, end);
            Test::Prefix(Value {
                text: stem.to_owned(),
                quoted: false,
                span,
            })
        }
        _ if value.text.contains('*') => Test::Glob(value),
        _ => Test::Is(value),
    }
}

/// The sides of `a..b`. Attributes hold any text, so there both sides have to be numbers.
fn range(shape: Shape, value: &Value) -> Option<(Option<Value>, Option<Value>)> {
    let (from, to) = value.text.split_once("..")?;
    let ordered = match shape {
        Shape::Duration | Shape::Level | Shape::Severity | Shape::Count => true,
        Shape::Attribute => {
            let is_number = |side: &str| side.is_empty() || quantity::number(side).is_some();
            is_number(from) && is_number(to)
        }
        Shape::Text | Shape::Body | Shape::Choice(_) | Shape::Id(_) => false,
    };
    if !ordered || (from.is_empty() && to.is_empty()) {
        return None;
    }
    let middle = value.span.start + from.len();
    let side = |text: &str, span: Span| {
        (!text.is_empty()).then(|| Value {
            text: text.to_owned(),
            quoted: false,
            span,
        })
    };
    Some((
        side(from, Span::new(value.span.start, middle)),
        side(to, Span::new(middle + 2, value.span.end)),
    ))
}

/// Patterns are compiled by each source again; here it is about the error's position.
fn check_regex(pattern: &str, span: Span) -> Result<(), QueryError> {
    match regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
    {
        Ok(_) => Ok(()),
        Err(regex::Error::CompiledTooBig(_)) => Err(error(span, "the pattern is too large")),
        Err(problem) => {
            let text = problem.to_string();
            let reason = text
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            Err(error(span, format!("the pattern does not parse: {reason}")))
        }
    }
}

fn check_words(text: &str, span: Span) -> Result<(), QueryError> {
    if storage::words::split(text).is_empty() {
        return Err(error(span, "there is no letter or digit to search for")
            .hint("words are searched; for other characters use body:/regex/"));
    }
    Ok(())
}

/// `duration>250ms` is two words, and never what was meant.
fn forgotten_colon(word: &str, span: Span) -> Result<(), QueryError> {
    let Some(at) = word.find(['=', '<', '>', '!']) else {
        return Ok(());
    };
    let (name, test) = word.split_at(at);
    let test = test.strip_prefix('=').unwrap_or(test);
    let known = intrinsic_names().any(|known| known == name);
    let meant = if known { Some(name) } else { None };
    // An ordering shows the intent even where the name is mistyped.
    let meant = meant.or_else(|| {
        let orders = test.starts_with(['<', '>']);
        if orders {
            nearest(name, intrinsic_names())
        } else {
            None
        }
    });
    match meant {
        Some(name) => Err(error(span, "a condition on a field needs a colon")
            .hint(format!("write {name}:{test}, or quote it to search for it"))),
        None => Ok(()),
    }
}
