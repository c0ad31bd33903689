//! Durations in brackets and after `offset`: literals, and calculations with them.

use super::lexer::TokenKind;
use super::{Parsed, Parser, Problem};
use crate::ast::BinaryOp;
use crate::duration::DurationExpr;

/// What a message calls anything but a literal.
const CALCULATION: &str = "calculating with durations";

/// The most literals, calls, signs and parentheses in one duration, which is also the most levels
/// that its calculation can have.
const MAX_PARTS: usize = 192;

/// What may begin a duration.
pub(super) const DURATIONS: [&str; 4] = ["number", "duration", "step()", "range()"];
/// The same where the brackets may end.
pub(super) const DURATIONS_OR_END: [&str; 5] = {
    let [number, duration, step, range] = DURATIONS;
    [number, duration, step, range, "\"]\""]
};

const CALLS: [&str; 4] = ["step", "range", "min_of", "max_of"];

/// Whether a word is one that may stand in a duration.
pub(super) fn is_call(word: &str) -> bool {
    CALLS.iter().any(|call| call.eq_ignore_ascii_case(word))
}

impl Parser<'_> {
    /// Whether a duration begins here.
    pub(super) fn at_duration(&self) -> bool {
        match self.peek().kind {
            TokenKind::Number(_)
            | TokenKind::BadNumber(_)
            | TokenKind::Duration(_)
            | TokenKind::BadDuration(_)
            | TokenKind::LeftParen => true,
            TokenKind::Operator(op) => matches!(op, BinaryOp::Add | BinaryOp::Sub),
            TokenKind::Word => self.peek_word().is_some_and(is_call),
            _ => false,
        }
    }

    /// A calculation inside brackets.
    pub(super) fn duration_expression(&mut self, minimum: u8) -> Parsed<DurationExpr> {
        let mut lhs = self.duration_operand()?;
        while let TokenKind::Operator(op) = self.peek().kind {
            let arithmetic = matches!(
                op,
                BinaryOp::Add
                    | BinaryOp::Sub
                    | BinaryOp::Mul
                    | BinaryOp::Div
                    | BinaryOp::Mod
                    | BinaryOp::Pow
            );
            let precedence = op.precedence();
            if !arithmetic || precedence < minimum {
                break;
            }
            let span = self.next().span;
            self.experimental(span, CALCULATION)?;
            let right_minimum = if op == BinaryOp::Pow {
                precedence
            } else {
                precedence + 1
            };
            let rhs = self.duration_expression(right_minimum)?;
            lhs = DurationExpr::Binary(op, Box::new(lhs), Box::new(rhs));
            // A constant part that cannot be calculated is an error where its operator stands.
            lhs.constant()
                .map_err(|message| Problem::new(span, message))?;
        }
        Ok(lhs)
    }

    /// A literal, a call or a calculation in parentheses, with a sign before it.
    pub(super) fn duration_operand(&mut self) -> Parsed<DurationExpr> {
        let token = self.peek().clone();
        self.duration_parts += 1;
        if self.duration_parts > MAX_PARTS {
            let message = format!("duration of more than {MAX_PARTS} parts");
            return Err(Problem::new(token.span, message));
        }
        match token.kind {
            TokenKind::Number(seconds) => {
                self.next();
                Ok(DurationExpr::Seconds(seconds))
            }
            TokenKind::Duration(milliseconds) => {
                self.next();
                Ok(DurationExpr::Literal(milliseconds))
            }
            TokenKind::BadNumber(message) | TokenKind::BadDuration(message) => {
                Err(Problem::new(token.span, message))
            }
            TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.next();
                // A sign takes what follows alone: after `offset`, operators belong to the query.
                let operand = self.duration_operand()?;
                if op == BinaryOp::Add {
                    return Ok(operand);
                }
                Ok(DurationExpr::Negate(Box::new(operand)))
            }
            TokenKind::LeftParen => {
                self.next();
                self.experimental(token.span, CALCULATION)?;
                let inner = self.duration_expression(0)?;
                self.duration_symbol(&TokenKind::RightParen)?;
                Ok(DurationExpr::Wrapped(Box::new(inner)))
            }
            TokenKind::Word => self.duration_call(),
            _ => Err(self.no_duration()),
        }
    }

    /// What stands here belongs to no duration.
    pub(super) fn no_duration(&self) -> Problem {
        let (context, expected) = self.duration_context;
        self.unexpected(context, expected)
    }

    fn duration_symbol(&mut self, kind: &TokenKind) -> Parsed<()> {
        match self.eat(kind) {
            Some(_) => Ok(()),
            None => Err(self.no_duration()),
        }
    }

    fn duration_call(&mut self) -> Parsed<DurationExpr> {
        let word = self.peek_word().unwrap_or("").to_ascii_lowercase();
        if !is_call(&word) {
            return Err(self.no_duration());
        }
        let span = self.next().span;
        self.experimental(span, CALCULATION)?;
        self.duration_symbol(&TokenKind::LeftParen)?;
        if matches!(word.as_str(), "step" | "range") {
            self.duration_symbol(&TokenKind::RightParen)?;
            return Ok(if word == "step" {
                DurationExpr::Step
            } else {
                DurationExpr::Range
            });
        }
        let first = Box::new(self.duration_expression(0)?);
        self.duration_symbol(&TokenKind::Comma)?;
        let second = Box::new(self.duration_expression(0)?);
        self.duration_symbol(&TokenKind::RightParen)?;
        Ok(if word == "min_of" {
            DurationExpr::MinOf(first, second)
        } else {
            DurationExpr::MaxOf(first, second)
        })
    }
}
