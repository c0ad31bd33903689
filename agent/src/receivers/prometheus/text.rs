//! The text formats of Prometheus (0.0.4, and 1.0.0 with quoted names) and OpenMetrics 1.0, read
//! line by line.
//!
//! A sample is `NAME{LABEL="VALUE",...} VALUE [TIME] [# EXEMPLAR]`; a name that is not an
//! identifier stands in quotes inside the braces. `# TYPE`, `# HELP` and `# UNIT` describe a family
//! whose samples follow. Times are milliseconds, in OpenMetrics seconds. OpenMetrics ends with
//! `# EOF`: without it the answer was cut.

use std::borrow::Cow;

use super::sample::{
    Exemplar, Family, Pairs, Sample, check_labels, plain, push_label, settle_bound,
};

/// Why an answer does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub(super) struct TextError {
    /// Counted from 1.
    pub(super) line: usize,
    /// What is wrong there.
    pub(super) reason: &'static str,
}

/// Reads an answer; `take` is given each sample with what was said of its family.
pub(super) fn read<E: From<TextError>>(
    text: &str,
    open_metrics: bool,
    take: &mut dyn FnMut(&Family, Sample<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut family = Family::default();
    let mut ended = false;
    for (index, line) in text.split('\n').enumerate() {
        let at = |reason| TextError {
            line: index + 1,
            reason,
        };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if ended && !line.is_empty() {
            return Err(at("something follows the end").into());
        }
        // OpenMetrics alone has no blanks before a comment.
        let unindented = match open_metrics {
            true => line,
            false => line.trim_start_matches([' ', '\t']),
        };
        if let Some(comment) = unindented.strip_prefix('#') {
            if open_metrics && comment == " EOF" {
                ended = true;
            } else {
                describe(comment, &mut family).map_err(at)?;
            }
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let mut sample = sample(line, open_metrics).map_err(at)?;
        if family.has(&sample.name) {
            settle_bound(&family, &mut sample.labels);
            take(&family, sample)?;
        } else {
            take(&Family::default(), sample)?;
        }
    }
    if open_metrics && !ended {
        let line = text.split('\n').count();
        let reason = "the answer ends without `# EOF`";
        return Err(TextError { line, reason }.into());
    }
    Ok(())
}

fn describe(comment: &str, family: &mut Family) -> Result<(), &'static str> {
    let mut cursor = Cursor(comment.trim_start_matches([' ', '\t']));
    let keyword = cursor.word();
    if !matches!(keyword, "TYPE" | "HELP" | "UNIT") {
        return Ok(());
    }
    cursor.skip_blanks();
    let name = if cursor.0.starts_with('"') {
        cursor.quoted()?
    } else {
        Cow::Borrowed(cursor.word())
    };
    if name.is_empty() {
        return Err("a comment that describes a metric without a name");
    }
    if family.name != name {
        *family = Family {
            name: name.into_owned(),
            ..Family::default()
        };
    }
    let rest = cursor.0.strip_prefix([' ', '\t']).unwrap_or(cursor.0);
    match keyword {
        "TYPE" => {
            rest.trim().clone_into(&mut family.kind);
            if family.kind == "untyped" {
                "unknown".clone_into(&mut family.kind);
            }
        }
        "HELP" => family.help = unescaped(rest).into_owned(),
        _ => rest.trim().clone_into(&mut family.unit),
    }
    Ok(())
}

fn sample(line: &str, open_metrics: bool) -> Result<Sample<'_>, &'static str> {
    let mut cursor = Cursor(line.trim_start_matches([' ', '\t']));
    let mut sample = Sample {
        name: Cow::Borrowed(cursor.name()),
        ..Sample::default()
    };
    cursor.skip_blanks();
    if cursor.eat('{') {
        let name = cursor.labels(&mut sample.labels)?;
        match name {
            Some(name) if sample.name.is_empty() => sample.name = name,
            Some(_) => return Err("a metric with two names"),
            None => {}
        }
    }
    if sample.name.is_empty() {
        return Err("a sample without a name");
    }
    sample.value = number(cursor.next_word()).ok_or("a value that is no number")?;
    cursor.skip_blanks();
    sample.time_ms = cursor.time(open_metrics)?;
    cursor.skip_blanks();
    if cursor.eat('#') {
        if !open_metrics {
            return Err("an exemplar in a format that has none");
        }
        sample.exemplars.push(cursor.exemplar()?);
    }
    cursor.skip_blanks();
    if cursor.0.is_empty() {
        Ok(sample)
    } else {
        Err("something follows the sample")
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().map(plain)
}

/// A text with `\\`, `\n` and `\"` in it.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(c @ ('\\' | '"')) => out.push(c),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

/// What is left of a line.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn eat(&mut self, wanted: char) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    /// Up to the next blank.
    fn word(&mut self) -> &'a str {
        let end = self.0.find([' ', '\t']).unwrap_or(self.0.len());
        self.take(end)
    }

    fn next_word(&mut self) -> &'a str {
        self.skip_blanks();
        self.word()
    }

    /// A classic name; empty where there is none.
    fn name(&mut self) -> &'a str {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
        let bytes = self.0.as_bytes();
        if bytes.first().is_some_and(u8::is_ascii_digit) {
            return "";
        }
        let end = bytes.iter().position(|byte| !is_part(*byte));
        self.take(end.unwrap_or(bytes.len()))
    }

    /// A text in quotes.
    fn quoted(&mut self) -> Result<Cow<'a, str>, &'static str> {
        let bytes = self.0.as_bytes();
        if bytes.first() != Some(&b'"') {
            return Err("a text without quotes");
        }
        let mut at = 1;
        loop {
            match bytes.get(at) {
                None => return Err("a quote that is not closed"),
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
            }
        }
        let text = self.take(at + 1);
        Ok(unescaped(&text[1..at]))
    }

    /// Labels up to the closing brace; a text alone is the metric's name.
    fn labels(&mut self, list: &mut Pairs<'a>) -> Result<Option<Cow<'a, str>>, &'static str> {
        let mut metric = None;
        loop {
            self.skip_blanks();
            if self.eat('}') {
                check_labels(list)?;
                return Ok(metric);
            }
            let is_quoted = self.0.starts_with('"');
            let name = if is_quoted {
                self.quoted()?
            } else {
                Cow::Borrowed(self.name())
            };
            if name.is_empty() {
                return Err("a label without a name");
            }
            self.skip_blanks();
            if self.eat('=') {
                self.skip_blanks();
                let value = self.quoted()?;
                push_label(list, name, value)?;
            } else if is_quoted && metric.is_none() {
                metric = Some(name);
            } else {
                return Err("a label without a value");
            }
            self.skip_blanks();
            if !self.eat(',') && !self.0.starts_with('}') {
                return Err("labels without a comma between them");
            }
        }
    }

    /// A time, if there is one before what else follows.
    #[allow(clippy::cast_possible_truncation)]
    fn time(&mut self, seconds: bool) -> Result<Option<i64>, &'static str> {
        if self.0.is_empty() || self.0.starts_with('#') {
            return Ok(None);
        }
        let text = self.word();
        let wrong = "a time that is no number";
        if !seconds {
            return text.parse().map(Some).map_err(|_| wrong);
        }
        let time: f64 = text.parse().map_err(|_| wrong)?;
        if time.is_finite() {
            Ok(Some((time * 1e3).round() as i64))
        } else {
            Err(wrong)
        }
    }

    fn exemplar(&mut self) -> Result<Exemplar<'a>, &'static str> {
        let mut exemplar = Exemplar::default();
        self.skip_blanks();
        if !self.eat('{') || self.labels(&mut exemplar.labels)?.is_some() {
            return Err("an exemplar without labels");
        }
        exemplar.value = number(self.next_word()).ok_or("an exemplar without a value")?;
        self.skip_blanks();
        exemplar.time_ms = self.time(true)?;
        Ok(exemplar)
    }
}
