//! Which series may match a selector, worked out over terms alone.
//!
//! A series is selected if it *may* yield a Prometheus series that matches: `le` and `quantile`
//! are not looked at, and a histogram `x` answers to `x_bucket`, `x_sum` and `x_count`. The
//! `target_info` of a resource carries labels that the series of the resource lack, so series are
//! selected by their own labels or by those of their target.

mod wanted;

use model::metric::MetricKind;
use model::prometheus::{NAME_LABEL, TARGET_INFO};
use regex::Regex;

use super::labels::{ALIAS, HAS_LABEL, HAS_TARGET, KIND, LABEL, RESOURCE, TARGET, key};
use super::set::Set;
use crate::message::{MatchOp, Matcher};
use crate::read::ReadError;
use crate::series_view::anchored;

pub(crate) use wanted::WhileWanted;

/// Takes the rest of a key and a way to its series; false to see no more.
pub(crate) type Each<'a> = dyn FnMut(&[u8], &dyn Fn() -> Set) -> bool + 'a;

/// Terms with the series that have them.
pub(crate) trait TermSource {
    /// How many series there are.
    fn count(&self) -> u32;
    /// The series that have a term.
    fn find(&self, key: &[u8]) -> Set;
    /// Calls `each` with the rest of every key that begins so, as long as it returns true, and
    /// with a way to the series of that key.
    fn scan(&self, prefix: &[u8], each: &mut Each<'_>);
}

/// A condition on a label with its pattern compiled.
struct Condition {
    name: String,
    test: Test,
    /// Whether it holds where the other does not.
    negated: bool,
}

enum Test {
    Equal(String),
    Matches {
        regex: Regex,
        /// Every value that matches begins so.
        prefix: String,
    },
}

impl Condition {
    fn new(matcher: &Matcher) -> Result<Self, ReadError> {
        let test = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Test::Equal(matcher.value.clone()),
            MatchOp::Regex | MatchOp::NotRegex => Test::Matches {
                regex: anchored(&matcher.value)?,
                prefix: literal_prefix(&matcher.value),
            },
        };
        Ok(Self {
            name: matcher.name.clone(),
            test,
            negated: matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRegex),
        })
    }

    /// Whether it holds for a value.
    fn passes(&self, value: &str) -> bool {
        let passes = match &self.test {
            Test::Equal(text) => text == value,
            Test::Matches { regex, .. } => regex.is_match(value),
        };
        passes != self.negated
    }

    /// The series for which it holds, by terms of these tags.
    fn series(&self, terms: &dyn TermSource, (with_value, has): (u8, u8)) -> Set {
        let count = terms.count();
        let found = match &self.test {
            Test::Equal(text) if text.is_empty() => {
                terms.find(&key(has, &self.name, None)).complement(count)
            }
            Test::Equal(text) => terms.find(&key(with_value, &self.name, Some(text))),
            Test::Matches { regex, prefix } => {
                let mut sets = Vec::new();
                let begin = key(with_value, &self.name, Some(prefix));
                let mut value = prefix.clone();
                terms.scan(&begin, &mut |rest, series| {
                    let matches = std::str::from_utf8(rest).is_ok_and(|rest| {
                        value.truncate(prefix.len());
                        value.push_str(rest);
                        regex.is_match(&value)
                    });
                    if matches {
                        sets.push(series());
                    }
                    true
                });
                if regex.is_match("") {
                    sets.push(terms.find(&key(has, &self.name, None)).complement(count));
                }
                Set::union(sets)
            }
        };
        if self.negated {
            found.complement(count)
        } else {
            found
        }
    }
}

impl Condition {
    /// The series without the label whose resource has an attribute that would pass as it: by its
    /// configuration a query may make a label of that.
    fn promoted(&self, terms: &dyn TermSource) -> Set {
        let found = match &self.test {
            Test::Equal(text) if !self.negated => {
                terms.find(&key(RESOURCE, &self.name, Some(text)))
            }
            _ => {
                let mut sets = Vec::new();
                let begin = key(RESOURCE, &self.name, Some(""));
                terms.scan(&begin, &mut |value, series| {
                    if std::str::from_utf8(value).is_ok_and(|value| self.passes(value)) {
                        sets.push(series());
                    }
                    true
                });
                Set::union(sets)
            }
        };
        if found.is_empty() {
            return found;
        }
        let own = terms.find(&key(HAS_LABEL, &self.name, None));
        found.intersection(&own.complement(terms.count()))
    }
}

/// What every text that matches a pattern begins with. Patterns with a choice, and those with
/// anything but plain characters at their beginning, have none.
fn literal_prefix(pattern: &str) -> String {
    // As queries send it.
    let inner = pattern.strip_prefix("^(?s:");
    let inner = inner.and_then(|inner| inner.strip_suffix(")$"));
    let pattern = inner.unwrap_or(pattern);
    if pattern.contains('|') {
        return String::new();
    }
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '/' | '-' | ' ');
    let mut prefix: String = pattern.chars().take_while(plain).collect();
    // What follows may say how often the last character comes.
    if pattern[prefix.len()..].starts_with(['?', '*', '+', '{']) {
        prefix.pop();
    }
    prefix
}

/// Conditions on the labels of series.
pub(crate) struct Selector {
    conditions: Vec<Condition>,
    /// Whether `target_info` may be meant.
    targets: bool,
}

impl Selector {
    pub(crate) fn new(matchers: &[Matcher]) -> Result<Self, ReadError> {
        let conditions = matchers
            .iter()
            .filter(|matcher| !matches!(matcher.name.as_str(), "le" | "quantile"))
            .map(Condition::new)
            .collect::<Result<Vec<_>, _>>()?;
        let mut names = conditions.iter().filter(|one| one.name == NAME_LABEL);
        let targets = names.all(|one| one.passes(TARGET_INFO));
        Ok(Self {
            conditions,
            targets,
        })
    }

    /// The series that may match.
    pub(crate) fn series(&self, terms: &dyn TermSource) -> Set {
        let own = self.by_labels(terms);
        if !self.targets {
            return own;
        }
        Set::union([own, self.by_targets(terms)])
    }

    /// The series whose own labels may match, and all others that may.
    pub(crate) fn own_and_others(&self, terms: &dyn TermSource) -> (Set, Set) {
        let own = self.by_labels(terms);
        let targets = self.by_targets(terms);
        let others = targets.intersection(&own.complement(terms.count()));
        (own, others)
    }

    /// The series whose own labels may match.
    fn by_labels(&self, terms: &dyn TermSource) -> Set {
        let mut found = Set::all(terms.count());
        // A name is the narrowest condition most of the time; negated names have to leave the
        // other names of a histogram.
        for condition in &self.conditions {
            if found.is_empty() {
                break;
            }
            let series = if condition.name == NAME_LABEL {
                self.by_name(terms)
            } else {
                let own = condition.series(terms, (LABEL, HAS_LABEL));
                Set::union([own, condition.promoted(terms)])
            };
            found = found.intersection(&series);
        }
        found
    }

    /// The series any of whose names satisfies all conditions on names.
    fn by_name(&self, terms: &dyn TermSource) -> Set {
        let names: Vec<&Condition> = self
            .conditions
            .iter()
            .filter(|one| one.name == NAME_LABEL)
            .collect();
        if let [only] = names[..]
            && !only.negated
            && let Test::Equal(name) = &only.test
            && !name.is_empty()
        {
            let find = |tag| terms.find(&key(tag, NAME_LABEL, Some(name)));
            return Set::union([LABEL, ALIAS].map(find));
        }
        let mut sets = Vec::new();
        for tag in [LABEL, ALIAS] {
            terms.scan(&key(tag, NAME_LABEL, Some("")), &mut |name, series| {
                let name = std::str::from_utf8(name).unwrap_or_default();
                if names.iter().all(|condition| condition.passes(name)) {
                    sets.push(series());
                }
                true
            });
        }
        // A metric whose name leaves nothing for Prometheus has no name at all.
        if names.iter().all(|condition| condition.passes("")) {
            let named = terms.find(&key(HAS_LABEL, NAME_LABEL, None));
            sets.push(named.complement(terms.count()));
        }
        Set::union(sets)
    }

    /// The series the labels of whose target match.
    fn by_targets(&self, terms: &dyn TermSource) -> Set {
        if !self.targets {
            return Set::default();
        }
        let mut found: Option<Set> = None;
        for condition in &self.conditions {
            if condition.name == NAME_LABEL {
                continue;
            }
            let series = condition.series(terms, (TARGET, HAS_TARGET));
            found = Some(match found {
                None => series,
                Some(found) => found.intersection(&series),
            });
        }
        let with_target = |name| terms.find(&key(HAS_TARGET, name, None));
        // A target has a job or an instance.
        let any = Set::union([with_target("job"), with_target("instance")]);
        found.map_or_else(|| any.clone(), |found| found.intersection(&any))
    }
}

impl Selector {
    /// The values of a label of the series that may match, `target_info` among them.
    pub(crate) fn values(&self, terms: &dyn TermSource, label: &str, each: &mut dyn FnMut(&str)) {
        let targets = self.by_targets(terms);
        let own = self.by_labels(terms);
        if label == NAME_LABEL {
            if !targets.is_empty() {
                each(TARGET_INFO);
            }
            let names: Vec<&Condition> = self
                .conditions
                .iter()
                .filter(|one| one.name == NAME_LABEL)
                .collect();
            let passes = |name: &str| names.iter().all(|condition| condition.passes(name));
            return among(terms, &key(LABEL, label, Some("")), &own, &mut |name| {
                if passes(name) {
                    each(name);
                }
            });
        }
        among(terms, &key(LABEL, label, Some("")), &own, each);
        among(terms, &key(TARGET, label, Some("")), &targets, each);
    }

    /// The names of labels of the series that may match.
    pub(crate) fn names(&self, terms: &dyn TermSource, each: &mut dyn FnMut(&str)) {
        let own = self.by_labels(terms);
        let targets = self.by_targets(terms);
        if !targets.is_empty() {
            each(NAME_LABEL);
        }
        among(terms, &[HAS_LABEL], &own, each);
        among(terms, &[HAS_TARGET], &targets, each);
        for (kind, label) in [
            (MetricKind::Histogram, "le"),
            (MetricKind::Summary, "quantile"),
        ] {
            if !terms
                .find(&[KIND, kind as u8])
                .intersection(&own)
                .is_empty()
            {
                each(label);
            }
        }
    }
}

/// Calls `each` with the rest of every key that begins so and is on any of these series.
fn among(terms: &dyn TermSource, prefix: &[u8], series: &Set, each: &mut dyn FnMut(&str)) {
    if series.is_empty() {
        return;
    }
    let all = *series == Set::all(terms.count());
    terms.scan(prefix, &mut |rest, found| {
        let some = all || found().intersects(series);
        if some && let Ok(rest) = std::str::from_utf8(rest) {
            each(rest);
        }
        true
    });
}

#[cfg(test)]
mod tests;
