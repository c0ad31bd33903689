//! The parser: text to a checked syntax tree.
//!
//! Hand-written recursive descent with precedence climbing, so that every message names the bytes
//! it is about and what would have been accepted there. Hostile input is bounded by the length of
//! a query and by how deep it is nested. A chain of operators is read in a loop and is bounded by
//! nothing but the length.

mod check;
mod duration;
mod lexer;
mod literal;
mod primary;
mod selector;

use crate::ast::{AggregateOp, Binary, BinaryOp, Expr, ExprKind, Span, UnaryOp, line_column};
use crate::stack;
use lexer::{Token, TokenKind};

/// Regular expressions in one query. Each may take megabytes when compiled.
pub const MAX_REGEXES: usize = 128;
/// The longest query in bytes.
pub const MAX_QUERY_BYTES: usize = 128 << 10;
/// How deep parentheses, calls, signs and right operands may be nested.
pub const MAX_DEPTH: u32 = 4096;

/// Why a query could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: parse error: {message}", self.place())]
pub struct ParseError {
    /// First byte that the message is about.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Line of `start`, from 1.
    pub line: usize,
    /// Column of `start` in bytes, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would have been accepted, where that is a short list.
    pub expected: Vec<String>,
}

impl ParseError {
    /// Where it is, as Prometheus writes it; a text without anything in it has no places.
    fn place(&self) -> String {
        match self.end {
            0 => "unknown position".to_owned(),
            _ => format!("{}:{}", self.line, self.column),
        }
    }
}

/// A problem before the line and column are known.
#[derive(Debug)]
pub(crate) struct Problem {
    span: Span,
    message: String,
    expected: Vec<String>,
}

impl Problem {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            expected: Vec::new(),
        }
    }

    fn locate(self, query: &str) -> ParseError {
        let (line, column) = line_column(query, self.span.start);
        ParseError {
            start: self.span.start,
            end: self.span.end,
            line,
            column,
            message: self.message,
            expected: self.expected,
        }
    }
}

type Parsed<T> = Result<T, Problem>;

/// Which parts of the language may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Features {
    /// Those that stay as they are.
    #[default]
    Stable,
    /// Those that Prometheus calls experimental too: they may change or go.
    Experimental,
}

/// Reads a query of the whole language.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, Features::Experimental)
}

/// Reads a query that uses these features; others are an error that names them.
pub fn parse_with(query: &str, features: Features) -> Result<Expr, ParseError> {
    parse_expression(query, features).map_err(|problem| problem.locate(query))
}

/// Reads a selector of series, as the `match[]` parameters of the HTTP API take it. It may be one
/// of all series.
pub fn parse_selector(query: &str) -> Result<crate::ast::Selector, ParseError> {
    let read = || {
        let mut parser = Parser::new(query)?;
        let selector = parser.selector_alone()?;
        parser.expect_end()?;
        Ok(selector)
    };
    read().map_err(|problem: Problem| problem.locate(query))
}

/// Reads a series such as `name{a="b"}`: every matcher an equality.
pub fn parse_series(text: &str) -> Result<crate::labels::Labels, ParseError> {
    if text.trim() == "{}" {
        return Ok(crate::labels::Labels::empty());
    }
    let selector = (|| {
        let mut parser = Parser::new(text)?;
        let start = parser.peek().span;
        let (name, selector, span) = parser.series_matchers()?;
        check::names(name.as_deref(), &selector, span)?;
        parser.expect_end()?;
        match selector
            .iter()
            .find(|matcher| matcher.op != crate::matcher::MatchOp::Eq)
        {
            Some(matcher) => Err(Problem::new(start, format!("expected \"=\" in {matcher}"))),
            None => Ok(selector),
        }
    })()
    .map_err(|problem: Problem| problem.locate(text))?;
    let pairs = selector
        .into_iter()
        .map(|matcher| (matcher.name, matcher.value));
    Ok(crate::labels::Labels::new(pairs))
}

fn parse_expression(query: &str, features: Features) -> Parsed<Expr> {
    let mut parser = Parser::new(query)?;
    parser.features = features;
    if parser.peek().kind == TokenKind::End {
        let all = Span::new(0, query.len());
        return Err(Problem::new(all, "no expression found in input"));
    }
    let mut expr = parser.expression(0)?;
    parser.expect_end()?;
    check::tree(&mut expr, query)?;
    Ok(expr)
}

struct Parser<'q> {
    query: &'q str,
    tokens: Vec<Token>,
    position: usize,
    features: Features,
    depth: u32,
    /// Parts of the duration that is read.
    duration_parts: usize,
    /// What it belongs to, as messages name it, and what may stand there.
    duration_context: (&'static str, &'static [&'static str]),
    selectors: usize,
    /// Number of regular expressions so far.
    regexes: usize,
    /// How many aggregations are open: whatever does not belong there is said to be in one.
    aggregations: usize,
}

impl<'q> Parser<'q> {
    fn new(query: &'q str) -> Parsed<Self> {
        if query.len() > MAX_QUERY_BYTES {
            let span = Span::new(MAX_QUERY_BYTES, query.len());
            let message = format!("query is longer than {MAX_QUERY_BYTES} bytes");
            return Err(Problem::new(span, message));
        }
        let tokens = lexer::tokenize(query);
        Ok(Self {
            query,
            tokens,
            position: 0,
            features: Features::Experimental,
            depth: 0,
            duration_parts: 0,
            duration_context: ("", &[]),
            selectors: 0,
            regexes: 0,
            aggregations: 0,
        })
    }

    /// Refuses a part of the language that is experimental, unless such are allowed.
    fn experimental(&self, span: Span, what: impl std::fmt::Display) -> Parsed<()> {
        match self.features {
            Features::Experimental => Ok(()),
            Features::Stable => {
                let message =
                    format!("{what} is experimental; set promql.experimental: true to allow it");
                Err(Problem::new(span, message))
            }
        }
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.position]
    }

    fn peek_second(&self) -> &Token {
        &self.tokens[(self.position + 1).min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.position].clone();
        // The last token is the end and stays current for ever.
        self.position = (self.position + 1).min(self.tokens.len() - 1);
        token
    }

    fn eat(&mut self, kind: &TokenKind) -> Option<Span> {
        (self.peek().kind == *kind).then(|| self.next().span)
    }

    fn expect(&mut self, kind: &TokenKind, context: &str) -> Parsed<Span> {
        match self.eat(kind) {
            Some(span) => Ok(span),
            None => Err(self.unexpected(context, &[&kind.describe()])),
        }
    }

    fn expect_end(&self) -> Parsed<()> {
        match self.peek().kind {
            TokenKind::End => Ok(()),
            _ => Err(self.unexpected("", &["operator", "end of input"])),
        }
    }

    fn text(&self, span: Span) -> &'q str {
        &self.query[span.start..span.end]
    }

    /// The identifier or keyword that comes next, if any.
    fn peek_word(&self) -> Option<&'q str> {
        match self.peek().kind {
            TokenKind::Word => Some(self.text(self.peek().span)),
            _ => None,
        }
    }

    fn peek_keyword(&self, keyword: &str) -> bool {
        self.peek_word()
            .is_some_and(|word| word.eq_ignore_ascii_case(keyword))
    }

    fn eat_keyword(&mut self, keyword: &str) -> Option<Span> {
        self.peek_keyword(keyword).then(|| self.next().span)
    }

    /// What stands here is not what the grammar allows. Without a context the message does not
    /// list what is expected, as that is most of the language.
    fn unexpected(&self, context: &str, expected: &[&str]) -> Problem {
        let token = self.peek();
        if let TokenKind::Error(message) = &token.kind {
            return Problem::new(token.span, message.clone());
        }
        let list = match expected {
            _ if context.is_empty() => String::new(),
            [] => String::new(),
            [only] => format!(", expected {only}"),
            [first, second] => format!(", expected {first} or {second}"),
            [first @ .., last] => format!(", expected {}, or {last}", first.join(", ")),
        };
        let place = match context {
            "" if self.aggregations > 0 => " in aggregation".to_owned(),
            "" => String::new(),
            _ => format!(" in {context}"),
        };
        Problem {
            span: token.span,
            message: format!("unexpected {}{place}{list}", self.describe(token)),
            expected: expected.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    /// A token as messages name it.
    fn describe(&self, token: &Token) -> String {
        let text = self.text(token.span);
        let quoted = crate::format::quote(text);
        // Of what is no word, the beginning is enough.
        let short = match text.char_indices().nth(10) {
            Some((end, _)) => crate::format::quote(&text[..end]) + "...",
            None => quoted.clone(),
        };
        match token.kind {
            TokenKind::End => "end of input".to_owned(),
            TokenKind::Operator(_) | TokenKind::Match | TokenKind::NoMatch | TokenKind::At => {
                format!("<op:{text}>")
            }
            // Inside braces, words have no other meaning.
            TokenKind::Word if token.in_braces => format!("identifier {quoted}"),
            TokenKind::Word if operator_word(text).is_some() => format!("<op:{text}>"),
            TokenKind::Word if AggregateOp::from_name(text).is_some() => format!("<aggr:{text}>"),
            TokenKind::Word if primary::is_keyword(text) => format!("<{text}>"),
            TokenKind::Word if primary::is_bound(text) => quoted,
            TokenKind::Word if text.contains(':') => format!("metric identifier {quoted}"),
            TokenKind::Word => format!("identifier {quoted}"),
            TokenKind::Number(_) | TokenKind::BadNumber(_) => format!("number {short}"),
            TokenKind::Duration(_) | TokenKind::BadDuration(_) => format!("duration {short}"),
            TokenKind::String(_) => format!("string {short}"),
            _ => quoted,
        }
    }

    /// Whether an expression can begin here.
    fn begins_expression(&self) -> bool {
        match self.peek().kind {
            TokenKind::Number(_)
            | TokenKind::BadNumber(_)
            | TokenKind::Duration(_)
            | TokenKind::BadDuration(_)
            | TokenKind::String(_)
            | TokenKind::LeftParen
            | TokenKind::LeftBrace
            | TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub) => true,
            TokenKind::Word => !self.peek_word().is_some_and(primary::is_reserved),
            _ => false,
        }
    }

    /// An expression of operators that bind at least as strongly as `minimum`, one level deeper in
    /// the text.
    fn expression(&mut self, minimum: u8) -> Parsed<Expr> {
        if self.depth >= MAX_DEPTH {
            return Err(too_deep(self.peek().span));
        }
        self.depth += 1;
        let result = stack::level(|| self.operators(minimum));
        self.depth -= 1;
        result
    }

    fn operators(&mut self, minimum: u8) -> Parsed<Expr> {
        let mut lhs = self.unary()?;
        while let Some(op) = self.peek_operator() {
            let precedence = op.precedence();
            if precedence < minimum {
                break;
            }
            self.next();
            let (return_bool, matching) = self.binary_modifiers()?;
            // Powers group to the right, everything else to the left.
            let right_minimum = if op == BinaryOp::Pow {
                precedence
            } else {
                precedence + 1
            };
            let rhs = self.expression(right_minimum)?;
            let span = lhs.span.to(rhs.span);
            let binary = Binary {
                op,
                return_bool,
                lhs,
                rhs,
                matching,
            };
            lhs = Expr::new(span, ExprKind::Binary(Box::new(binary)));
        }
        Ok(lhs)
    }

    fn peek_operator(&self) -> Option<BinaryOp> {
        match &self.peek().kind {
            TokenKind::Operator(op) => Some(*op),
            TokenKind::Word => operator_word(self.peek_word()?),
            _ => None,
        }
    }

    /// A sign binds like a multiplication: `-a ^ b` is `-(a ^ b)`, `-a * b` is `(-a) * b`.
    fn unary(&mut self) -> Parsed<Expr> {
        let op = match self.peek().kind {
            TokenKind::Operator(BinaryOp::Add) => UnaryOp::Plus,
            TokenKind::Operator(BinaryOp::Sub) => UnaryOp::Minus,
            _ => return self.postfix(),
        };
        let start = self.next().span;
        let precedence = BinaryOp::Pow.precedence();
        let operand = self.expression(precedence)?;
        let span = start.to(operand.span);
        let minus = op == UnaryOp::Minus;
        match operand.kind {
            ExprKind::Number(value) => {
                let value = if minus { -value } else { value };
                return Ok(Expr::new(span, ExprKind::Number(value)));
            }
            ExprKind::Duration(milliseconds) => {
                let milliseconds = if minus { -milliseconds } else { milliseconds };
                return Ok(Expr::new(span, ExprKind::Duration(milliseconds)));
            }
            _ => {}
        }
        Ok(Expr::new(span, ExprKind::Unary(op, Box::new(operand))))
    }
}

/// The operator that a word is.
fn operator_word(word: &str) -> Option<BinaryOp> {
    [
        BinaryOp::And,
        BinaryOp::Or,
        BinaryOp::Unless,
        BinaryOp::Atan2,
    ]
    .into_iter()
    .find(|op| op.symbol().eq_ignore_ascii_case(word))
}

fn too_deep(span: Span) -> Problem {
    Problem::new(
        span,
        format!("expression is nested deeper than {MAX_DEPTH} levels"),
    )
}

#[cfg(test)]
mod tests;
