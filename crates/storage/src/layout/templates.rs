//! Words in a column that is stored as templates.
//!
//! Most values are settled by the literal text of their template: it has the word, or neither it
//! nor any variable can have it. Only values of templates that leave it open are built.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::block::{BlockError, MAX_VARIABLES, TemplateColumn};
use crate::table::Mask;
use crate::words::{self, Sought};

/// The rows of `among` whose value in the column has the words.
pub(super) fn matching(
    column: &TemplateColumn,
    sought: &Sought,
    among: &Mask,
) -> Result<Mask, BlockError> {
    let decided = sought
        .templates
        .decide(column, |literals| decide(literals, sought));
    let (codes, template_of) = (column.codes(), column.template_of());
    if let Some(decided) = decided.iter().copied().collect::<Option<Vec<bool>>>() {
        if decided.iter().all(|passes| !passes) {
            return Ok(among.filter(|_| false));
        }
        let row = |row: usize| decided[template_of[codes[row] as usize] as usize];
        return Ok(among.filter(row));
    }
    let passes = values(column, sought, &decided)?;
    Ok(among.filter(|row| passes[codes[row] as usize]))
}

/// Per distinct value of the column whether it has the words.
fn values(
    column: &TemplateColumn,
    sought: &Sought,
    decided: &[Option<bool>],
) -> Result<Vec<bool>, BlockError> {
    let mut out: Vec<bool> = column
        .template_of()
        .iter()
        .map(|template| decided[*template as usize] == Some(true))
        .collect();
    for (template, _) in decided
        .iter()
        .enumerate()
        .filter(|(_, known)| known.is_none())
    {
        let rendered = column.render(template)?;
        let mut values = (0..rendered.len()).map(|index| rendered.get(index));
        for (passes, of) in out.iter_mut().zip(column.template_of()) {
            if *of as usize == template {
                let value = values.next().and_then(|value| str::from_utf8(value).ok());
                *passes = value.is_some_and(|value| sought.in_text(value));
            }
        }
    }
    Ok(out)
}

/// What was decided about templates so far. The blocks of an answer repeat the same few.
#[derive(Debug, Default)]
pub(crate) struct Decided(Mutex<FxHashMap<Box<[u8]>, Option<bool>>>);

impl Decided {
    /// Templates that are kept; others are looked at each time.
    const KEPT_MAX: usize = 4_096;
    /// Longer ones are not kept.
    const BYTES_MAX: usize = 1_024;

    /// Per template of the column what its literals tell.
    fn decide(
        &self,
        column: &TemplateColumn,
        decide: impl Fn(&[&[u8]]) -> Option<bool>,
    ) -> Vec<Option<bool>> {
        let mut known = self.0.lock();
        let mut one = |template: usize| {
            let text = column.template(template);
            if let Some(decided) = known.get(text) {
                return *decided;
            }
            let decided = decide(&column.literals(template).collect::<Vec<_>>());
            if known.len() < Self::KEPT_MAX && text.len() <= Self::BYTES_MAX {
                known.insert(text.into(), decided);
            }
            decided
        };
        (0..column.templates()).map(&mut one).collect()
    }
}

/// A word of a literal.
struct Run {
    word: String,
    /// Whether a variable stands beside it, so that the value may have a longer word here.
    open: bool,
}

/// Whether the values of a template have the words, as far as its literals tell. Its variables
/// stand between the literals.
pub(crate) fn decide(literals: &[&[u8]], sought: &Sought) -> Option<bool> {
    let texts: Vec<&str> = literals
        .iter()
        .map(|literal| str::from_utf8(literal).ok())
        .collect::<Option<_>>()?;
    if let [text] = texts[..] {
        return Some(sought.in_text(text));
    }
    // The last of so many variables may hold anything.
    if literals.len() > MAX_VARIABLES || !sought.words.iter().all(|word| is_plain(word)) {
        return None;
    }
    let last = texts.len() - 1;
    let runs: Vec<Vec<Run>> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| runs(text, index > 0, index < last))
        .collect();
    let prefix = sought.prefix.then(|| sought.words.len().wrapping_sub(1));
    let equal = |at: usize, run: &Run| {
        if prefix == Some(at) {
            run.word.starts_with(&sought.words[at])
        } else {
            run.word == sought.words[at]
        }
    };
    let here = |at: usize, run: &Run| !run.open && equal(at, run);
    if sought.phrase {
        let found = runs.iter().any(|runs| {
            let mut windows = runs.windows(sought.words.len().max(1));
            windows.any(|window| window.iter().enumerate().all(|(at, run)| here(at, run)))
        });
        if found {
            return Some(true);
        }
    }
    let mut all = !sought.phrase;
    for at in 0..sought.words.len() {
        if runs.iter().flatten().any(|run| here(at, run)) {
            continue;
        }
        // Beginnings may stand in a variable, and letters outside of ASCII may change their lower
        // case with what follows.
        let may = prefix == Some(at)
            || runs
                .iter()
                .flatten()
                .any(|run| run.open && (equal(at, run) || !run.word.is_ascii()));
        if !may {
            return Some(false);
        }
        all = false;
    }
    all.then_some(true)
}

/// Whether no variable can hold the word: those have a digit in every word, or are UUIDs.
fn is_plain(word: &str) -> bool {
    let hex = |byte: u8| matches!(byte, b'a'..=b'f' | b'-');
    !word.bytes().any(|byte| byte.is_ascii_digit()) && !word.bytes().all(hex)
}

/// The words of a literal with a variable before or after it.
fn runs(text: &str, before: bool, after: bool) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    words::each(text, &mut |word| {
        runs.push(Run {
            word: word.to_owned(),
            open: false,
        });
        true
    });
    let begins = text.chars().next().is_some_and(words::is_word_char);
    if let Some(first) = runs.first_mut() {
        first.open |= before && begins;
    }
    let ends = text.chars().next_back().is_some_and(words::is_word_char);
    if let Some(last) = runs.last_mut() {
        last.open |= after && ends;
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block::{BlockReader, BlockWriter, Kind, Values};

    fn sought(text: &str, phrase: bool, prefix: bool) -> Sought {
        Sought::new(words::split(text), phrase, prefix)
    }

    fn column(texts: &[String]) -> Option<TemplateColumn> {
        let mut writer = BlockWriter::new(texts.len() as u32);
        writer.column(
            "t",
            Values::Text(texts.iter().map(String::as_str).collect()),
        );
        let reader = BlockReader::open(writer.finish().unwrap().into()).unwrap();
        reader.templates("t", Kind::Text).unwrap()
    }

    #[test]
    fn literals_settle_words_without_digits() {
        let decide = |literals: &[&str], text: &str, phrase, prefix| {
            let literals: Vec<&[u8]> = literals.iter().map(|literal| literal.as_bytes()).collect();
            decide(&literals, &sought(text, phrase, prefix))
        };
        let order = ["order ", " completed in ", " ms"];
        assert_eq!(decide(&order, "completed", false, false), Some(true));
        assert_eq!(decide(&order, "failed", false, false), Some(false));
        assert_eq!(decide(&order, "completed in", true, false), Some(true));
        assert_eq!(decide(&order, "order completed", true, false), None);
        assert_eq!(decide(&order, "comp", false, true), Some(true));
        assert_eq!(decide(&order, "fail", false, true), None);
        assert_eq!(decide(&order, "47", false, false), None);
        assert_eq!(decide(&order, "beef", false, false), None);
        assert_eq!(decide(&["user", ""], "user", false, false), None);
        assert_eq!(decide(&["user", ""], "users", false, false), Some(false));
    }

    proptest! {
        #[test]
        fn templates_and_texts_agree(
            seed in prop::collection::vec("(user|beef|_|-|x| |é|K|[0-9]{1,2}|[a-f0-9]{6}|123e4567-e89b-12d3-a456-42661417400[0-9]|Abcdefab-cdef-abcd-efab-cdefabcdefa[a-f]| completed ){1,9}", 40..160),
            wanted in "(user|beef|completed|x|_|é|k|abcd|e89b|7|user x|completed user|x_)",
            phrase: bool,
            prefix: bool,
        ) {
            let sought = sought(&wanted, phrase, prefix);
            if let Some(column) = column(&seed) {
                // The second time from what was decided before.
                for _ in 0..2 {
                    let found = matching(&column, &sought, &Mask::all(seed.len())).unwrap();
                    let having = seed.iter().enumerate().filter(|(_, text)| sought.in_text(text));
                    let having: Vec<usize> = having.map(|(row, _)| row).collect();
                    prop_assert_eq!(found.iter().collect::<Vec<_>>(), having, "{:?}", &sought);
                }
            }
        }
    }
}
