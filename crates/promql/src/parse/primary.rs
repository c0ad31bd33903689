//! What stands between operators: literals, parentheses, calls, aggregations, and the modifiers
//! that may follow them.

use super::lexer::TokenKind;
use super::{Parsed, Parser, Problem, operator_word};
use crate::ast::{
    Aggregate, AggregateOp, BinaryOp, Call, Cardinality, Expr, ExprKind, Matching, Span,
};
use crate::functions;

/// Words that never name a metric.
const RESERVED: [&str; 6] = [
    "bool",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "atan2",
];

/// Words that stand for times of the query, and name a metric where they do not.
const BOUNDS: [&str; 4] = ["start", "end", "step", "range"];

fn is_one_of(words: &[&str], word: &str) -> bool {
    words.iter().any(|of| of.eq_ignore_ascii_case(word))
}

/// Whether a word never names a metric.
pub(super) fn is_reserved(word: &str) -> bool {
    is_one_of(&RESERVED, word)
}

/// Whether a word stands for a time of the query.
pub(super) fn is_bound(word: &str) -> bool {
    is_one_of(&BOUNDS, word)
}

/// Whether a word has a meaning of its own in some place.
pub(super) fn is_keyword(word: &str) -> bool {
    let others = ["offset", "by", "without", "anchored", "smoothed"];
    is_reserved(word) || is_one_of(&others, word)
}

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        let token = self.peek().clone();
        match token.kind {
            TokenKind::Number(value) => {
                self.next();
                Ok(Expr::new(token.span, ExprKind::Number(value)))
            }
            TokenKind::Duration(milliseconds) => {
                self.next();
                Ok(Expr::new(token.span, ExprKind::Duration(milliseconds)))
            }
            TokenKind::BadNumber(message) | TokenKind::BadDuration(message) => {
                Err(Problem::new(token.span, message))
            }
            TokenKind::String(literal) => {
                self.next();
                Ok(Expr::new(token.span, ExprKind::String(literal)))
            }
            TokenKind::LeftParen => {
                self.next();
                let inner = self.expression(0)?;
                let end = self.expect(&TokenKind::RightParen, "")?;
                Ok(Expr::new(
                    token.span.to(end),
                    ExprKind::Paren(Box::new(inner)),
                ))
            }
            TokenKind::LeftBrace => self.selector(None),
            TokenKind::Word => self.word(token.span),
            _ => Err(self.unexpected("", &["expression"])),
        }
    }

    fn word(&mut self, span: Span) -> Parsed<Expr> {
        let word = self.text(span);
        let followed_by = |kind: &TokenKind| self.peek_second().kind == *kind;
        let follows = |keyword: &str| {
            self.peek_second().kind == TokenKind::Word
                && self
                    .text(self.peek_second().span)
                    .eq_ignore_ascii_case(keyword)
        };
        if let Some(op) = AggregateOp::from_name(word)
            && (followed_by(&TokenKind::LeftParen) || follows("by") || follows("without"))
        {
            self.next();
            return self.aggregate(op, span);
        }
        let is_function = !word.contains(':') && !is_keyword(word) && operator_word(word).is_none();
        if followed_by(&TokenKind::LeftParen) && is_function {
            self.next();
            return self.call(word, span);
        }
        if is_reserved(word) {
            return Err(self.unexpected("", &["expression"]));
        }
        self.next();
        self.selector(Some((word.to_owned(), span)))
    }

    fn call(&mut self, name: &str, start: Span) -> Parsed<Expr> {
        // `start()` and its like are keywords and may be written in any case.
        let keyword = ["start", "end", "step", "range", "min_of", "max_of"]
            .into_iter()
            .find(|keyword| keyword.eq_ignore_ascii_case(name));
        let Some(function) = functions::find(keyword.unwrap_or(name)) else {
            // What is wrong within the arguments comes first, as in Prometheus.
            self.arguments()?;
            let name = crate::format::quote(name);
            return Err(Problem::new(
                start,
                format!("unknown function with name {name}"),
            ));
        };
        if function.is_experimental() {
            self.experimental(start, format_args!("function {}", function.name))?;
        }
        let (args, end) = self.arguments()?;
        let span = start.to(end);
        Ok(Expr::new(
            span,
            ExprKind::Call(Box::new(Call { function, args })),
        ))
    }

    /// Arguments in parentheses, and the span of the closing one.
    fn arguments(&mut self) -> Parsed<(Vec<Expr>, Span)> {
        self.expect(&TokenKind::LeftParen, "")?;
        let mut args = Vec::new();
        if let Some(end) = self.eat(&TokenKind::RightParen) {
            return Ok((args, end));
        }
        loop {
            args.push(self.expression(0)?);
            if let Some(end) = self.eat(&TokenKind::RightParen) {
                return Ok((args, end));
            }
            let Some(comma) = self.eat(&TokenKind::Comma) else {
                return Err(self.unexpected("", &["\",\"", "\")\""]));
            };
            let is_known = !matches!(self.peek().kind, TokenKind::Error(_));
            if is_known && !self.begins_expression() {
                let message = "trailing commas not allowed in function call args";
                return Err(Problem::new(comma, message));
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp, start: Span) -> Parsed<Expr> {
        if matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio) {
            self.experimental(start, format_args!("aggregation {}", self.text(start)))?;
        }
        self.aggregations += 1;
        let mut grouping = self.grouping()?;
        let (mut args, mut end) = self.arguments()?;
        self.aggregations -= 1;
        if grouping.is_none() {
            let before = self.position;
            grouping = self.grouping()?;
            if self.position > before {
                end = self.tokens[self.position - 1].span;
            }
        }
        let span = start.to(end);
        let wanted = 1 + usize::from(op.parameter().is_some());
        if args.is_empty() {
            return Err(Problem::new(
                span,
                "no arguments for aggregate expression provided",
            ));
        }
        if args.len() != wanted {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                args.len()
            );
            return Err(Problem::new(span, message));
        }
        let expr = args.pop().expect("the number of arguments was checked");
        let param = args.pop();
        let (without, grouping) = grouping.unwrap_or_default();
        let aggregate = Aggregate {
            op,
            param,
            expr,
            without,
            grouping,
        };
        Ok(Expr::new(span, ExprKind::Aggregate(Box::new(aggregate))))
    }

    /// `by (..)` or `without (..)`.
    fn grouping(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = if self.eat_keyword("without").is_some() {
            true
        } else if self.eat_keyword("by").is_some() {
            false
        } else {
            return Ok(None);
        };
        Ok(Some((without, self.label_list("grouping opts")?)))
    }

    /// Label names in parentheses; a comma may follow the last.
    fn label_list(&mut self, context: &str) -> Parsed<Vec<String>> {
        self.expect(&TokenKind::LeftParen, context)?;
        let mut labels = Vec::new();
        loop {
            if self.eat(&TokenKind::RightParen).is_some() {
                return Ok(labels);
            }
            let token = self.peek().clone();
            let label = match token.kind {
                TokenKind::Word if !self.text(token.span).contains(':') => {
                    self.text(token.span).to_owned()
                }
                // Without braces around it, `inf` is read as a number, but it names a label too.
                TokenKind::Number(number) if !number.is_finite() => {
                    self.text(token.span).to_owned()
                }
                TokenKind::String(ref literal) if literal.invalid.is_none() => {
                    if literal.value.is_empty() {
                        let message = "invalid label name for grouping: \"\"";
                        return Err(Problem::new(token.span, message));
                    }
                    literal.value.clone()
                }
                _ => return Err(self.unexpected(context, &["label"])),
            };
            self.next();
            labels.push(label);
            if self.eat(&TokenKind::Comma).is_none() && self.peek().kind != TokenKind::RightParen {
                return Err(self.unexpected(context, &["\",\"", "\")\""]));
            }
        }
    }

    /// `bool`, `on`, `ignoring`, `group_left`, `group_right` and `fill` after an operator.
    pub(super) fn binary_modifiers(&mut self) -> Parsed<(bool, Option<Matching>)> {
        let return_bool = self.eat_keyword("bool").is_some();
        let mut matching = Matching::default();
        let mut given = false;
        if self.peek_keyword("on") || self.peek_keyword("ignoring") {
            given = true;
            matching.on = self.peek_keyword("on");
            self.next();
            matching.labels = self.label_list("grouping opts")?;
        }
        let groups = self.peek_keyword("group_left") || self.peek_keyword("group_right");
        if given && groups {
            matching.cardinality = if self.peek_keyword("group_left") {
                Cardinality::ManyToOne
            } else {
                Cardinality::OneToMany
            };
            self.next();
            if self.peek().kind == TokenKind::LeftParen || !self.begins_expression() {
                matching.include = self.label_list("grouping opts")?;
            }
        }
        given |= self.fill(&mut matching)?;
        Ok((return_bool, given.then_some(matching)))
    }

    /// `fill(value)`, `fill_left(value)`, `fill_right(value)`.
    fn fill(&mut self, matching: &mut Matching) -> Parsed<bool> {
        let mut given = false;
        loop {
            let word = self.peek_word().unwrap_or("").to_ascii_lowercase();
            let sides = match word.as_str() {
                "fill" => (true, true),
                "fill_left" => (true, false),
                "fill_right" => (false, true),
                _ => return Ok(given),
            };
            if self.peek_second().kind != TokenKind::LeftParen {
                return Ok(given);
            }
            let span = self.next().span;
            self.experimental(span, format_args!("modifier {word}"))?;
            self.expect(&TokenKind::LeftParen, "fill")?;
            let value = self.signed_number("fill", &["number", "duration"])?;
            self.expect(&TokenKind::RightParen, "fill")?;
            if sides.0 {
                matching.fill_left = Some(value);
            }
            if sides.1 {
                matching.fill_right = Some(value);
            }
            given = true;
        }
    }

    /// A number or duration (in seconds) with an optional sign.
    pub(super) fn signed_number(&mut self, context: &str, expected: &[&str]) -> Parsed<f64> {
        let mut sign = 1.0;
        if self.eat(&TokenKind::Operator(BinaryOp::Sub)).is_some() {
            sign = -1.0;
        } else {
            self.eat(&TokenKind::Operator(BinaryOp::Add));
        }
        let token = self.peek();
        let number = match &token.kind {
            TokenKind::Number(number) => *number,
            TokenKind::Duration(milliseconds) => *milliseconds as f64 / 1000.0,
            TokenKind::BadNumber(message) | TokenKind::BadDuration(message) => {
                return Err(Problem::new(token.span, message.clone()));
            }
            _ => return Err(self.unexpected(context, expected)),
        };
        self.next();
        Ok(sign * number)
    }
}
