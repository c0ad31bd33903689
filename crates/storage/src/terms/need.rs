//! What a filter needs of a block: the terms without which none of its rows can pass.

use super::{Of, seed, term, value_term, word_term};
use crate::eval::default_field;
use crate::filter::{Field, Filter, Level, Op, Operand};
use model::Signal;

/// Which blocks can hold a row that passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// The index cannot tell.
    Anything,
    /// Blocks with this term.
    Term(u64),
    /// Blocks that satisfy all.
    All(Vec<Need>),
    /// Blocks that satisfy any.
    Any(Vec<Need>),
}

impl Need {
    fn all(needs: Vec<Need>) -> Need {
        let mut needs: Vec<Need> = needs
            .into_iter()
            .filter(|need| *need != Need::Anything)
            .collect();
        match needs.len() {
            0 => Need::Anything,
            1 => needs.remove(0),
            _ => Need::All(needs),
        }
    }

    fn any(needs: Vec<Need>) -> Need {
        if needs.contains(&Need::Anything) {
            Need::Anything
        } else {
            Need::Any(needs)
        }
    }

    /// What a filter needs.
    pub(crate) fn of(filter: &Filter, signal: Signal) -> Need {
        match filter {
            Filter::And(list) => Need::all(list.iter().map(|f| Need::of(f, signal)).collect()),
            Filter::Or(list) => Need::any(list.iter().map(|f| Need::of(f, signal)).collect()),
            Filter::Compare {
                field,
                op: Op::Eq,
                value,
            } => equals(field, value),
            Filter::AnyOf { field, values } => Need::any(
                values
                    .iter()
                    .map(|value| equals(field, &Operand::Literal(value.clone())))
                    .collect(),
            ),
            Filter::Exists(field)
            | Filter::Compare { field, .. }
            | Filter::Regex { field, .. }
            | Filter::Prefix { field, .. } => exists(field),
            Filter::Words {
                field,
                words,
                prefix,
                ..
            } => {
                let here = default_field(signal);
                if field.as_ref().is_some_and(|field| *field != here) || signal == Signal::Metrics {
                    return field.as_ref().map_or(Need::Anything, exists);
                }
                let seed = seed(Of::Word, "");
                let whole = words.len() - usize::from(*prefix && !words.is_empty());
                let terms = words[..whole]
                    .iter()
                    .filter_map(|word| word_term(seed, word));
                Need::all(terms.map(Need::Term).collect())
            }
            Filter::All | Filter::Not(_) => Need::Anything,
        }
    }
}

fn exists(field: &Field) -> Need {
    let Field::Attribute { level, key } = field else {
        return Need::Anything;
    };
    let has = |level: Level| Need::Term(term(Of::Has, key, &[level as u8]));
    if *level == Level::Any {
        return Need::Any(vec![
            has(Level::Row),
            has(Level::Scope),
            has(Level::Resource),
        ]);
    }
    has(*level)
}

/// The texts under which the index holds values that equal the operand.
fn forms(operand: &Operand) -> Vec<String> {
    // Of the doubles that are integers, each equals one.
    #[allow(clippy::cast_possible_truncation, clippy::float_cmp)]
    let whole = |double: f64| {
        let integers = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
        (double.fract() == 0.0 && integers.contains(&double)).then(|| (double as i64).to_string())
    };
    match operand {
        Operand::Text(text) => vec![text.clone()],
        Operand::Int(int) => vec![int.to_string()],
        Operand::Double(double) => whole(*double).into_iter().collect(),
        Operand::Bool(flag) => vec![flag.to_string()],
        Operand::Literal(text) => {
            let mut forms = vec![text.clone()];
            let number = text
                .parse::<i64>()
                .map(|int| int.to_string())
                .ok()
                .or_else(|| text.parse().ok().and_then(whole));
            forms.extend(number.filter(|number| number != text));
            forms
        }
    }
}

fn equals(field: &Field, value: &Operand) -> Need {
    let of = match field {
        Field::Attribute { level, key } => {
            let of = Of::attribute(*level);
            let seed = seed(of, key);
            let mut needs: Vec<Need> = forms(value)
                .iter()
                .map(|text| Need::Term(value_term(seed, text.as_bytes())))
                .collect();
            needs.push(Need::Term(term(Of::Unindexed, key, &[of as u8])));
            return Need::Any(needs);
        }
        Field::TraceId | Field::LinkTraceId => {
            let of = if *field == Field::TraceId {
                Of::Trace
            } else {
                Of::LinkTrace
            };
            let (Operand::Literal(text) | Operand::Text(text)) = value else {
                return Need::Anything;
            };
            let id = text.parse::<model::TraceId>();
            return id.map_or(Need::Anything, |id| Need::Term(term(of, "", &id.0)));
        }
        Field::Service => Of::Service,
        Field::Name => Of::Name,
        Field::Status => Of::Status,
        Field::Kind => Of::Kind,
        Field::Level => Of::Level,
        Field::Correlation => Of::Correlation,
        Field::EventName => Of::EventName,
        _ => return Need::Anything,
    };
    match value {
        Operand::Literal(text) if text.parse::<i64>().is_ok() => Need::Anything,
        Operand::Literal(text) | Operand::Text(text) if of == Of::Correlation => {
            Need::Term(value_term(seed(of, ""), text.as_bytes()))
        }
        Operand::Literal(text) | Operand::Text(text) => Need::Term(term(of, "", text.as_bytes())),
        // Kinds and statuses without a name are numbers, and those have no term.
        _ => Need::Anything,
    }
}

/// What a metric selector needs of a file without an index of its series. Of labels such a file has
/// terms, but none of those that a query may promote from the resource: a row that has no term of a
/// label may still match it. Names are never promoted.
pub(crate) fn need_of_matchers(matchers: &[crate::message::Matcher]) -> Need {
    use crate::message::MatchOp;
    let names = matchers
        .iter()
        .filter(|m| m.name == "__name__" && m.op == MatchOp::Equal && !m.value.is_empty())
        .map(|m| Need::Term(term(Of::Label, &m.name, m.value.as_bytes())));
    Need::all(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{MatchOp, Matcher};

    #[test]
    fn only_the_name_of_a_metric_decides_where_its_series_may_be() {
        let matcher = |name: &str, op| Matcher {
            name: name.to_owned(),
            op,
            value: "x".to_owned(),
        };
        let name = matcher("__name__", MatchOp::Equal);
        let others = [
            matcher("service_name", MatchOp::Equal),
            matcher("__name__", MatchOp::Regex),
        ];
        let of_name = Need::Term(term(Of::Label, "__name__", b"x"));
        assert_eq!(need_of_matchers(&others), Need::Anything);
        let [service, regex] = others;
        assert_eq!(need_of_matchers(&[service, name, regex]), of_name);
    }
}
