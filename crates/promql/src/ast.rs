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
///
/// A chain such as `a or b or c` leans to the left and may be as long as a query can be: whatever
/// goes down a tree takes [`Expr::chain`] for it, or one of the walks here. All other levels are as
/// many as the parser allows.
#[derive(Debug)]
pub struct Expr {
    /// Where it stands in the query.
    pub span: Span,
    /// What it evaluates to; of a chain it would take long to find out again and again.
    value_type: ValueType,
    /// What it is.
    pub kind: ExprKind,
}

/// The kinds of node.
#[derive(Debug)]
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

impl Selector {
    /// Whether it needs anything of a series, so that not all of them are selected.
    pub fn is_selective(&self) -> bool {
        self.matchers.iter().any(|matcher| !matcher.matches(""))
    }
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
#[derive(Debug)]
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
#[derive(Debug)]
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
#[derive(Debug)]
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
#[derive(Debug)]
pub struct Call {
    /// The function.
    pub function: &'static Function,
    /// Arguments.
    pub args: Vec<Expr>,
}

impl Expr {
    pub(crate) fn new(span: Span, kind: ExprKind) -> Self {
        Self {
            span,
            value_type: value_type(&kind),
            kind,
        }
    }

    /// What it evaluates to.
    pub fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// What it is, taken out of the tree.
    pub(crate) fn into_kind(mut self) -> ExprKind {
        std::mem::replace(&mut self.kind, NOTHING)
    }

    /// The node inside any parentheses.
    pub fn unwrap_parens(&self) -> &Expr {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }

    /// Where it stands without any parentheses around it, which notes are about.
    pub(crate) fn inner_span(&self) -> Span {
        self.unwrap_parens().span
    }

    /// The nodes directly below this one, in the order of the text.
    pub fn children(&self) -> impl DoubleEndedIterator<Item = &Expr> {
        let (first, second, rest): (Option<&Expr>, Option<&Expr>, &[Expr]) = match &self.kind {
            ExprKind::Number(_)
            | ExprKind::Duration(_)
            | ExprKind::String(_)
            | ExprKind::Selector(_)
            | ExprKind::Matrix(_) => (None, None, &[]),
            ExprKind::Subquery(subquery) => (Some(&subquery.expr), None, &[]),
            ExprKind::Unary(_, expr) | ExprKind::Paren(expr) => (Some(&**expr), None, &[]),
            ExprKind::Binary(binary) => (Some(&binary.lhs), Some(&binary.rhs), &[]),
            ExprKind::Aggregate(aggregate) => {
                (aggregate.param.as_ref(), Some(&aggregate.expr), &[])
            }
            ExprKind::Call(call) => (None, None, &call.args),
        };
        first.into_iter().chain(second).chain(rest)
    }

    /// The operations of a chain such as `a + b - c`, from the innermost with the span of each, and
    /// the operand that it begins with. Without an operator that is the node itself.
    pub(crate) fn chain(&self) -> (&Expr, Vec<(Span, &Binary)>) {
        let mut first = self;
        let mut operations = Vec::new();
        while let ExprKind::Binary(binary) = &first.kind {
            operations.push((first.span, &**binary));
            first = &binary.lhs;
        }
        operations.reverse();
        (first, operations)
    }

    /// All nodes, this one first, in the order of the text.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Expr> {
        let mut pending = vec![self];
        std::iter::from_fn(move || {
            let node = pending.pop()?;
            pending.extend(node.children().rev());
            Some(node)
        })
    }

    /// Calls `visit` with all nodes, this one first, in the order of the text.
    pub(crate) fn try_each_mut<E>(
        &mut self,
        mut visit: impl FnMut(&mut Expr) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pending = vec![self];
        while let Some(node) = pending.pop() {
            visit(node)?;
            let before = pending.len();
            pending.extend(children_mut(&mut node.kind));
            pending[before..].reverse();
        }
        Ok(())
    }

    /// Calls `visit` with every selector in the order of the text and the length of its range
    /// (`None` for an instant one).
    pub fn selectors(&self, visit: &mut dyn FnMut(&Selector, Option<i64>)) {
        for node in self.nodes() {
            match &node.kind {
                ExprKind::Selector(selector) => visit(selector, None),
                ExprKind::Matrix(matrix) => visit(&matrix.selector, Some(matrix.range_ms)),
                _ => {}
            }
        }
    }

    /// Sets all spans to zero and sorts matchers, so that trees of queries that differ in nothing
    /// else are the same.
    pub fn forget_spans(&mut self) {
        let forget = |expr: &mut Expr| {
            expr.span = Span::default();
            let selector = match &mut expr.kind {
                ExprKind::Selector(selector) => &mut **selector,
                ExprKind::Matrix(matrix) => &mut matrix.selector,
                _ => return Ok(()),
            };
            selector.matchers.sort_by_cached_key(ToString::to_string);
            Ok::<_, std::convert::Infallible>(())
        };
        let Ok(()) = self.try_each_mut(forget);
    }
}

/// What stands where a node was taken out.
const NOTHING: ExprKind = ExprKind::Number(0.0);

impl Drop for Expr {
    /// Takes the tree apart from the top, since its parts would call each other as deep as it is.
    fn drop(&mut self) {
        let mut pending = Vec::new();
        let take = |kind: &mut ExprKind, pending: &mut Vec<ExprKind>| {
            let below = children_mut(kind).map(|child| std::mem::replace(&mut child.kind, NOTHING));
            pending.extend(below);
        };
        take(&mut self.kind, &mut pending);
        while let Some(mut kind) = pending.pop() {
            take(&mut kind, &mut pending);
        }
    }
}

fn children_mut(kind: &mut ExprKind) -> impl Iterator<Item = &mut Expr> {
    let (first, second, rest): (Option<&mut Expr>, Option<&mut Expr>, &mut [Expr]) = match kind {
        ExprKind::Number(_)
        | ExprKind::Duration(_)
        | ExprKind::String(_)
        | ExprKind::Selector(_)
        | ExprKind::Matrix(_) => (None, None, &mut []),
        ExprKind::Subquery(subquery) => (Some(&mut subquery.expr), None, &mut []),
        ExprKind::Unary(_, expr) | ExprKind::Paren(expr) => (Some(&mut **expr), None, &mut []),
        ExprKind::Binary(binary) => {
            let Binary { lhs, rhs, .. } = &mut **binary;
            (Some(lhs), Some(rhs), &mut [])
        }
        ExprKind::Aggregate(aggregate) => {
            let Aggregate { param, expr, .. } = &mut **aggregate;
            (param.as_mut(), Some(expr), &mut [])
        }
        ExprKind::Call(call) => (None, None, &mut call.args),
    };
    first.into_iter().chain(second).chain(rest)
}

fn value_type(kind: &ExprKind) -> ValueType {
    match kind {
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
