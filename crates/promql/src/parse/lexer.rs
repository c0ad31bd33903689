//! Splits a query into tokens.
//!
//! Two contexts change what characters mean: inside braces words are label names, and inside
//! brackets a colon separates the range from the step instead of being part of a name.
//!
//! What is no token is one that says why, after which there is none: the parser may find a mistake
//! before it.

use super::duration::is_call;
use super::literal::{duration_or_number, quoted};
use crate::ast::{BinaryOp, Span, StringLiteral};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) span: Span,
    pub(super) kind: TokenKind,
    pub(super) in_braces: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// Identifier or keyword.
    Word,
    Number(f64),
    /// What looks like a number and is none, and why.
    BadNumber(String),
    /// Milliseconds.
    Duration(i64),
    /// What looks like a duration and is none, and why.
    BadDuration(String),
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
    /// What is no token, and why.
    Error(String),
    End,
}

impl TokenKind {
    pub(super) fn describe(&self) -> String {
        let text = match self {
            TokenKind::Word => return "identifier".to_owned(),
            TokenKind::Number(_) | TokenKind::BadNumber(_) => return "number".to_owned(),
            TokenKind::Duration(_) | TokenKind::BadDuration(_) => return "duration".to_owned(),
            TokenKind::String(_) => return "string".to_owned(),
            TokenKind::Error(_) | TokenKind::End => return "end of input".to_owned(),
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

pub(super) fn tokenize(query: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        query,
        position: 0,
        in_braces: false,
        brackets: Brackets::Closed,
        colon: false,
        parens: 0,
    };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let (start, in_braces) = (lexer.position, lexer.in_braces);
        let (span, kind) = match lexer.next() {
            Ok(kind) => (Span::new(start, lexer.position), kind),
            Err((at, message)) => (Span::new(at, query.len()), TokenKind::Error(message)),
        };
        let is_last = matches!(kind, TokenKind::End | TokenKind::Error(_));
        tokens.push(Token {
            span,
            kind,
            in_braces,
        });
        if is_last {
            return tokens;
        }
    }
}

/// Whether brackets are open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brackets {
    Closed,
    /// Nothing but a duration may begin.
    Opened,
    /// A number or duration was there.
    Filled,
}

struct Lexer<'q> {
    query: &'q str,
    position: usize,
    in_braces: bool,
    brackets: Brackets,
    /// Whether the colon of a subquery was there.
    colon: bool,
    /// Open parentheses.
    parens: usize,
}

/// What is wrong, and from where on.
type Lexed = Result<TokenKind, (usize, String)>;

impl Lexer<'_> {
    fn next(&mut self) -> Lexed {
        let start = self.position;
        let rest = &self.query[start..];
        let Some(first) = rest.chars().next() else {
            return self.end();
        };
        if matches!(first, '"' | '\'' | '`') && self.brackets != Brackets::Opened {
            return self.string(first);
        }
        if self.in_braces {
            return self.inside_braces(first);
        }
        let second = rest.as_bytes().get(1).copied().unwrap_or(0);
        if first.is_ascii_digit() || (first == '.' && second.is_ascii_digit()) {
            return self.number();
        }
        let is_letter = first.is_ascii_alphabetic() || first == '_';
        match self.brackets {
            Brackets::Closed if is_letter || first == ':' => return Ok(self.word()),
            Brackets::Opened | Brackets::Filled if is_letter => return self.duration_call(first),
            Brackets::Opened if !"]:()+-*/%^,".contains(first) => {
                return Err((start, self.unexpected(first)));
            }
            _ => {}
        }
        self.symbol(first)
    }

    fn end(&self) -> Lexed {
        let problem = if self.in_braces {
            "unexpected end of input inside braces"
        } else if self.brackets == Brackets::Opened {
            "unexpected end of input in duration expression"
        } else if self.parens > 0 {
            "unclosed left parenthesis"
        } else if self.brackets != Brackets::Closed {
            "unclosed left bracket"
        } else {
            return Ok(TokenKind::End);
        };
        Err((self.position, problem.to_owned()))
    }

    /// What is said of a character that nothing begins with.
    fn unexpected(&self, c: char) -> String {
        let c = quote_char(c);
        if self.in_braces {
            return format!("unexpected character inside braces: {c}");
        }
        match self.brackets {
            Brackets::Opened => format!("unexpected character in duration expression: {c}"),
            Brackets::Closed | Brackets::Filled => format!("unexpected character: {c}"),
        }
    }

    fn inside_braces(&mut self, first: char) -> Lexed {
        let start = self.position;
        let rest = &self.query[start..];
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(self.word());
        }
        let (length, kind) = match first {
            '}' => {
                self.in_braces = false;
                (1, TokenKind::RightBrace)
            }
            ',' => (1, TokenKind::Comma),
            '=' if rest.starts_with("=~") => (2, TokenKind::Match),
            '=' => (1, TokenKind::Assign),
            '!' if rest.starts_with("!~") => (2, TokenKind::NoMatch),
            '!' if rest.starts_with("!=") => (2, TokenKind::Operator(BinaryOp::Ne)),
            '!' => {
                let next = quote_char(rest.chars().nth(1).unwrap_or(char::REPLACEMENT_CHARACTER));
                let message = format!("unexpected character after '!' inside braces: {next}");
                return Err((start, message));
            }
            '{' => return Err((start, "unexpected left brace '{'".to_owned())),
            other => return Err((start, self.unexpected(other))),
        };
        self.position += length;
        Ok(kind)
    }

    fn symbol(&mut self, first: char) -> Lexed {
        let start = self.position;
        let rest = &self.query[start..];
        let next = rest.chars().nth(1);
        if first == '!' && next != Some('=') {
            let next = quote_char(next.unwrap_or(char::REPLACEMENT_CHARACTER));
            return Err((start, format!("unexpected character after '!': {next}")));
        }
        if rest.starts_with("=~") {
            return Err((start, "unexpected character after '=': '~'".to_owned()));
        }
        let Some((text, kind)) = SYMBOLS.iter().find(|(text, _)| rest.starts_with(text)) else {
            return Err((start, self.unexpected(first)));
        };
        // What is not expected yet is known once it was read, and is told from behind it.
        let behind = start + text.len();
        match kind {
            TokenKind::LeftParen => self.parens += 1,
            TokenKind::RightParen => match self.parens.checked_sub(1) {
                Some(parens) => self.parens = parens,
                None => return Err((behind, "unexpected right parenthesis ')'".to_owned())),
            },
            TokenKind::LeftBrace => self.in_braces = true,
            TokenKind::LeftBracket if self.brackets == Brackets::Closed => {
                (self.brackets, self.colon) = (Brackets::Opened, false);
            }
            TokenKind::LeftBracket => {
                return Err((start, "unexpected left bracket '['".to_owned()));
            }
            TokenKind::RightBracket if self.brackets == Brackets::Closed => {
                return Err((start, "unexpected right bracket ']'".to_owned()));
            }
            TokenKind::RightBracket => self.brackets = Brackets::Closed,
            TokenKind::Colon if self.brackets == Brackets::Opened => {
                let message = "unexpected colon before duration in duration expression";
                return Err((behind, message.to_owned()));
            }
            TokenKind::Colon if self.colon => {
                return Err((start, "unexpected colon ':'".to_owned()));
            }
            TokenKind::Colon => self.colon = true,
            TokenKind::RightBrace => return Err((start, self.unexpected(first))),
            _ => {}
        }
        self.position = behind;
        Ok(kind.clone())
    }

    fn word(&mut self) -> TokenKind {
        let start = self.position;
        let has_colons = !self.in_braces;
        let letter =
            |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (byte == b':' && has_colons);
        let rest = &self.query[start..];
        self.position += rest.bytes().take_while(|&byte| letter(byte)).count();
        self.special_number(start)
    }

    /// A word inside brackets, where there are but a few.
    fn duration_call(&mut self, first: char) -> Lexed {
        let start = self.position;
        let rest = &self.query[start..];
        let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let length = rest.bytes().take_while(|&byte| letter(byte)).count();
        if !is_call(&rest[..length]) {
            let problem = self.unexpected(first);
            return Err(match self.brackets {
                Brackets::Filled => (start, problem + ", expected ':'"),
                _ => (start, problem),
            });
        }
        self.position += length;
        self.brackets = Brackets::Filled;
        Ok(TokenKind::Word)
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
            if self.brackets == Brackets::Opened || !rest[blanks..].starts_with('#') {
                return;
            }
            let line = rest[blanks..].find('\n').unwrap_or(rest.len() - blanks);
            self.position += line;
        }
    }

    fn number(&mut self) -> Lexed {
        let start = self.position;
        let (length, kind) = duration_or_number(&self.query[start..]);
        self.position += length;
        if self.brackets == Brackets::Opened {
            self.brackets = Brackets::Filled;
        }
        kind.map_err(|message| (start, message))
    }

    fn string(&mut self, quote: char) -> Lexed {
        let start = self.position;
        let (length, literal) = quoted(&self.query[start + 1..], quote);
        self.position += 1 + length;
        literal
            .map(TokenKind::String)
            .map_err(|message| (start, message))
    }
}

fn quote_char(c: char) -> String {
    let quoted = crate::format::quote(c.encode_utf8(&mut [0; 4]));
    let inside = &quoted[1..quoted.len() - 1];
    match inside {
        "\\\"" => "'\"'".to_owned(),
        "'" => "'\\''".to_owned(),
        inside => format!("'{inside}'"),
    }
}
