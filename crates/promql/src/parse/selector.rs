//! Selectors, ranges, subqueries, `offset` and `@`.

use super::duration::DURATIONS;
use super::lexer::TokenKind;
use super::{MAX_REGEXES, Parsed, Parser, Problem};
use crate::ast::{
    At, BinaryOp, Expr, ExprKind, Extend, MatrixSelector, Selector, Span, Subquery, ValueType,
};
use crate::duration::{DurationExpr, to_ms, to_positive_ms, to_time_ms};
use crate::labels::METRIC_NAME;
use crate::matcher::{MatchOp, Matcher};

/// Milliseconds as far as they are known, and the calculation unless it is a literal.
type Duration = (i64, Option<DurationExpr>);

/// The milliseconds of a calculation; those that depend on the times of the query are known when
/// it is planned.
fn milliseconds(
    expr: DurationExpr,
    convert: impl Fn(f64) -> Result<i64, String>,
) -> Result<Duration, String> {
    let milliseconds = match expr.constant()? {
        Some(seconds) => convert(seconds)?,
        None => 0,
    };
    let calculation = expr.literal().is_none().then_some(expr);
    Ok((milliseconds, calculation))
}

impl Parser<'_> {
    /// A primary with its ranges and modifiers.
    pub(super) fn postfix(&mut self) -> Parsed<Expr> {
        let mut expr = self.primary()?;
        let mut seen = Seen::default();
        loop {
            if self.peek().kind == TokenKind::LeftBracket {
                expr = self.brackets(expr, &seen)?;
                seen = Seen::default();
            } else if self.peek_keyword("offset") {
                self.offset(&mut expr, &mut seen)?;
            } else if self.peek().kind == TokenKind::At {
                self.at(&mut expr, &mut seen)?;
            } else if self.peek_keyword("anchored") || self.peek_keyword("smoothed") {
                self.extend(&mut expr)?;
            } else {
                return Ok(expr);
            }
        }
    }

    /// A selector whose name, if any, has been read.
    pub(super) fn selector(&mut self, name: Option<(String, Span)>) -> Parsed<Expr> {
        let start = name.as_ref().map_or(self.peek().span, |(_, span)| *span);
        let (name, matchers, end) = self.matchers(name)?;
        let span = start.to(end);
        if !self.unbounded_selector && matchers.iter().all(|matcher| matcher.matches("")) {
            let message = "vector selector must contain at least one non-empty matcher";
            return Err(Problem::new(span, message));
        }
        let id = self.selectors;
        self.selectors += 1;
        let selector = Selector {
            id,
            name,
            matchers,
            offset_ms: 0,
            offset_expr: None,
            at: None,
            extend: Extend::No,
        };
        Ok(Expr::new(span, ExprKind::Selector(Box::new(selector))))
    }

    /// The matchers of a series as it appears in test data.
    pub(super) fn series_matchers(&mut self) -> Parsed<Vec<Matcher>> {
        let name = self
            .peek_word()
            .map(|word| (word.to_owned(), self.next().span));
        if name.is_none() && self.peek().kind != TokenKind::LeftBrace {
            return Err(self.unexpected("series", &["metric name", "\"{\""]));
        }
        Ok(self.matchers(name)?.1)
    }

    fn matchers(
        &mut self,
        name: Option<(String, Span)>,
    ) -> Parsed<(Option<String>, Vec<Matcher>, Span)> {
        let start = name.as_ref().map_or(self.peek().span, |(_, span)| *span);
        let mut end = start;
        let bare = name.map(|(name, _)| name);
        let mut name = bare.clone();
        let mut matchers = Vec::new();
        if self.eat(&TokenKind::LeftBrace).is_some() {
            loop {
                if let Some(brace) = self.eat(&TokenKind::RightBrace) {
                    end = brace;
                    break;
                }
                self.matcher(&mut name, &mut matchers)?;
                let closing = self.peek().kind == TokenKind::RightBrace;
                if self.eat(&TokenKind::Comma).is_none() && !closing {
                    return Err(self.unexpected("label matching", &["\",\"", "\"}\""]));
                }
            }
        }
        if let Some(name) = &name {
            if let Some(other) = matchers.iter().find(|matcher| matcher.name == METRIC_NAME) {
                let message = format!(
                    "metric name must not be set twice: {} or {}",
                    crate::format::quote(name),
                    crate::format::quote(&other.value)
                );
                return Err(Problem::new(start.to(end), message));
            }
            matchers.push(Matcher::equal(METRIC_NAME, name.clone()));
        }
        Ok((bare, matchers, end))
    }

    /// One matcher, or a quoted metric name.
    fn matcher(&mut self, name: &mut Option<String>, matchers: &mut Vec<Matcher>) -> Parsed<()> {
        let token = self.next();
        let label = match token.kind {
            TokenKind::Word => self.text(token.span).to_owned(),
            TokenKind::String(ref literal) => {
                let label = valid_text(literal, token.span)?;
                let ends = matches!(self.peek().kind, TokenKind::Comma | TokenKind::RightBrace);
                if ends {
                    if let Some(first) = name {
                        let message = format!(
                            "metric name must not be set twice: {} or {}",
                            crate::format::quote(first),
                            crate::format::quote(&label)
                        );
                        return Err(Problem::new(token.span, message));
                    }
                    *name = Some(label);
                    return Ok(());
                }
                label
            }
            _ => {
                self.position -= usize::from(token.kind != TokenKind::End);
                return Err(self.unexpected("label matching", &["identifier", "\"}\""]));
            }
        };
        let op = match self.peek().kind {
            TokenKind::Assign => MatchOp::Eq,
            TokenKind::Operator(BinaryOp::Ne) => MatchOp::Ne,
            TokenKind::Match => MatchOp::Re,
            TokenKind::NoMatch => MatchOp::Nre,
            _ => return Err(self.unexpected("label matching", &["label matching operator"])),
        };
        self.next();
        let token = self.peek().clone();
        let TokenKind::String(literal) = token.kind else {
            return Err(self.unexpected("label matching", &["string"]));
        };
        self.next();
        let value = valid_text(&literal, token.span)?;
        let matcher = Matcher::new(label, op, value).map_err(|error| {
            // The compiler's message spans lines to point at the place; the last line says why.
            let text = error.to_string();
            let reason = text
                .lines()
                .last()
                .unwrap_or("")
                .trim_start_matches("error: ");
            Problem::new(token.span, format!("invalid regular expression: {reason}"))
        })?;
        self.regexes += usize::from(matcher.regex().is_some());
        if self.regexes > MAX_REGEXES {
            let message = format!("more than {MAX_REGEXES} regular expressions in one query");
            return Err(Problem::new(token.span, message));
        }
        matchers.push(matcher);
        Ok(())
    }

    fn brackets(&mut self, expr: Expr, seen: &Seen) -> Parsed<Expr> {
        let open = self.next().span;
        if !self.at_duration() {
            return Err(self.unexpected("subquery or range selector", &DURATIONS));
        }
        let range = self.range_duration()?;
        let is_subquery = self.eat(&TokenKind::Colon).is_some();
        let step = match self.peek().kind {
            TokenKind::RightBracket => None,
            _ if !is_subquery => {
                return Err(self.unexpected("subquery or range", &["\":\"", "\"]\""]));
            }
            _ if !self.at_duration() => {
                let [number, duration, step, range] = DURATIONS;
                let expected = [number, duration, step, range, "\"]\""];
                return Err(self.unexpected("subquery selector", &expected));
            }
            _ => Some(self.range_duration()?),
        };
        let end = self.expect(&TokenKind::RightBracket, "subquery selector")?;
        let span = expr.span.to(end);
        if !is_subquery {
            return self.matrix(expr, range, (span, open.to(end)), seen);
        }
        if expr.value_type() != ValueType::Vector {
            let message = format!(
                "subquery is only allowed on instant vector, got {} instead",
                expr.value_type().name()
            );
            return Err(Problem::new(span, message));
        }
        let (range_ms, range_expr) = range;
        let (step_ms, step_expr) = match step {
            Some((step_ms, step_expr)) => (Some(step_ms), step_expr),
            None => (None, None),
        };
        let subquery = Subquery {
            expr,
            range_ms,
            range_expr,
            step_ms,
            step_expr,
            offset_ms: 0,
            offset_expr: None,
            at: None,
        };
        Ok(Expr::new(span, ExprKind::Subquery(Box::new(subquery))))
    }

    fn matrix(
        &mut self,
        expr: Expr,
        range: Duration,
        (span, brackets): (Span, Span),
        seen: &Seen,
    ) -> Parsed<Expr> {
        let refuse = |message: &str| Err(Problem::new(brackets, message));
        let ExprKind::Selector(selector) = expr.into_kind() else {
            return refuse("ranges only allowed for vector selectors");
        };
        if seen.offset {
            return refuse("no offset modifiers allowed before range");
        }
        if seen.at {
            return refuse("no @ modifiers allowed before range");
        }
        let (range_ms, range_expr) = range;
        let matrix = MatrixSelector {
            selector: *selector,
            range_ms,
            range_expr,
        };
        Ok(Expr::new(span, ExprKind::Matrix(Box::new(matrix))))
    }

    /// A duration inside brackets: greater than zero.
    fn range_duration(&mut self) -> Parsed<Duration> {
        let start = self.peek().span;
        self.duration_parts = 0;
        let expr = self.duration_expression(0)?;
        let span = start.to(self.tokens[self.position - 1].span);
        milliseconds(expr, to_positive_ms).map_err(|message| Problem::new(span, message))
    }

    fn offset(&mut self, expr: &mut Expr, seen: &mut Seen) -> Parsed<()> {
        self.next();
        let first = self.peek().span;
        if !self.at_duration() {
            return Err(self.unexpected("offset", &DURATIONS));
        }
        self.duration_parts = 0;
        let duration = self.duration_operand()?;
        let end = self.tokens[self.position - 1].span;
        let (offset_ms, offset_expr) = milliseconds(duration, to_ms)
            .map_err(|message| Problem::new(first.to(end), message))?;
        let target = match &mut expr.kind {
            ExprKind::Selector(selector) => (&mut selector.offset_ms, &mut selector.offset_expr),
            ExprKind::Matrix(matrix) => (
                &mut matrix.selector.offset_ms,
                &mut matrix.selector.offset_expr,
            ),
            ExprKind::Subquery(subquery) => (&mut subquery.offset_ms, &mut subquery.offset_expr),
            _ => {
                let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return Err(Problem::new(expr.span, message));
            }
        };
        if seen.offset {
            let message = "offset may not be set multiple times";
            return Err(Problem::new(expr.span, message));
        }
        seen.offset = true;
        (*target.0, *target.1) = (offset_ms, offset_expr);
        expr.span = expr.span.to(end);
        Ok(())
    }

    fn at(&mut self, expr: &mut Expr, seen: &mut Seen) -> Parsed<()> {
        self.next();
        let at = match self.peek_word().map(str::to_ascii_lowercase).as_deref() {
            Some(word @ ("start" | "end")) => {
                let at = if word == "start" { At::Start } else { At::End };
                self.next();
                self.expect(&TokenKind::LeftParen, "@")?;
                self.expect(&TokenKind::RightParen, "@")?;
                at
            }
            _ => {
                let span = self.peek().span;
                let seconds = self.timestamp()?;
                At::Time(to_time_ms(seconds).ok_or_else(|| {
                    let seconds = if seconds.is_finite() {
                        format!("{seconds:.6}")
                    } else {
                        crate::format::value(seconds)
                    };
                    Problem::new(
                        span,
                        format!("timestamp out of bounds for @ modifier: {seconds}"),
                    )
                })?)
            }
        };
        let end = self.tokens[self.position - 1].span;
        let target = match &mut expr.kind {
            ExprKind::Selector(selector) => &mut selector.at,
            ExprKind::Matrix(matrix) => &mut matrix.selector.at,
            ExprKind::Subquery(subquery) => &mut subquery.at,
            _ => {
                let message = "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return Err(Problem::new(expr.span, message));
            }
        };
        if seen.at {
            let message = "@ <timestamp> may not be set multiple times";
            return Err(Problem::new(expr.span, message));
        }
        seen.at = true;
        *target = Some(at);
        expr.span = expr.span.to(end);
        Ok(())
    }

    /// The number after `@`.
    fn timestamp(&mut self) -> Parsed<f64> {
        let is_number = matches!(
            self.peek().kind,
            TokenKind::Number(_)
                | TokenKind::Duration(_)
                | TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub)
        );
        if !is_number {
            return Err(self.unexpected("@", &["timestamp"]));
        }
        self.signed_number("@")
    }

    fn extend(&mut self, expr: &mut Expr) -> Parsed<()> {
        let anchored = self.peek_keyword("anchored");
        let token = self.next();
        let word = self.text(token.span);
        self.experimental(token.span, format_args!("modifier {word}"))?;
        let selector = match &mut expr.kind {
            ExprKind::Selector(selector) => &mut **selector,
            ExprKind::Matrix(matrix) => &mut matrix.selector,
            kind => {
                let is_subquery = matches!(kind, ExprKind::Subquery(_));
                let what = if is_subquery {
                    "is not supported for subqueries"
                } else {
                    "not implemented"
                };
                let word = word.to_ascii_lowercase();
                let message = format!("{word} modifier {what}");
                return Err(Problem::new(expr.span, message));
            }
        };
        let extend = if anchored {
            Extend::Anchored
        } else {
            Extend::Smoothed
        };
        if selector.extend != Extend::No && selector.extend != extend {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(Problem::new(expr.span, message));
        }
        selector.extend = extend;
        expr.span = expr.span.to(token.span);
        Ok(())
    }
}

/// Which modifiers a node already has.
#[derive(Default)]
struct Seen {
    offset: bool,
    at: bool,
}

fn valid_text(literal: &crate::ast::StringLiteral, span: Span) -> Parsed<String> {
    match &literal.invalid {
        None => Ok(literal.value.clone()),
        Some(bytes) => {
            let quoted = crate::format::quote_bytes(bytes);
            Err(Problem::new(
                span,
                format!("label names and values must be UTF-8, got {quoted}"),
            ))
        }
    }
}
