//! What could come next at the cursor of a query bar.

use super::ast::Span;
use super::fields::{Subject, subject_of};

/// What is being typed.
#[derive(Debug, Clone, PartialEq)]
pub enum Completion {
    /// A field name or a word.
    Field {
        /// What is there so far.
        prefix: String,
        /// What the completed name replaces.
        span: Span,
    },
    /// A value of a field.
    Value {
        /// Of which.
        subject: Subject,
        /// What is there so far, without quotes.
        prefix: String,
        /// What the completed value replaces.
        span: Span,
    },
    /// Text for which there is nothing to offer: a phrase, a regex.
    Nothing,
}

/// What is being typed where `cursor` stands; a cursor inside a character means its start.
pub fn complete(text: &str, cursor: usize) -> Completion {
    let mut cursor = cursor.min(text.len());
    while !text.is_char_boundary(cursor) {
        cursor -= 1;
    }
    let text = &text[..cursor];
    let (start, groups) = last_term(text);
    let term = &text[start..];
    let term_start = start + (term.len() - term.trim_start_matches('-').len());
    let term = &text[term_start..];
    let group = groups.into_iter().rev().flatten().next();
    match split_colon(term) {
        Some(colon) => {
            let subject = named(&term[..colon]);
            value(subject, term, colon + 1, term_start)
        }
        None => match group {
            Some(name) => value(named(&name), term, 0, term_start),
            None if term.starts_with('"') => Completion::Nothing,
            None => Completion::Field {
                prefix: term.to_owned(),
                span: Span::new(term_start, cursor),
            },
        },
    }
}

fn named(name: &str) -> Subject {
    match name.split_once('"') {
        Some((prefix, rest)) => {
            let key = rest.trim_end_matches('"');
            super::fields::quoted_subject(prefix, key).unwrap_or_else(|| subject_of(key))
        }
        None => subject_of(name),
    }
}

fn value(subject: Subject, term: &str, from: usize, term_start: usize) -> Completion {
    let written = &term[from..];
    let operator = written.len() - written.trim_start_matches(['=', '!', '<', '>']).len();
    let typed = &written[operator..];
    if typed.starts_with('/') && typed.len() > 1 {
        return Completion::Nothing;
    }
    let prefix = typed.strip_prefix('"').unwrap_or(typed).to_owned();
    let start = term_start + from + operator;
    Completion::Value {
        subject,
        prefix,
        span: Span::new(start, start + typed.len()),
    }
}

/// The first colon outside quotes.
fn split_colon(term: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, c) in term.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ':' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Where the last term begins, and for each open parenthesis the field whose it is.
fn last_term(text: &str) -> (usize, Vec<Option<String>>) {
    let mut start = 0;
    let mut groups = Vec::new();
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if quoted {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match c {
            '"' => quoted = true,
            '(' => {
                let before = text[start..at].trim_start_matches('-');
                groups.push(before.strip_suffix(':').map(str::to_owned));
                start = at + 1;
            }
            ')' => {
                groups.pop();
                start = at + 1;
            }
            c if c.is_whitespace() => start = at + c.len_utf8(),
            _ => {}
        }
    }
    (start, groups)
}
