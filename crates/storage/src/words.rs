//! What a word is, for the index and for the filter alike.
//!
//! A word is a longest run of letters, digits and `_` (Unicode alphanumerics), in lower case. A
//! UUID is one word. Words longer than [`WORD_BYTES_MAX`] bytes are cut to that length, on both
//! sides alike.

use crate::layout::Decided;

/// Longer words are cut to this many bytes (at a character boundary).
pub const WORD_BYTES_MAX: usize = 128;

/// The words of a text, in order.
pub fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    each(text, &mut |word| {
        words.push(word.to_owned());
        true
    });
    words
}

/// Calls `word` for each word of `text` until it returns false. Returns false if it did.
pub(crate) fn each(text: &str, word: &mut dyn FnMut(&str) -> bool) -> bool {
    let bytes = text.as_bytes();
    let mut scratch = [0u8; WORD_BYTES_MAX];
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at].is_ascii() && !is_ascii_word(bytes[at]) {
            at += 1;
            continue;
        }
        let mut end = at;
        while end < bytes.len() && is_ascii_word(bytes[end]) {
            end += 1;
        }
        if end < bytes.len() && !bytes[end].is_ascii() {
            let Some(next) = unicode(text, at, word) else {
                return false;
            };
            at = next;
            continue;
        }
        if end - at == 8 && is_uuid(&bytes[at..]) {
            end = at + 36;
        }
        let length = (end - at).min(WORD_BYTES_MAX);
        let lower = &mut scratch[..length];
        lower.copy_from_slice(&bytes[at..at + length]);
        lower.make_ascii_lowercase();
        if !word(std::str::from_utf8(lower).expect("the run is ASCII")) {
            return false;
        }
        at = end;
    }
    true
}

/// The word that begins at `at` and is not all ASCII. Returns where to go on, or nothing if
/// `word` said to stop.
fn unicode(text: &str, at: usize, word: &mut dyn FnMut(&str) -> bool) -> Option<usize> {
    let rest = &text[at..];
    let length = rest.find(|char| !is_word_char(char)).unwrap_or(rest.len());
    if length == 0 {
        let skip = rest.chars().next().map_or(1, char::len_utf8);
        return Some(at + skip);
    }
    let mut lower = rest[..length].to_lowercase();
    let mut cut = lower.len().min(WORD_BYTES_MAX);
    while !lower.is_char_boundary(cut) {
        cut -= 1;
    }
    lower.truncate(cut);
    word(&lower).then_some(at + length)
}

fn is_ascii_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_uuid(bytes: &[u8]) -> bool {
    if bytes.len() < 36
        || bytes
            .get(36)
            .is_some_and(|b| is_ascii_word(*b) || !b.is_ascii())
    {
        return false;
    }
    bytes[..36]
        .iter()
        .enumerate()
        .all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Words looked for: all of them somewhere, or one after the other as a phrase. With `prefix` the
/// last may be the beginning of a longer word.
#[derive(Debug, Default)]
pub(crate) struct Sought {
    /// In lower case.
    pub words: Vec<String>,
    pub phrase: bool,
    pub prefix: bool,
    /// What is known of the templates that texts were split into.
    pub templates: Decided,
}

impl Sought {
    pub(crate) fn new(words: Vec<String>, phrase: bool, prefix: bool) -> Self {
        Self {
            words,
            phrase,
            prefix,
            templates: Decided::default(),
        }
    }

    /// Whether the text has them.
    pub(crate) fn in_text(&self, text: &str) -> bool {
        contains(text, &self.words, self.phrase, self.prefix)
    }
}

/// Whether a text that begins or ends with this character begins or ends with a word.
pub(crate) fn is_word_char(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn contains(text: &str, words: &[String], phrase: bool, prefix: bool) -> bool {
    if words.is_empty() {
        return true;
    }
    // Most texts lack a word altogether, which is seen without taking them apart. Letters outside
    // of ASCII may turn into ASCII in lower case, so such texts are always taken apart.
    if text.is_ascii()
        && words
            .iter()
            .any(|word| !holds(text.as_bytes(), word.as_bytes()))
    {
        return false;
    }
    let last = words.len() - 1;
    let equal = |index: usize, word: &str| {
        if prefix && index == last {
            word.starts_with(&words[index])
        } else {
            word == words[index]
        }
    };
    if !phrase || words.len() == 1 {
        return (0..words.len()).all(|index| !each(text, &mut |word| !equal(index, word)));
    }
    // How many words of the phrase each of the partial matches under way has seen.
    let mut partial: Vec<usize> = Vec::new();
    !each(text, &mut |word| {
        partial.push(0);
        let mut found = false;
        partial.retain_mut(|seen| {
            if !equal(*seen, word) {
                return false;
            }
            *seen += 1;
            found |= *seen == words.len();
            true
        });
        !found
    })
}

/// Whether `needle`, in lower case, stands anywhere in the text, whatever the case there.
fn holds(text: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else {
        return true;
    };
    memchr::memchr2_iter(*first, first.to_ascii_uppercase(), text).any(|at| {
        text.get(at..at + needle.len())
            .is_some_and(|part| part.eq_ignore_ascii_case(needle))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_in_lower_case() {
        assert_eq!(
            split("Card-declined: user_id=42!"),
            ["card", "declined", "user_id", "42"]
        );
        assert_eq!(
            split("Größe ÉTÉ x\u{1f600}y 日本"),
            ["größe", "été", "x", "y", "日本"]
        );
        assert_eq!(
            split("id=123e4567-E89B-12d3-a456-426614174000."),
            ["id", "123e4567-e89b-12d3-a456-426614174000"]
        );
        assert_eq!(
            split("deadbeef-1 deadbeefé"),
            ["deadbeef", "1", "deadbeefé"]
        );
        assert_eq!(split(&"x".repeat(500))[0].len(), WORD_BYTES_MAX);
        assert!(split(" -- \u{2028}").is_empty());
    }

    #[test]
    fn phrases_and_prefixes() {
        let words = |text: &str| split(text);
        assert!(contains("a a b c", &words("a b"), true, false));
        assert!(!contains("a x b", &words("a b"), true, false));
        assert!(contains("a x b", &words("b a"), false, false));
        assert!(contains(
            "connection refused",
            &words("connection ref"),
            true,
            true
        ));
        assert!(!contains(
            "connection refused",
            &words("connection ref"),
            true,
            false
        ));
        assert!(contains("anything", &[], true, false));
        assert!(contains(
            "Payment FAILED",
            &words("failed payment"),
            false,
            false
        ));
        assert!(!contains(
            "repayments failed",
            &words("payment"),
            false,
            false
        ));
        assert!(!contains("größe", &words("grosse"), false, false));
        // The Kelvin sign is a k in lower case.
        assert!(contains("5 \u{212a}", &words("k"), false, false));
        let uuid = "id 123e4567-e89b-12d3-a456-426614174000";
        assert!(!contains(uuid, &words("e89b"), false, false));
    }
}
