//! Filters, compiled once per request and evaluated over tables.

use model::{Signal, ValueRef};
use regex::Regex;
use rustc_hash::FxHashSet;

use crate::filter::{Field, Filter, Op, Operand};
use crate::layout::decide;
use crate::read::ReadError;
use crate::table::{Cell, Damage, Mask, Table};
use crate::words::Sought;

/// How deep filters may nest.
pub(crate) const FILTER_DEPTH_MAX: usize = 64;

/// A filter with its patterns compiled and its operands parsed.
#[derive(Debug)]
pub(crate) enum Compiled {
    All,
    And(Vec<Compiled>),
    /// With the place of each among the conditions of the filter.
    Or(Vec<(usize, Compiled)>),
    Not(Box<Compiled>),
    Leaf(Field, Test),
}

/// A condition on one value.
#[derive(Debug)]
pub(crate) enum Test {
    Exists,
    Equal(Forms),
    Order(Op, Forms),
    AnyOf(FxHashSet<String>, Ids),
    Regex(Regex),
    Prefix(String),
    Words(Sought),
}

/// Ids that are looked for. Most questions name one or two, which are compared one by one.
#[derive(Debug)]
pub(crate) enum Ids {
    Few(Vec<Vec<u8>>),
    Many(FxHashSet<Vec<u8>>),
}

impl Ids {
    const FEW: usize = 8;

    fn contain(&self, id: &[u8]) -> bool {
        match self {
            Ids::Few(list) => list.iter().any(|one| one == id),
            Ids::Many(set) => set.contains(id),
        }
    }
}

impl FromIterator<Vec<u8>> for Ids {
    fn from_iter<I: IntoIterator<Item = Vec<u8>>>(ids: I) -> Self {
        let list: Vec<Vec<u8>> = ids.into_iter().collect();
        if list.len() <= Self::FEW {
            Ids::Few(list)
        } else {
            Ids::Many(list.into_iter().collect())
        }
    }
}

/// The typed forms of an operand.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    text: Option<String>,
    int: Option<i64>,
    double: Option<f64>,
    flag: Option<bool>,
    id: Option<Vec<u8>>,
}

impl Forms {
    fn new(operand: &Operand) -> Self {
        match operand {
            Operand::Text(text) => Self {
                text: Some(text.clone()),
                id: hex_bytes(text),
                ..Self::default()
            },
            Operand::Int(int) => Self {
                int: Some(*int),
                ..Self::default()
            },
            Operand::Double(double) => Self {
                double: Some(*double),
                ..Self::default()
            },
            Operand::Bool(flag) => Self {
                flag: Some(*flag),
                ..Self::default()
            },
            Operand::Literal(text) => Self {
                int: text.parse().ok(),
                double: text.parse().ok(),
                flag: text.parse().ok(),
                id: hex_bytes(text),
                text: Some(text.clone()),
            },
        }
    }

    fn equals(&self, cell: Cell<'_>) -> bool {
        match cell {
            Cell::Id(bytes) => self.id.as_deref() == Some(bytes),
            Cell::Value(value) => match value {
                ValueRef::Str(text) => self.text.as_deref() == Some(text),
                ValueRef::Int(_) | ValueRef::Double(_) => {
                    self.order(cell).is_some_and(std::cmp::Ordering::is_eq)
                }
                ValueRef::Bool(flag) => self.flag == Some(flag),
                ValueRef::Empty => false,
                ValueRef::Bytes(_) | ValueRef::Array(_) | ValueRef::KvList(_) => {
                    self.text.as_deref() == Some(&*cell.text())
                }
            },
        }
    }

    fn order(&self, cell: Cell<'_>) -> Option<std::cmp::Ordering> {
        match cell {
            Cell::Value(ValueRef::Int(int)) => match self.int {
                Some(other) => Some(int.cmp(&other)),
                None => int_to_double(int, self.double?),
            },
            Cell::Value(ValueRef::Double(double)) => match self.int {
                Some(int) => int_to_double(int, double).map(std::cmp::Ordering::reverse),
                None => double.partial_cmp(&self.double?),
            },
            Cell::Value(ValueRef::Str(text)) => Some(text.cmp(self.text.as_deref()?)),
            _ => None,
        }
    }
}

/// How an integer compares with a double, exactly: beyond 2^53 not every integer is a double.
fn int_to_double(int: i64, double: f64) -> Option<std::cmp::Ordering> {
    /// The first double beyond all integers.
    const END: f64 = 9_223_372_036_854_775_808.0;
    if double >= END {
        return Some(std::cmp::Ordering::Less);
    }
    if double < -END {
        return Some(std::cmp::Ordering::Greater);
    }
    let fraction = double.fract();
    #[allow(clippy::cast_possible_truncation)]
    let whole = double.trunc() as i64;
    // What is no number has no fraction that compares.
    let by_fraction = 0.0.partial_cmp(&fraction)?;
    Some(int.cmp(&whole).then(by_fraction))
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    // What reads numbers takes a sign, too.
    let are_digits = digits.iter().all(u8::is_ascii_hexdigit);
    if !matches!(digits.len(), 16 | 32) || !are_digits {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

impl Test {
    fn passes(&self, cell: Cell<'_>) -> bool {
        match self {
            Test::Exists => true,
            Test::Equal(forms) => forms.equals(cell),
            Test::Order(op, forms) => forms.order(cell).is_some_and(|order| match op {
                Op::Eq => order.is_eq(),
                Op::Lt => order.is_lt(),
                Op::Le => order.is_le(),
                Op::Gt => order.is_gt(),
                Op::Ge => order.is_ge(),
            }),
            Test::AnyOf(texts, ids) => match cell {
                Cell::Id(bytes) => ids.contain(bytes),
                // It is no text, not even the empty one: the index has no value for it.
                Cell::Value(ValueRef::Empty) => false,
                Cell::Value(_) => texts.contains(&*cell.text()),
            },
            Test::Regex(regex) => regex.is_match(&cell.text()),
            Test::Prefix(prefix) => cell.text().starts_with(prefix.as_str()),
            Test::Words(sought) => sought.in_text(&cell.text()),
        }
    }
}

/// Where words without a field are looked for.
pub(crate) fn default_field(signal: Signal) -> Field {
    if signal == Signal::Logs {
        Field::Body
    } else {
        Field::Name
    }
}

impl Compiled {
    /// Checks and compiles a filter for rows of one signal.
    pub(crate) fn new(filter: &Filter, signal: Signal) -> Result<Self, ReadError> {
        Self::nested(filter, signal, 0)
    }

    fn nested(filter: &Filter, signal: Signal, depth: usize) -> Result<Self, ReadError> {
        if depth > FILTER_DEPTH_MAX {
            return Err(ReadError::Invalid("conditions nested too deep".to_owned()));
        }
        let list = |filters: &[Filter]| -> Result<Vec<Self>, ReadError> {
            let mut list: Vec<Self> = filters
                .iter()
                .map(|filter| Self::nested(filter, signal, depth + 1))
                .collect::<Result<_, _>>()?;
            // Cheap conditions first, so that dear ones see few rows.
            list.sort_by_key(Self::cost);
            Ok(list)
        };
        Ok(match filter {
            Filter::All => Compiled::All,
            Filter::And(filters) => Compiled::And(list(filters)?),
            Filter::Or(filters) => {
                let one = |filter: &Filter| Self::nested(filter, signal, depth + 1);
                let list: Result<Vec<Self>, _> = filters.iter().map(one).collect();
                let mut list: Vec<(usize, Self)> = list?.into_iter().enumerate().collect();
                list.sort_by_key(|(_, condition)| condition.cost());
                Compiled::Or(list)
            }
            Filter::Not(inner) => Compiled::Not(Box::new(Self::nested(inner, signal, depth + 1)?)),
            Filter::Exists(field) => Compiled::Leaf(field.clone(), Test::Exists),
            Filter::Compare {
                field,
                op: Op::Eq,
                value,
            } => Compiled::Leaf(field.clone(), Test::Equal(Forms::new(value))),
            Filter::Compare { field, op, value } => {
                Compiled::Leaf(field.clone(), Test::Order(*op, Forms::new(value)))
            }
            Filter::AnyOf { field, values } => {
                let ids = values.iter().filter_map(|value| hex_bytes(value)).collect();
                let texts = values.iter().cloned().collect();
                Compiled::Leaf(field.clone(), Test::AnyOf(texts, ids))
            }
            Filter::Regex { field, pattern } => {
                let regex = regex::RegexBuilder::new(pattern)
                    .size_limit(1 << 20)
                    .build()
                    .map_err(|error| ReadError::Invalid(format!("invalid regex: {error}")))?;
                Compiled::Leaf(field.clone(), Test::Regex(regex))
            }
            Filter::Prefix { field, prefix } => {
                Compiled::Leaf(field.clone(), Test::Prefix(prefix.clone()))
            }
            Filter::Words {
                field,
                words,
                phrase,
                prefix,
            } => Compiled::Leaf(
                field.clone().unwrap_or_else(|| default_field(signal)),
                Test::Words(Sought::new(words.clone(), *phrase, *prefix)),
            ),
        })
    }

    fn cost(&self) -> u8 {
        match self {
            Compiled::All => 0,
            Compiled::Leaf(field, test) => match (field, test) {
                (_, Test::Words(_) | Test::Regex(_)) => 4,
                (Field::Attribute { .. } | Field::Correlation | Field::Body, _) => 3,
                (Field::TraceId | Field::SpanId | Field::Service | Field::Status, _) => 1,
                _ => 2,
            },
            Compiled::Not(inner) => inner.cost(),
            Compiled::And(list) => list.iter().map(Compiled::cost).max().unwrap_or(0),
            Compiled::Or(list) => list.iter().map(|(_, one)| one.cost()).max().unwrap_or(0),
        }
    }

    /// Whether it asks for nothing but words of bodies.
    pub(crate) fn is_of_bodies(&self) -> bool {
        match self {
            Compiled::All | Compiled::Leaf(Field::Body, Test::Words(_)) => true,
            Compiled::Leaf(..) => false,
            Compiled::And(list) => list.iter().all(Self::is_of_bodies),
            Compiled::Or(list) => list.iter().all(|(_, one)| one.is_of_bodies()),
            Compiled::Not(inner) => inner.is_of_bodies(),
        }
    }

    /// Whether rows pass whose body has these literals with a variable between each two, if that
    /// tells, where it asks for nothing but words of bodies.
    pub(crate) fn passes_bodies(&self, literals: &[&[u8]]) -> Option<bool> {
        match self {
            Compiled::All => Some(true),
            Compiled::Leaf(_, Test::Words(sought)) => decide(literals, sought),
            Compiled::Leaf(..) => None,
            Compiled::And(list) => all_pass(
                list.iter()
                    .map(|condition| condition.passes_bodies(literals)),
            ),
            Compiled::Or(list) => {
                let passes = list.iter().map(|(_, one)| one.passes_bodies(literals));
                all_pass(passes.map(|passes| passes.map(|passes| !passes))).map(|none| !none)
            }
            Compiled::Not(inner) => inner.passes_bodies(literals).map(|passes| !passes),
        }
    }

    /// The rows of `among` that pass, where of several alternatives some are known to pass none.
    pub(crate) fn evaluate_some(
        &self,
        table: &dyn Table,
        among: Mask,
        branches: Branches,
    ) -> Result<Mask, Damage> {
        match self {
            Compiled::Or(list) => {
                let some = list.iter().filter(|(place, _)| branches.has(*place));
                any(some.map(|(_, condition)| condition), table, &among)
            }
            _ => self.evaluate(table, among),
        }
    }

    /// The rows of `among` that pass.
    pub(crate) fn evaluate(&self, table: &dyn Table, among: Mask) -> Result<Mask, Damage> {
        match self {
            Compiled::All => Ok(among),
            Compiled::And(list) => {
                let mut mask = among;
                for condition in list {
                    if mask.is_empty() {
                        break;
                    }
                    mask = condition.evaluate(table, mask)?;
                }
                Ok(mask)
            }
            Compiled::Or(list) => any(list.iter().map(|(_, one)| one), table, &among),
            Compiled::Not(inner) => {
                let inside = inner.evaluate(table, among.clone())?;
                Ok(among.minus(&inside))
            }
            Compiled::Leaf(field, Test::Words(sought)) => {
                table.matching_words(field, &among, sought)
            }
            Compiled::Leaf(field, test) => table.matching(field, &among, &|cell| test.passes(cell)),
        }
    }
}

/// Whether all of several conditions pass: one that does not tells, whatever is not known of others.
fn all_pass(conditions: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(true);
    for passes in conditions {
        match passes {
            Some(true) => {}
            Some(false) => return Some(false),
            None => all = None,
        }
    }
    all
}

/// The rows of `among` that pass any of these.
fn any<'c>(
    conditions: impl Iterator<Item = &'c Compiled>,
    table: &dyn Table,
    among: &Mask,
) -> Result<Mask, Damage> {
    let mut mask = Mask::none(table.rows());
    for condition in conditions {
        let rest = among.clone().minus(&mask);
        if rest.is_empty() {
            break;
        }
        mask.union(&condition.evaluate(table, rest)?);
    }
    Ok(mask)
}

/// Which alternatives of a filter rows of a block may pass, as the index says: by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Branches(u64);

impl Branches {
    pub(crate) const ALL: Self = Self(u64::MAX);
    pub(crate) const NONE: Self = Self(0);
    /// Alternatives that can be told apart; a filter with more has none that are left out.
    pub(crate) const MAX: usize = 64;

    #[must_use]
    pub(crate) fn with(self, place: usize) -> Self {
        Self(self.0 | 1 << place)
    }

    fn has(self, place: usize) -> bool {
        self == Self::ALL || self.0 >> place & 1 != 0
    }
}

#[cfg(test)]
mod tests;
