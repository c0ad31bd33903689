//! Which part of a query text is what, for colouring.

use super::ast::Span;

/// What a part of a query text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Name of a field.
    Field,
    /// `:`, `>`, `..`, `-`, AND, OR, NOT.
    Operator,
    /// A value without quotes.
    Value,
    /// A value or phrase in quotes.
    Quoted,
    /// A regular expression.
    Regex,
    /// A bare word.
    Word,
    /// A parenthesis.
    Parenthesis,
    /// Everything from the first error on.
    Error,
}

impl Class {
    /// The class as it stands in the API.
    pub fn name(self) -> &'static str {
        match self {
            Class::Field => "field",
            Class::Operator => "operator",
            Class::Value => "value",
            Class::Quoted => "quoted",
            Class::Regex => "regex",
            Class::Word => "word",
            Class::Parenthesis => "parenthesis",
            Class::Error => "error",
        }
    }
}

/// A part of a query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Where.
    pub span: Span,
    /// What.
    pub class: Class,
}

/// The parts of a text in order; white space between them belongs to none. A text with an error
/// has its parts up to the error, and one for the rest.
pub fn highlight(text: &str) -> Vec<Token> {
    let (parsed, mut tokens) = super::parser::parse(text);
    if let Err(error) = parsed {
        let start = error.span.map_or(0, |(start, _)| start);
        tokens.retain(|token| token.span.end <= start);
        if start < text.len() {
            tokens.push(Token {
                span: Span::new(start, text.len()),
                class: Class::Error,
            });
        }
    }
    tokens
}
