//! Text, actions and the tokens of actions.

use std::fmt;

/// Text between actions, or the tokens of an action.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(String),
    Action(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Str(String),
    Int(i64),
    Float(f64),
    Dot,
    /// `.Name` that begins an operand.
    Field(String),
    /// `.Name` that follows an operand without a space.
    Chained(String),
    /// `$name`, without the dollar sign; empty for `$`.
    Variable(String),
    Open,
    Close,
    Pipe,
    Comma,
    Declare,
    Assign,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(word) => write!(f, "<{word}>"),
            Token::Str(text) => write!(f, "{text:?}"),
            Token::Int(int) => write!(f, "<{int}>"),
            Token::Float(float) => write!(f, "<{float}>"),
            Token::Dot => f.write_str("<.>"),
            Token::Field(name) | Token::Chained(name) => write!(f, "<.{name}>"),
            Token::Variable(name) => write!(f, "<${name}>"),
            Token::Open => f.write_str("\"(\""),
            Token::Close => f.write_str("\")\""),
            Token::Pipe => f.write_str("\"|\""),
            Token::Comma => f.write_str("\",\""),
            Token::Declare => f.write_str("\":=\""),
            Token::Assign => f.write_str("\"=\""),
        }
    }
}

/// Splits a template into text and actions, with the white space trimmed that `{{-` and `-}}`
/// ask for.
pub(super) fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trim_next = false;
    loop {
        let (text, after) = match rest.find("{{") {
            Some(at) => (&rest[..at], Some(&rest[at + 2..])),
            None => (rest, None),
        };
        let mut text = if trim_next { text.trim_start() } else { text };
        let Some(after) = after else {
            push_text(&mut pieces, text);
            return Ok(pieces);
        };
        let marker = after
            .strip_prefix('-')
            .filter(|rest| rest.starts_with(char::is_whitespace));
        if marker.is_some() {
            text = text.trim_end();
        }
        push_text(&mut pieces, text);
        let inside = marker.unwrap_or(after);
        let (tokens, trim, left) = match inside.trim_start().strip_prefix("/*") {
            Some(comment) => {
                let end = comment.find("*/").ok_or("unclosed comment")?;
                let left = comment[end + 2..].trim_start();
                let trim = left.starts_with("-}}");
                let left = left.strip_prefix('-').unwrap_or(left);
                let left = left
                    .strip_prefix("}}")
                    .ok_or("comment ends before closing delimiter")?;
                (Vec::new(), trim, left)
            }
            None => tokens(inside)?,
        };
        pieces.push(Piece::Action(tokens));
        trim_next = trim;
        rest = left;
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// The tokens up to `}}`, whether `-}}` ended them, and what follows.
fn tokens(action: &str) -> Result<(Vec<Token>, bool, &str), String> {
    let mut tokens = Vec::new();
    let mut rest = action;
    let mut spaced = true;
    loop {
        let trimmed = rest.trim_start();
        if trimmed.len() < rest.len() {
            spaced = true;
            if let Some(left) = trimmed.strip_prefix("-}}") {
                return Ok((tokens, true, left));
            }
        }
        rest = trimmed;
        if let Some(left) = rest.strip_prefix("}}") {
            return Ok((tokens, false, left));
        }
        let Some(first) = rest.chars().next() else {
            return Err("unclosed action".into());
        };
        let (token, length) = token(rest, first, spaced)?;
        tokens.push(token);
        rest = &rest[length..];
        spaced = false;
    }
}

fn token(rest: &str, first: char, spaced: bool) -> Result<(Token, usize), String> {
    let simple = |token: Token, length: usize| Ok((token, length));
    match first {
        '(' => simple(Token::Open, 1),
        ')' => simple(Token::Close, 1),
        '|' => simple(Token::Pipe, 1),
        ',' => simple(Token::Comma, 1),
        ':' if rest.starts_with(":=") => simple(Token::Declare, 2),
        '=' => simple(Token::Assign, 1),
        '"' => quoted(rest),
        '`' => {
            let end = rest[1..]
                .find('`')
                .ok_or("unterminated raw quoted string")?;
            simple(Token::Str(rest[1..=end].to_owned()), end + 2)
        }
        '\'' => character(rest),
        '$' => {
            let length = name_length(&rest[1..]);
            simple(Token::Variable(rest[1..=length].to_owned()), length + 1)
        }
        '.' => {
            let length = name_length(&rest[1..]);
            if rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
                return number(rest);
            }
            let name = rest[1..=length].to_owned();
            match (length, spaced) {
                (0, _) => simple(Token::Dot, 1),
                (_, true) => simple(Token::Field(name), length + 1),
                (_, false) => simple(Token::Chained(name), length + 1),
            }
        }
        '0'..='9' | '+' | '-' => number(rest),
        c if c.is_alphabetic() || c == '_' => {
            let length = name_length(rest);
            simple(Token::Word(rest[..length].to_owned()), length)
        }
        other => Err(format!("unexpected {other:?} in command")),
    }
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len())
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    let mut length = 0;
    let mut previous = ' ';
    for c in rest.chars() {
        let sign = matches!(c, '+' | '-') && (length == 0 || matches!(previous, 'e' | 'E'));
        if !(sign || c.is_ascii_alphanumeric() || c == '.' || c == '_') {
            break;
        }
        length += c.len_utf8();
        previous = c;
    }
    let text = rest[..length].replace('_', "");
    let bad = || format!("bad number syntax: {:?}", &rest[..length]);
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text.strip_prefix('+').unwrap_or(&text), false),
    };
    let radix = match digits.get(..2) {
        Some("0x" | "0X") => Some(16),
        Some("0o" | "0O") => Some(8),
        Some("0b" | "0B") => Some(2),
        _ => None,
    };
    if let Some(radix) = radix {
        let int = i64::from_str_radix(&digits[2..], radix).map_err(|_| bad())?;
        return Ok((Token::Int(if negative { -int } else { int }), length));
    }
    if let Ok(int) = text.parse::<i64>() {
        return Ok((Token::Int(int), length));
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(bad());
    }
    text.parse()
        .map(|float| (Token::Float(float), length))
        .map_err(|_| bad())
}

fn quoted(rest: &str) -> Result<(Token, usize), String> {
    let mut out = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Str(out), at + 1)),
            '\n' => break,
            '\\' => out.push(escape(&mut chars)?),
            c => out.push(c),
        }
    }
    Err("unterminated quoted string".into())
}

fn character(rest: &str) -> Result<(Token, usize), String> {
    let mut chars = rest.char_indices().skip(1);
    let value = match chars.next() {
        Some((_, '\\')) => escape(&mut chars)?,
        Some((_, c)) if c != '\'' => c,
        _ => return Err("malformed character constant".into()),
    };
    match chars.next() {
        Some((at, '\'')) => Ok((Token::Int(i64::from(u32::from(value))), at + 1)),
        _ => Err("unterminated character constant".into()),
    }
}

fn escape(chars: &mut impl Iterator<Item = (usize, char)>) -> Result<char, String> {
    let invalid = || "invalid escape in quoted string".to_owned();
    let code = |digits: usize, chars: &mut dyn Iterator<Item = (usize, char)>| {
        let hex: String = chars.take(digits).map(|(_, c)| c).collect();
        u32::from_str_radix(&hex, 16)
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(invalid)
    };
    match chars.next().map(|(_, c)| c) {
        Some('n') => Ok('\n'),
        Some('t') => Ok('\t'),
        Some('r') => Ok('\r'),
        Some('a') => Ok('\u{7}'),
        Some('b') => Ok('\u{8}'),
        Some('f') => Ok('\u{c}'),
        Some('v') => Ok('\u{b}'),
        Some(c @ ('\\' | '"' | '\'')) => Ok(c),
        Some('x') => code(2, chars),
        Some('u') => code(4, chars),
        Some('U') => code(8, chars),
        _ => Err(invalid()),
    }
}
