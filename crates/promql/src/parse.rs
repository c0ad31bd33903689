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
#[error("{line}:{column}: parse error: {message}")]
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

/// Reads a selector of series, as the `match[]` parameters of the HTTP API take it.
pub fn parse_selector(query: &str) -> Result<crate::ast::Selector, ParseError> {
    let expr = parse(query)?;
    let span = expr.span;
    match expr.into_kind() {
        ExprKind::Selector(selector) if selector.offset_ms == 0 && selector.at.is_none() => {
            Ok(*selector)
        }
        _ => {
            Err(Problem::new(span, "expected a selector of series without modifiers").locate(query))
        }
    }
}

/// Reads a series such as `name{a="b"}`: every matcher an equality.
pub fn parse_series(text: &str) -> Result<crate::labels::Labels, ParseError> {
    if text.trim() == "{}" {
        return Ok(crate::labels::Labels::empty());
    }
    let selector = (|| {
        let mut parser = Parser::new(text)?;
        let start = parser.peek().span;
        let selector = parser.series_matchers()?;
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
        return Err(Problem::new(
            Span::new(0, query.len()),
            "no expression found in input",
        ));
    }
    let expr = parser.expression(0)?;
    parser.expect_end()?;
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
    selectors: usize,
    /// Number of regular expressions so far.
    regexes: usize,
    /// Whether a selector may match all series: in the second argument of `info` it is combined
    /// with the series of the first.
    unbounded_selector: bool,
}

impl<'q> Parser<'q> {
    fn new(query: &'q str) -> Parsed<Self> {
        if query.len() > MAX_QUERY_BYTES {
            let span = Span::new(MAX_QUERY_BYTES, query.len());
            let message = format!("query is longer than {MAX_QUERY_BYTES} bytes");
            return Err(Problem::new(span, message));
        }
        let tokens = lexer::tokenize(query)?;
        Ok(Self {
            query,
            tokens,
            position: 0,
            features: Features::Experimental,
            depth: 0,
            duration_parts: 0,
            selectors: 0,
            regexes: 0,
            unbounded_selector: false,
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
        let list = match expected {
            _ if context.is_empty() => String::new(),
            [] => String::new(),
            [only] => format!(", expected {only}"),
            [first, second] => format!(", expected {first} or {second}"),
            [first @ .., last] => format!(", expected {}, or {last}", first.join(", ")),
        };
        let place = if context.is_empty() {
            String::new()
        } else {
            format!(" in {context}")
        };
        let message = self
            .unbalanced()
            .unwrap_or_else(|| format!("unexpected {}{place}{list}", self.describe(token)));
        Problem {
            span: token.span,
            message,
            expected: expected.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    /// A token as messages name it.
    fn describe(&self, token: &Token) -> String {
        let text = self.text(token.span);
        let quoted = crate::format::quote(text);
        match token.kind {
            TokenKind::End => "end of input".to_owned(),
            TokenKind::Operator(_) => format!("<op:{text}>"),
            TokenKind::Word if self.peek_operator().is_some() => format!("<op:{text}>"),
            TokenKind::Word if AggregateOp::from_name(text).is_some() => format!("<aggr:{text}>"),
            TokenKind::Word if primary::is_keyword(text) => format!("<{text}>"),
            TokenKind::Word if text.contains(':') => format!("metric identifier {quoted}"),
            TokenKind::Word => format!("identifier {quoted}"),
            TokenKind::Number(_) => format!("number {quoted}"),
            TokenKind::Duration(_) => format!("duration {quoted}"),
            TokenKind::String(_) if text.chars().count() > 10 => {
                let start: String = text.chars().take(10).collect();
                format!("string {}...", crate::format::quote(&start))
            }
            TokenKind::String(_) => format!("string {quoted}"),
            _ => quoted,
        }
    }

    /// What is open at the end of the query, or closed here without having been opened.
    fn unbalanced(&self) -> Option<String> {
        let before = &self.tokens[..self.position];
        let open = |opening: &TokenKind, closing: &TokenKind| {
            let count = |kind: &TokenKind| before.iter().filter(|t| t.kind == *kind).count();
            count(opening) > count(closing)
        };
        let parens = open(&TokenKind::LeftParen, &TokenKind::RightParen);
        let brackets = open(&TokenKind::LeftBracket, &TokenKind::RightBracket);
        let braces = open(&TokenKind::LeftBrace, &TokenKind::RightBrace);
        let message = match self.peek().kind {
            TokenKind::End if braces => "unexpected end of input inside braces",
            TokenKind::End if brackets => "unclosed left bracket",
            TokenKind::End if parens => "unclosed left parenthesis",
            TokenKind::RightParen if !parens => "unexpected right parenthesis ')'",
            TokenKind::RightBracket if !brackets => "unexpected right bracket ']'",
            _ => return None,
        };
        Some(message.to_owned())
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
            let op_span = self.next().span;
            let (return_bool, matching) = self.binary_modifiers(op, op_span)?;
            // Powers group to the right, everything else to the left.
            let right_minimum = if op == BinaryOp::Pow {
                precedence
            } else {
                precedence + 1
            };
            let rhs = self.expression(right_minimum)?;
            let span = lhs.span.to(rhs.span);
            let mut binary = Binary {
                op,
                return_bool,
                lhs,
                rhs,
                matching: None,
            };
            check::binary(&mut binary, matching, (span, op_span))?;
            lhs = Expr::new(span, ExprKind::Binary(Box::new(binary)));
        }
        Ok(lhs)
    }

    fn peek_operator(&self) -> Option<BinaryOp> {
        match &self.peek().kind {
            TokenKind::Operator(op) => Some(*op),
            TokenKind::Word => {
                let word = self.peek_word()?;
                [
                    BinaryOp::And,
                    BinaryOp::Or,
                    BinaryOp::Unless,
                    BinaryOp::Atan2,
                ]
                .into_iter()
                .find(|op| op.symbol().eq_ignore_ascii_case(word))
            }
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
        check::unary(&operand, span)?;
        Ok(Expr::new(span, ExprKind::Unary(op, Box::new(operand))))
    }
}

fn too_deep(span: Span) -> Problem {
    Problem::new(
        span,
        format!("expression is nested deeper than {MAX_DEPTH} levels"),
    )
}

#[cfg(test)]
mod tests;
