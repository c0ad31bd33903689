//! Walks a query text: the lexical pieces, each with its bytes.
//!
//! What a piece is depends on where it stands (`/` begins a regex only as a value), so the
//! parser asks for the piece that it can use there instead of getting a stream of tokens.

use super::ast::Span;
use super::highlight::{Class, Token};
use crate::error::{ErrorKind, QueryError};

/// A position in a query text, always at a character boundary.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

/// An error in a query text.
pub(super) fn error(span: Span, message: impl Into<String>) -> QueryError {
    QueryError {
        span: Some((span.start, span.end)),
        ..QueryError::new(ErrorKind::InvalidQuery, message)
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            tokens: Vec::new(),
        }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn slice(&self, span: Span) -> &'a str {
        &self.text[span.start..span.end]
    }

    pub(super) fn into_tokens(self) -> Vec<Token> {
        self.tokens
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Whether the next character ends a value: white space, a closing parenthesis, the end.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.peek().is_none_or(|c| c.is_whitespace() || c == ')')
    }

    pub(super) fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    pub(super) fn token(&mut self, span: Span, class: Class) {
        if span.start < span.end {
            self.tokens.push(Token { span, class });
        }
    }

    /// Takes `piece` if it comes next.
    pub(super) fn take(&mut self, piece: &str, class: Class) -> Option<Span> {
        if !self.rest().starts_with(piece) {
            return None;
        }
        let span = Span::new(self.at, self.at + piece.len());
        self.at = span.end;
        self.token(span, class);
        Some(span)
    }

    /// Takes a keyword if it comes next and ends there.
    pub(super) fn take_keyword(&mut self, word: &str) -> Option<Span> {
        let after = self.rest().strip_prefix(word)?;
        let ends = after
            .chars()
            .next()
            .is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '"'));
        if ends {
            self.take(word, Class::Operator)
        } else {
            None
        }
    }

    /// Whether a keyword comes next.
    pub(super) fn keyword(&self) -> Option<&'static str> {
        ["AND", "OR", "NOT"].into_iter().find(|word| {
            self.rest().strip_prefix(word).is_some_and(|after| {
                after
                    .chars()
                    .next()
                    .is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '"'))
            })
        })
    }

    /// Takes a run of characters up to white space, a parenthesis, a quote or a stop character.
    pub(super) fn run(&mut self, stop: Option<char>) -> Span {
        let rest = self.rest();
        let length = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"') || Some(c) == stop)
            .unwrap_or(rest.len());
        let span = Span::new(self.at, self.at + length);
        self.at = span.end;
        span
    }

    /// Goes back to a position that was seen before.
    pub(super) fn rewind(&mut self, at: usize) {
        self.at = at;
    }

    /// Takes a text in double quotes; the cursor is at the first quote.
    pub(super) fn quoted(&mut self, class: Class) -> Result<(String, Span), QueryError> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.text[start + 1..].char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    let span = Span::new(start, start + 1 + offset + 1);
                    self.at = span.end;
                    self.token(span, class);
                    return Ok((text, span));
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    Some((_, other)) => text.extend(['\\', other]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        let span = Span::new(start, self.text.len());
        Err(error(span, "a quote is never closed").hint("add the closing \""))
    }

    /// Takes a regex between slashes, if one stands here: without white space (write `\s`), and
    /// closed where the value ends. Else it is a value that begins with a slash, like a path.
    pub(super) fn regex(&mut self) -> Option<(String, Span)> {
        let body = self.rest().strip_prefix('/')?;
        let mut pattern = String::new();
        let mut chars = body.char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                '/' => {
                    let end = self.at + 1 + offset + 1;
                    let next = self.text[end..].chars().next();
                    let closed = next.is_none_or(|c| c.is_whitespace() || c == ')');
                    if !closed || pattern.is_empty() {
                        return None;
                    }
                    let span = Span::new(self.at, end);
                    self.at = end;
                    self.token(span, Class::Regex);
                    return Some((pattern, span));
                }
                '\\' => match chars.next() {
                    Some((_, '/')) => pattern.push('/'),
                    Some((_, escaped)) => pattern.extend(['\\', escaped]),
                    None => return None,
                },
                c if c.is_whitespace() => return None,
                c => pattern.push(c),
            }
        }
        None
    }
}
