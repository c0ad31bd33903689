//! What stands between operators: literals, parentheses, calls, aggregations, and the modifiers
//! that may follow them.

use super::lexer::TokenKind;
use super::{Parsed, Parser, Problem, check};
use crate::ast::{
    Aggregate, AggregateOp, BinaryOp, Call, Cardinality, Expr, ExprKind, Matching, Span, ValueType,
};
use crate::functions;

/// Words that never name a metric.
const RESERVED: [&str; 5] = ["bool", "on", "ignoring", "group_left", "group_right"];

/// Whether a word has a meaning of its own in some place.
pub(super) fn is_keyword(word: &str) -> bool {
    let others = ["offset", "by", "without", "anchored", "smoothed"];
    let mut keywords = RESERVED.iter().chain(&others);
    keywords.any(|keyword| keyword.eq_ignore_ascii_case(word))
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
        if followed_by(&TokenKind::LeftParen) && !word.contains(':') {
            self.next();
            return self.call(word, span);
        }
        if RESERVED
            .iter()
            .any(|reserved| reserved.eq_ignore_ascii_case(word))
        {
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
            // What is wrong with the arguments comes first, as in Prometheus.
            self.arguments(false)?;
            let name = crate::format::quote(name);
            return Err(Problem::new(
                start,
                format!("unknown function with name {name}"),
            ));
        };
        if function.is_experimental() {
            self.experimental(start, format_args!("function {}", function.name))?;
        }
        let (args, end) = self.arguments(function.name == "info")?;
        let span = start.to(end);
        check::call(function, &args, span)?;
        Ok(Expr::new(
            span,
            ExprKind::Call(Box::new(Call { function, args })),
        ))
    }

    /// Arguments in parentheses, and the span of the closing one.
    fn arguments(&mut self, of_info: bool) -> Parsed<(Vec<Expr>, Span)> {
        self.expect(&TokenKind::LeftParen, "call")?;
        let mut args = Vec::new();
        if let Some(end) = self.eat(&TokenKind::RightParen) {
            return Ok((args, end));
        }
        loop {
            self.unbounded_selector = of_info && args.len() == 1;
            let arg = self.expression(0);
            self.unbounded_selector = false;
            args.push(arg?);
            if let Some(end) = self.eat(&TokenKind::RightParen) {
                return Ok((args, end));
            }
            let Some(comma) = self.eat(&TokenKind::Comma) else {
                return Err(self.unexpected("", &["\",\"", "\")\""]));
            };
            if self.peek().kind == TokenKind::RightParen {
                let message = "trailing commas not allowed in function call args";
                return Err(Problem::new(comma, message));
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp, start: Span) -> Parsed<Expr> {
        if matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio) {
            self.experimental(start, format_args!("aggregation {}", self.text(start)))?;
        }
        let mut grouping = self.grouping()?;
        let (mut args, mut end) = self.arguments(false)?;
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
        check::expect_type(&expr, ValueType::Vector, "aggregation expression")?;
        let param = args.pop();
        if let (Some(param), Some(wanted)) = (&param, op.parameter()) {
            check::expect_type(param, wanted, "aggregation parameter")?;
        }
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
    pub(super) fn binary_modifiers(
        &mut self,
        op: BinaryOp,
        op_span: Span,
    ) -> Parsed<(bool, Option<Matching>)> {
        let mut return_bool = false;
        if self.eat_keyword("bool").is_some() {
            if !op.is_comparison() {
                let message = "bool modifier can only be used on comparison operators";
                return Err(Problem::new(op_span, message));
            }
            return_bool = true;
        }
        let mut matching = Matching::default();
        let mut given = false;
        if self.peek_keyword("on") || self.peek_keyword("ignoring") {
            given = true;
            matching.on = self.peek_keyword("on");
            self.next();
            matching.labels = self.label_list("grouping opts")?;
        }
        if self.peek_keyword("group_left") || self.peek_keyword("group_right") {
            let span = self.peek().span;
            matching.cardinality = if self.peek_keyword("group_left") {
                Cardinality::ManyToOne
            } else {
                Cardinality::OneToMany
            };
            self.next();
            if !given {
                let message = "group_left and group_right must follow on or ignoring";
                return Err(Problem::new(span, message));
            }
            if op.is_set() {
                let message = format!("no grouping allowed for \"{}\" operation", op.symbol());
                return Err(Problem::new(span, message));
            }
            if self.peek().kind == TokenKind::LeftParen {
                matching.include = self.label_list("grouping opts")?;
            }
        }
        given |= self.fill(op, &mut matching)?;
        Ok((return_bool, given.then_some(matching)))
    }

    /// `fill(value)`, `fill_left(value)`, `fill_right(value)`.
    fn fill(&mut self, op: BinaryOp, matching: &mut Matching) -> Parsed<bool> {
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
            if op.is_set() {
                let message = "filling in missing series not allowed for set operators";
                return Err(Problem::new(span, message));
            }
            self.expect(&TokenKind::LeftParen, "fill")?;
            let value = self.signed_number("fill")?;
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
    pub(super) fn signed_number(&mut self, context: &str) -> Parsed<f64> {
        let mut sign = 1.0;
        if self.eat(&TokenKind::Operator(BinaryOp::Sub)).is_some() {
            sign = -1.0;
        } else {
            self.eat(&TokenKind::Operator(BinaryOp::Add));
        }
        let number = match self.peek().kind {
            TokenKind::Number(number) => number,
            TokenKind::Duration(milliseconds) => milliseconds as f64 / 1000.0,
            _ => return Err(self.unexpected(context, &["number", "duration"])),
        };
        self.next();
        Ok(sign * number)
    }
}
