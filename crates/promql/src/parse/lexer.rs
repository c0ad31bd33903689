//! Splits a query into tokens.
//!
//! Two contexts change what characters mean: inside braces words are label names, and inside
//! brackets a colon separates the range from the step instead of being part of a name.

use super::literal::{duration_or_number, unquote};
use super::{Parsed, Problem};
use crate::ast::{BinaryOp, Span, StringLiteral};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) span: Span,
    pub(super) kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// Identifier or keyword.
    Word,
    Number(f64),
    /// Milliseconds.
    Duration(i64),
    String(StringLiteral),
    Operator(BinaryOp),
    /// `=`
    Assign,
    /// `=~`
    Match,
    /// `!~`
    NoMatch,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    At,
    End,
}

impl TokenKind {
    pub(super) fn describe(&self) -> String {
        let text = match self {
            TokenKind::Word => return "identifier".to_owned(),
            TokenKind::Number(_) => return "number".to_owned(),
            TokenKind::Duration(_) => return "duration".to_owned(),
            TokenKind::String(_) => return "string".to_owned(),
            TokenKind::End => return "end of input".to_owned(),
            TokenKind::Operator(op) => op.symbol(),
            TokenKind::Assign => "=",
            TokenKind::Match => "=~",
            TokenKind::NoMatch => "!~",
            TokenKind::LeftParen => "(",
            TokenKind::RightParen => ")",
            TokenKind::LeftBrace => "{",
            TokenKind::RightBrace => "}",
            TokenKind::LeftBracket => "[",
            TokenKind::RightBracket => "]",
            TokenKind::Comma => ",",
            TokenKind::Colon => ":",
            TokenKind::At => "@",
        };
        format!("\"{text}\"")
    }
}

/// Two-character tokens come before their one-character prefixes.
const SYMBOLS: [(&str, TokenKind); 26] = [
    ("==", TokenKind::Operator(BinaryOp::Eq)),
    ("!=", TokenKind::Operator(BinaryOp::Ne)),
    ("<=", TokenKind::Operator(BinaryOp::Le)),
    (">=", TokenKind::Operator(BinaryOp::Ge)),
    ("</", TokenKind::Operator(BinaryOp::TrimUpper)),
    (">/", TokenKind::Operator(BinaryOp::TrimLower)),
    ("=~", TokenKind::Match),
    ("!~", TokenKind::NoMatch),
    ("<", TokenKind::Operator(BinaryOp::Lt)),
    (">", TokenKind::Operator(BinaryOp::Gt)),
    ("=", TokenKind::Assign),
    ("+", TokenKind::Operator(BinaryOp::Add)),
    ("-", TokenKind::Operator(BinaryOp::Sub)),
    ("*", TokenKind::Operator(BinaryOp::Mul)),
    ("/", TokenKind::Operator(BinaryOp::Div)),
    ("%", TokenKind::Operator(BinaryOp::Mod)),
    ("^", TokenKind::Operator(BinaryOp::Pow)),
    ("(", TokenKind::LeftParen),
    (")", TokenKind::RightParen),
    ("{", TokenKind::LeftBrace),
    ("}", TokenKind::RightBrace),
    ("[", TokenKind::LeftBracket),
    ("]", TokenKind::RightBracket),
    (",", TokenKind::Comma),
    (":", TokenKind::Colon),
    ("@", TokenKind::At),
];

pub(super) fn tokenize(query: &str) -> Parsed<Vec<Token>> {
    let mut lexer = Lexer {
        query,
        position: 0,
        in_braces: false,
        in_brackets: false,
    };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        match token.kind {
            TokenKind::LeftBrace => lexer.in_braces = true,
            TokenKind::RightBrace => lexer.in_braces = false,
            TokenKind::LeftBracket => lexer.in_brackets = true,
            TokenKind::RightBracket => lexer.in_brackets = false,
            _ => {}
        }
        tokens.push(token);
    }
    let end = query.len();
    tokens.push(Token {
        span: Span::new(end, end),
        kind: TokenKind::End,
    });
    Ok(tokens)
}

struct Lexer<'q> {
    query: &'q str,
    position: usize,
    in_braces: bool,
    in_brackets: bool,
}

impl Lexer<'_> {
    fn next(&mut self) -> Parsed<Option<Token>> {
        self.skip_blanks();
        let start = self.position;
        let rest = &self.query[start..];
        let Some(first) = rest.chars().next() else {
            return Ok(None);
        };
        let second = rest.as_bytes().get(1).copied().unwrap_or(0);
        let colon_is_letter = !self.in_braces && !self.in_brackets;
        let kind = if first.is_ascii_digit() || (first == '.' && second.is_ascii_digit()) {
            self.number()?
        } else if matches!(first, '"' | '\'' | '`') {
            self.string(first)?
        } else if first.is_ascii_alphabetic() || first == '_' || (first == ':' && colon_is_letter) {
            let letter = |byte: u8| {
                byte.is_ascii_alphanumeric() || byte == b'_' || (byte == b':' && colon_is_letter)
            };
            self.position += rest.bytes().take_while(|&byte| letter(byte)).count();
            self.special_number(start)
        } else if let Some((text, kind)) = SYMBOLS.iter().find(|(text, _)| rest.starts_with(text)) {
            self.position += text.len();
            kind.clone()
        } else {
            let span = Span::new(start, start + first.len_utf8());
            let message = format!("unexpected character: {}", quote_char(first));
            return Err(Problem::new(span, message));
        };
        Ok(Some(Token {
            span: Span::new(start, self.position),
            kind,
        }))
    }

    /// `Inf` and `NaN` in any case are numbers, except as label names.
    fn special_number(&self, start: usize) -> TokenKind {
        let word = &self.query[start..self.position];
        if self.in_braces {
            TokenKind::Word
        } else if word.eq_ignore_ascii_case("inf") {
            TokenKind::Number(f64::INFINITY)
        } else if word.eq_ignore_ascii_case("nan") {
            TokenKind::Number(f64::NAN)
        } else {
            TokenKind::Word
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = &self.query[self.position..];
            let blanks = rest
                .bytes()
                .take_while(|byte| b" \t\r\n".contains(byte))
                .count();
            self.position += blanks;
            if !rest[blanks..].starts_with('#') {
                return;
            }
            let line = rest[blanks..].find('\n').unwrap_or(rest.len() - blanks);
            self.position += line;
        }
    }

    fn number(&mut self) -> Parsed<TokenKind> {
        let start = self.position;
        let (length, kind) = duration_or_number(&self.query[start..]);
        self.position += length;
        let span = Span::new(start, self.position);
        kind.map_err(|message| Problem::new(span, message))
    }

    fn string(&mut self, quote: char) -> Parsed<TokenKind> {
        let start = self.position;
        let body = &self.query[start + 1..];
        let mut escaped = false;
        for (index, c) in body.char_indices() {
            if escaped {
                escaped = false;
            } else if c == '\\' && quote != '`' {
                escaped = true;
            } else if c == quote {
                self.position = start + 1 + index + 1;
                let literal = unquote(&body[..index], quote)
                    .map_err(|message| Problem::new(Span::new(start, self.position), message))?;
                return Ok(TokenKind::String(literal));
            } else if c == '\n' && quote != '`' {
                break;
            }
        }
        let kind = if quote == '`' {
            "raw string"
        } else {
            "quoted string"
        };
        Err(Problem::new(
            Span::new(start, self.query.len()),
            format!("unterminated {kind}"),
        ))
    }
}

fn quote_char(c: char) -> String {
    let quoted = crate::format::quote(c.encode_utf8(&mut [0; 4]));
    format!("'{}'", &quoted[1..quoted.len() - 1])
}
