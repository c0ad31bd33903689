//! Selectors, ranges, subqueries, `offset` and `@`.

use super::duration::{DURATIONS, DURATIONS_OR_END};
use super::lexer::TokenKind;
use super::primary::is_reserved;
use super::{MAX_REGEXES, Parsed, Parser, Problem};
use crate::ast::{At, BinaryOp, Expr, ExprKind, Extend, MatrixSelector, Selector, Span, Subquery};
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

    /// A selector with nothing around it.
    pub(super) fn selector_alone(&mut self) -> Parsed<Selector> {
        let name = match self.peek_word().map(str::to_owned) {
            Some(word) if !is_reserved(&word) => Some((word, self.next().span)),
            None if self.peek().kind == TokenKind::LeftBrace => None,
            _ => return Err(self.unexpected("", &["metric name", "\"{\""])),
        };
        let (name, matchers, _) = self.matchers(name)?;
        Ok(self.selector_of(name, matchers))
    }

    /// A selector whose name, if any, has been read.
    pub(super) fn selector(&mut self, name: Option<(String, Span)>) -> Parsed<Expr> {
        let start = name.as_ref().map_or(self.peek().span, |(_, span)| *span);
        let (name, matchers, end) = self.matchers(name)?;
        let selector = self.selector_of(name, matchers);
        let kind = ExprKind::Selector(Box::new(selector));
        Ok(Expr::new(start.to(end), kind))
    }

    fn selector_of(&mut self, name: Option<String>, matchers: Vec<Matcher>) -> Selector {
        let id = self.selectors;
        self.selectors += 1;
        Selector {
            id,
            name,
            matchers,
            offset_ms: 0,
            offset_expr: None,
            at: None,
            extend: Extend::No,
        }
    }

    /// The name before the braces and the matchers of a series as it appears in test data.
    pub(super) fn series_matchers(&mut self) -> Parsed<(Option<String>, Vec<Matcher>, Span)> {
        let start = self.peek().span;
        let name = self
            .peek_word()
            .map(|word| (word.to_owned(), self.next().span));
        if name.is_none() && self.peek().kind != TokenKind::LeftBrace {
            return Err(self.unexpected("series", &["metric name", "\"{\""]));
        }
        let (name, matchers, end) = self.matchers(name)?;
        Ok((name, matchers, start.to(end)))
    }

    /// A name before the braces is the last matcher.
    fn matchers(
        &mut self,
        name: Option<(String, Span)>,
    ) -> Parsed<(Option<String>, Vec<Matcher>, Span)> {
        let mut end = name.as_ref().map_or(self.peek().span, |(_, span)| *span);
        let name = name.map(|(name, _)| name);
        let mut matchers = Vec::new();
        if self.eat(&TokenKind::LeftBrace).is_some() {
            loop {
                if let Some(brace) = self.eat(&TokenKind::RightBrace) {
                    end = brace;
                    break;
                }
                self.matcher(&mut matchers)?;
                let closing = self.peek().kind == TokenKind::RightBrace;
                if self.eat(&TokenKind::Comma).is_none() && !closing {
                    return Err(self.unexpected("label matching", &["\",\"", "\"}\""]));
                }
            }
        }
        if let Some(name) = &name {
            matchers.push(Matcher::equal(METRIC_NAME, name.clone()));
        }
        Ok((name, matchers, end))
    }

    /// One matcher, or a quoted metric name.
    fn matcher(&mut self, matchers: &mut Vec<Matcher>) -> Parsed<()> {
        let name = self.peek().clone();
        let label = match name.kind {
            TokenKind::Word => self.text(name.span).to_owned(),
            TokenKind::String(ref literal) => valid_text(literal, name.span)?,
            _ => return Err(self.unexpected("label matching", &["identifier", "\"}\""])),
        };
        self.next();
        let op = match self.peek().kind {
            TokenKind::Assign => MatchOp::Eq,
            TokenKind::Operator(BinaryOp::Ne) => MatchOp::Ne,
            TokenKind::Match => MatchOp::Re,
            TokenKind::NoMatch => MatchOp::Nre,
            _ if name.kind != TokenKind::Word => {
                matchers.push(Matcher::equal(METRIC_NAME, label));
                return Ok(());
            }
            _ => return Err(self.unexpected("label matching", &["label matching operator"])),
        };
        self.next();
        let token = self.peek().clone();
        let TokenKind::String(literal) = token.kind else {
            return Err(self.unexpected("label matching", &["string"]));
        };
        self.next();
        let value = valid_text(&literal, token.span)?;
        let span = name.span.to(token.span);
        let matcher = Matcher::new(label, op, value.as_str())
            .map_err(|error| Problem::new(span, wrong_regex(&value, &error)))?;
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
        self.duration_context = ("subquery or range selector", &DURATIONS);
        if !self.at_duration() {
            return Err(self.no_duration());
        }
        let range = self.range_duration()?;
        let is_subquery = self.eat(&TokenKind::Colon).is_some();
        let step = match self.peek().kind {
            TokenKind::RightBracket => None,
            _ if !is_subquery => {
                return Err(self.unexpected("subquery or range", &["\":\"", "\"]\""]));
            }
            _ => {
                self.duration_context = ("subquery selector", &DURATIONS_OR_END);
                if !self.at_duration() {
                    return Err(self.no_duration());
                }
                Some(self.range_duration()?)
            }
        };
        let end = self.expect(&TokenKind::RightBracket, "subquery selector")?;
        let span = expr.span.to(end);
        if !is_subquery {
            return self.matrix(expr, range, (span, open.to(end)), seen);
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
        self.duration_context = ("offset", &DURATIONS);
        if !self.at_duration() {
            return Err(self.no_duration());
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
                for kind in [TokenKind::LeftParen, TokenKind::RightParen] {
                    if self.eat(&kind).is_none() {
                        return Err(self.unexpected("@", &TIMESTAMP));
                    }
                }
                at
            }
            _ => {
                let seconds = self.timestamp()?;
                At::Time(to_time_ms(seconds).ok_or_else(|| {
                    let seconds = if seconds.is_finite() {
                        format!("{seconds:.6}")
                    } else {
                        crate::format::value(seconds)
                    };
                    Problem::new(
                        expr.span,
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
                | TokenKind::BadNumber(_)
                | TokenKind::Duration(_)
                | TokenKind::BadDuration(_)
                | TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub)
        );
        if !is_number {
            return Err(self.unexpected("@", &TIMESTAMP));
        }
        self.signed_number("@", &TIMESTAMP)
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

/// What may follow `@`.
const TIMESTAMP: [&str; 1] = ["timestamp"];

/// What is wrong with a regular expression, in the words of Go for what is wrong most often.
fn wrong_regex(pattern: &str, error: &regex::Error) -> String {
    // The compiler's message spans lines to point at the place; the last line says why.
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default();
    let reason = match reason.trim_start_matches("error: ") {
        "unclosed group" if pattern.ends_with('\\') => {
            "trailing backslash at end of expression: ``".to_owned()
        }
        "unclosed group" => format!("missing closing ): `{pattern}`"),
        "unopened group" => format!("unexpected ): `{pattern}`"),
        "repetition operator missing expression" => {
            let operator = pattern.find(['*', '+', '?']).map(|at| &pattern[at..=at]);
            let operator = operator.unwrap_or_default();
            format!("missing argument to repetition operator: `{operator}`")
        }
        other => other.to_owned(),
    };
    format!("error parsing regexp: {reason}")
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
