//! RE2 expressions in the syntax of the `regex` crate.
//!
//! The two agree on nearly everything. They differ in braces that are no repetition (literal in
//! RE2), in classes (`[` and doubled punctuation have a meaning of their own in the crate), in
//! `\Q..\E`, `\C`, `\<`, and in `\d`, `\s`, `\w`, `\b`, which are ASCII in RE2.

/// Translates an expression; what is not understood passes through, so that the compiler's
/// message is about what the user wrote.
pub(super) fn translate(pattern: &str) -> String {
    let mut translator = Translator {
        rest: pattern,
        out: String::with_capacity(pattern.len() + 8),
    };
    while let Some(c) = translator.next() {
        translator.outside_class(c);
    }
    translator.out
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
}

impl Translator<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn outside_class(&mut self, c: char) {
        match c {
            '\\' => self.escape(false),
            '[' => self.class(),
            '{' if !starts_repetition(self.rest) => self.out.push_str("\\{"),
            '{' => {
                // A repetition is copied whole, so that its closing brace is not escaped.
                let end = self
                    .rest
                    .find('}')
                    .map_or(self.rest.len(), |index| index + 1);
                self.out.push('{');
                self.out.push_str(&self.rest[..end]);
                self.rest = &self.rest[end..];
            }
            '}' => self.out.push_str("\\}"),
            _ => self.out.push(c),
        }
    }

    fn escape(&mut self, in_class: bool) {
        let Some(c) = self.next() else {
            self.out.push('\\');
            return;
        };
        let translated = match (c, in_class) {
            ('d', true) => "0-9",
            ('d', false) => "[0-9]",
            ('D', _) => "[^0-9]",
            ('w', true) => "0-9A-Za-z_",
            ('w', false) => "[0-9A-Za-z_]",
            ('W', _) => "[^0-9A-Za-z_]",
            ('s', true) => "\\t\\n\\f\\r ",
            ('s', false) => "[\\t\\n\\f\\r ]",
            ('S', _) => "[^\\t\\n\\f\\r ]",
            ('b', false) => "(?-u:\\b)",
            ('C', false) => ".",
            ('<' | '>', _) => {
                self.out.push(c);
                return;
            }
            ('Q', false) => {
                let end = self.rest.find("\\E").unwrap_or(self.rest.len());
                self.out.push_str(&regex::escape(&self.rest[..end]));
                self.rest = self.rest.get(end + 2..).unwrap_or("");
                return;
            }
            ('p' | 'P' | 'x', _) => {
                // The braces of `\p{..}` and `\x{..}` belong to the escape.
                self.out.push('\\');
                self.out.push(c);
                if self.rest.starts_with('{') {
                    let end = self
                        .rest
                        .find('}')
                        .map_or(self.rest.len(), |index| index + 1);
                    self.out.push_str(&self.rest[..end]);
                    self.rest = &self.rest[end..];
                }
                return;
            }
            _ => {
                self.out.push('\\');
                self.out.push(c);
                return;
            }
        };
        self.out.push_str(translated);
    }

    fn class(&mut self) {
        self.out.push('[');
        if self.rest.starts_with('^') {
            self.next();
            self.out.push('^');
        }
        if self.rest.starts_with(']') {
            self.next();
            self.out.push_str("\\]");
        }
        while let Some(c) = self.next() {
            match c {
                ']' => {
                    self.out.push(']');
                    return;
                }
                '[' if self.rest.starts_with(':') => {
                    let end = self
                        .rest
                        .find(":]")
                        .map_or(self.rest.len(), |index| index + 2);
                    self.out.push('[');
                    self.out.push_str(&self.rest[..end]);
                    self.rest = &self.rest[end..];
                }
                '[' | '&' | '~' => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                '-' if self.rest.starts_with('-') => self.out.push_str("\\-"),
                '\\' => self.escape(true),
                _ => self.out.push(c),
            }
        }
    }
}

/// Whether what follows an opening brace makes it a repetition: `n}`, `n,}` or `n,m}`.
fn starts_repetition(rest: &str) -> bool {
    let Some((inside, _)) = rest.split_once('}') else {
        return false;
    };
    let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}

#[cfg(test)]
mod tests {
    use super::super::anchored_regex;

    #[test]
    fn re2_expressions_match_what_they_match_there() {
        let cases = [
            (r".*{.*", "a{b", true),
            (r"a{2}", "aa", true),
            (r"a{,2}", "a{,2}", true),
            (r"{x}", "{x}", true),
            (r"[[]", "[", true),
            (r"[a&&b]", "&", true),
            (r"[]a]+", "]a", true),
            (r"[+--]", "-", true),
            (r"[[:alpha:]]+", "ab", true),
            (r"\d+", "٣", false),
            (r"[\d.]+", "1.2", true),
            (r"\w", "é", false),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Qa.b", "axb", false),
            (r"\<a\>", "<a>", true),
            (r"\p{Greek}", "α", true),
            (r"(?i:PRO).*", "production", true),
            (r"((?i)PRO).*", "Production", true),
        ];
        for (pattern, value, want) in cases {
            let regex =
                anchored_regex(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(regex.is_match(value), want, "{pattern} {value}");
        }
    }
}
