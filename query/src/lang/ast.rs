//! The tree of a query.

use super::fields::Subject;

/// First and one past the last byte in the query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

impl Span {
    /// A span of these bytes.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// A condition and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where.
    pub span: Span,
    /// What.
    pub expr: Expr,
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// True for every row: an empty query, or `*`.
    All,
    /// All of at least two.
    And(Vec<Node>),
    /// Any of at least two.
    Or(Vec<Node>),
    /// Not this.
    Not(Box<Node>),
    /// A field and what it has to be.
    Field {
        /// Of a row or of a trace.
        subject: Subject,
        /// Where its name stands.
        name: Span,
        /// What it has to be.
        test: Test,
    },
    /// Words of the body or name.
    Text(Text),
}

/// A bare word or a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// As meant: without quotes and escapes.
    pub text: String,
    /// Whether it stood in quotes.
    pub quoted: bool,
    /// Whether the last word may be the beginning of a longer one.
    pub prefix: bool,
}

/// What a field has to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `:*`, there is one.
    Exists,
    /// `:value`, what one usually means: words for a body, else equal.
    Is(Value),
    /// `:=value`, equal.
    Equals(Value),
    /// `:!=value`, there and not equal.
    Differs(Value),
    /// `:>value` and the like.
    Compare(Comparison, Value),
    /// `:a..b`, both inclusive, either open.
    Range(Option<Value>, Option<Value>),
    /// `:text*`.
    Prefix(Value),
    /// `:*te*xt`, with at least one `*` that is not the last character.
    Glob(Value),
    /// `:/regex/`, found anywhere.
    Regex(Value),
}

/// An ordering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// As meant: without quotes and escapes.
    pub text: String,
    /// Whether it stood in quotes.
    pub quoted: bool,
    /// Where.
    pub span: Span,
}

impl Node {
    /// The same tree with every position 0, to compare meanings.
    #[must_use]
    pub fn without_spans(mut self) -> Node {
        self.span = Span::default();
        match &mut self.expr {
            Expr::All | Expr::Text(_) => {}
            Expr::And(nodes) | Expr::Or(nodes) => {
                *nodes = std::mem::take(nodes)
                    .into_iter()
                    .map(Node::without_spans)
                    .collect();
            }
            Expr::Not(node) => **node = (**node).clone().without_spans(),
            Expr::Field { name, test, .. } => {
                *name = Span::default();
                test.values().for_each(|value| value.span = Span::default());
            }
        }
        self
    }
}

impl Test {
    fn values(&mut self) -> impl Iterator<Item = &mut Value> {
        let (first, second) = match self {
            Test::Exists => (None, None),
            Test::Is(value)
            | Test::Equals(value)
            | Test::Differs(value)
            | Test::Compare(_, value)
            | Test::Prefix(value)
            | Test::Glob(value)
            | Test::Regex(value) => (Some(value), None),
            Test::Range(from, to) => (from.as_mut(), to.as_mut()),
        };
        first.into_iter().chain(second)
    }
}
