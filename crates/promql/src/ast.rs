//! The syntax tree of a query. Every node knows the bytes of the query that it was read from.

mod operators;

use crate::duration::DurationExpr;
use crate::functions::Function;
use crate::matcher::Matcher;
pub use operators::{AGGREGATES, AggregateOp, BinaryOp, UnaryOp};

/// A range of bytes of the query, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The span from `start` to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest span that holds both.
    pub fn to(self, other: Span) -> Span {
        Span::new(self.start.min(other.start), self.end.max(other.end))
    }
}

/// The line and column, both from 1, of a byte of a query; columns count bytes, as Prometheus does.
pub fn line_column(query: &str, offset: usize) -> (usize, usize) {
    let before = &query.as_bytes()[..offset.min(query.len())];
    let line_start = before
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |index| index + 1);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    (line, before.len() - line_start + 1)
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// One number per step.
    Scalar,
    /// A string.
    String,
    /// One sample per series and step.
    Vector,
    /// A range of samples per series and step.
    Matrix,
}

impl ValueType {
    /// The name in the HTTP API.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::String => "string",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
        }
    }

    /// The name in the documentation and in messages.
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::String => "string",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
        }
    }
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Where it stands in the query.
    pub span: Span,
    /// How many levels of nodes there are below and including this one.
    pub(crate) depth: u32,
    /// What it is.
    pub kind: ExprKind,
}

/// The kinds of node.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A number.
    Number(f64),
    /// A duration in milliseconds, used as a number of seconds.
    Duration(i64),
    /// A string.
    String(StringLiteral),
    /// An instant vector selector.
    Selector(Box<Selector>),
    /// A selector with a range.
    Matrix(Box<MatrixSelector>),
    /// An expression evaluated over a range.
    Subquery(Box<Subquery>),
    /// A sign before an expression.
    Unary(UnaryOp, Box<Expr>),
    /// Two operands.
    Binary(Box<Binary>),
    /// An aggregation.
    Aggregate(Box<Aggregate>),
    /// A function call.
    Call(Box<Call>),
    /// Parentheses.
    Paren(Box<Expr>),
}

/// A string literal. PromQL strings may hold any bytes; Rust ones may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringLiteral {
    /// The text, with what is not UTF-8 replaced.
    pub value: String,
    /// The bytes, if they are not UTF-8.
    pub invalid: Option<Vec<u8>>,
}

/// A time given by `@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since 1970.
    Time(i64),
    /// The start of the query.
    Start,
    /// The end of the query.
    End,
}

/// Whether a range reaches for samples beyond its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Extend {
    /// It does not.
    #[default]
    No,
    /// `anchored`: the last sample before the range stands at its start.
    Anchored,
    /// `smoothed`: the values at both bounds are interpolated.
    Smoothed,
}

/// A selector of series.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// Number of this selector in its query, from 0 in the order of the text.
    pub id: usize,
    /// The metric name where it was given before the braces.
    pub name: Option<String>,
    /// All matchers, that of the name included.
    pub matchers: Vec<Matcher>,
    /// How far back to look.
    pub offset_ms: i64,
    /// The offset, where it is calculated.
    pub offset_expr: Option<DurationExpr>,
    /// A fixed evaluation time.
    pub at: Option<At>,
    /// `anchored` or `smoothed`.
    pub extend: Extend,
}

/// A selector with a range.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// The selector; it carries the offset and `@`.
    pub selector: Selector,
    /// Length of the range.
    pub range_ms: i64,
    /// The length, where it is calculated.
    pub range_expr: Option<DurationExpr>,
}

/// An expression evaluated over a range of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// Length of the range.
    pub range_ms: i64,
    /// The length, where it is calculated.
    pub range_expr: Option<DurationExpr>,
    /// Resolution; the engine's default without one.
    pub step_ms: Option<i64>,
    /// The resolution, where it is calculated.
    pub step_expr: Option<DurationExpr>,
    /// How far back to look.
    pub offset_ms: i64,
    /// The offset, where it is calculated.
    pub offset_expr: Option<DurationExpr>,
    /// A fixed evaluation time.
    pub at: Option<At>,
}

/// How many series of each side may match one of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    /// One to one.
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How the two sides of a vector operation are matched.
#[derive(Debug, Clone, PartialEq)]
pub struct Matching {
    /// Cardinality.
    pub cardinality: Cardinality,
    /// Whether `labels` are those to match (`on`) or those not to (`ignoring`).
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// The labels of `group_left` or `group_right`, taken over from the "one" side.
    pub include: Vec<String>,
    /// Value for a series of the right that has no partner on the left.
    pub fill_left: Option<f64>,
    /// Value for a series of the left that has no partner on the right.
    pub fill_right: Option<f64>,
}

impl Default for Matching {
    fn default() -> Self {
        Self {
            cardinality: Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        }
    }
}

/// A binary operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// Operator.
    pub op: BinaryOp,
    /// Whether a comparison returns 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Left side.
    pub lhs: Expr,
    /// Right side.
    pub rhs: Expr,
    /// Matching; present when both sides are vectors.
    pub matching: Option<Matching>,
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Operator.
    pub op: AggregateOp,
    /// Parameter, for those that take one.
    pub param: Option<Expr>,
    /// What is aggregated.
    pub expr: Expr,
    /// Whether `grouping` names the labels to drop instead of those to keep.
    pub without: bool,
    /// Labels of `by` or `without`.
    pub grouping: Vec<String>,
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static Function,
    /// Arguments.
    pub args: Vec<Expr>,
}

impl Expr {
    pub(crate) fn new(span: Span, kind: ExprKind) -> Self {
        let deepest = children(&kind).map(|child| child.depth).max().unwrap_or(0);
        Self {
            span,
            depth: deepest + 1,
            kind,
        }
    }

    /// What it evaluates to.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Selector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Unary(_, expr) | ExprKind::Paren(expr) => expr.value_type(),
            ExprKind::Binary(binary) => {
                let scalar = |expr: &Expr| expr.value_type() == ValueType::Scalar;
                if scalar(&binary.lhs) && scalar(&binary.rhs) {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
            ExprKind::Call(call) => call.function.returns,
        }
    }

    /// The node inside any parentheses.
    pub fn unwrap_parens(&self) -> &Expr {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }

    /// The nodes directly below this one, in the order of the text.
    pub fn children(&self) -> impl Iterator<Item = &Expr> {
        children(&self.kind)
    }

    /// Calls `visit` with every selector in the order of the text and the length of its range
    /// (`None` for an instant one).
    pub fn selectors(&self, visit: &mut dyn FnMut(&Selector, Option<i64>)) {
        match &self.kind {
            ExprKind::Selector(selector) => visit(selector, None),
            ExprKind::Matrix(matrix) => visit(&matrix.selector, Some(matrix.range_ms)),
            _ => self.children().for_each(|child| child.selectors(visit)),
        }
    }

    /// Sets all spans to zero and sorts matchers, so that trees of queries that differ in nothing
    /// else compare equal.
    pub fn forget_spans(&mut self) {
        self.span = Span::default();
        let sort = |selector: &mut Selector| {
            selector.matchers.sort_by_cached_key(ToString::to_string);
        };
        match &mut self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::String(_) => {}
            ExprKind::Selector(selector) => sort(selector),
            ExprKind::Matrix(matrix) => sort(&mut matrix.selector),
            ExprKind::Subquery(subquery) => subquery.expr.forget_spans(),
            ExprKind::Unary(_, expr) | ExprKind::Paren(expr) => expr.forget_spans(),
            ExprKind::Binary(binary) => {
                binary.lhs.forget_spans();
                binary.rhs.forget_spans();
            }
            ExprKind::Aggregate(aggregate) => {
                aggregate.param.iter_mut().for_each(Expr::forget_spans);
                aggregate.expr.forget_spans();
            }
            ExprKind::Call(call) => call.args.iter_mut().for_each(Expr::forget_spans),
        }
    }
}

fn children(kind: &ExprKind) -> impl Iterator<Item = &Expr> {
    let (first, second, rest): (Option<&Expr>, Option<&Expr>, &[Expr]) = match kind {
        ExprKind::Number(_)
        | ExprKind::Duration(_)
        | ExprKind::String(_)
        | ExprKind::Selector(_)
        | ExprKind::Matrix(_) => (None, None, &[]),
        ExprKind::Subquery(subquery) => (Some(&subquery.expr), None, &[]),
        ExprKind::Unary(_, expr) | ExprKind::Paren(expr) => (Some(&**expr), None, &[]),
        ExprKind::Binary(binary) => (Some(&binary.lhs), Some(&binary.rhs), &[]),
        ExprKind::Aggregate(aggregate) => (aggregate.param.as_ref(), Some(&aggregate.expr), &[]),
        ExprKind::Call(call) => (None, None, &call.args),
    };
    first.into_iter().chain(second).chain(rest)
}
