//! The functions of the language: names, argument types and result types. What they compute is in
//! `eval`.

use crate::ast::ValueType;
use ValueType::{Matrix as M, Scalar as S, String as T, Vector as V};

/// The signature of a function.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Name.
    pub name: &'static str,
    /// Types of the arguments; the last repeats for variadic functions.
    pub args: &'static [ValueType],
    /// How many of the arguments at the end may be left out.
    pub optional: usize,
    /// How many more arguments of the last type may follow.
    pub extra: usize,
    /// Type of the result.
    pub returns: ValueType,
}

/// Functions that Prometheus calls experimental, sorted.
const EXPERIMENTAL: &[&str] = &[
    "double_exponential_smoothing",
    "end",
    "first_over_time",
    "histogram_quantiles",
    "info",
    "mad_over_time",
    "max_of",
    "min_of",
    "range",
    "sort_by_label",
    "sort_by_label_desc",
    "start",
    "step",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];

impl Function {
    /// Whether Prometheus calls it experimental.
    pub fn is_experimental(&self) -> bool {
        EXPERIMENTAL.binary_search(&self.name).is_ok()
    }
}

const fn function(name: &'static str, args: &'static [ValueType], returns: ValueType) -> Function {
    Function {
        name,
        args,
        optional: 0,
        extra: 0,
        returns,
    }
}

const fn optional(name: &'static str, args: &'static [ValueType]) -> Function {
    Function {
        name,
        args,
        optional: 1,
        extra: 0,
        returns: V,
    }
}

const fn variadic(
    name: &'static str,
    args: &'static [ValueType],
    optional: usize,
    extra: usize,
) -> Function {
    Function {
        name,
        args,
        optional,
        extra,
        returns: V,
    }
}

/// Every function, sorted by name.
pub static FUNCTIONS: &[Function] = &[
    function("abs", &[V], V),
    function("absent", &[V], V),
    function("absent_over_time", &[M], V),
    function("acos", &[V], V),
    function("acosh", &[V], V),
    function("asin", &[V], V),
    function("asinh", &[V], V),
    function("atan", &[V], V),
    function("atanh", &[V], V),
    function("avg_over_time", &[M], V),
    function("ceil", &[V], V),
    function("changes", &[M], V),
    function("clamp", &[V, S, S], V),
    function("clamp_max", &[V, S], V),
    function("clamp_min", &[V, S], V),
    function("cos", &[V], V),
    function("cosh", &[V], V),
    function("count_over_time", &[M], V),
    optional("day_of_month", &[V]),
    optional("day_of_week", &[V]),
    optional("day_of_year", &[V]),
    optional("days_in_month", &[V]),
    function("deg", &[V], V),
    function("delta", &[M], V),
    function("deriv", &[M], V),
    function("double_exponential_smoothing", &[M, S, S], V),
    function("end", &[], S),
    function("exp", &[V], V),
    function("first_over_time", &[M], V),
    function("floor", &[V], V),
    function("histogram_avg", &[V], V),
    function("histogram_count", &[V], V),
    function("histogram_fraction", &[S, S, V], V),
    function("histogram_quantile", &[S, V], V),
    variadic("histogram_quantiles", &[V, T, S], 0, 9),
    function("histogram_stddev", &[V], V),
    function("histogram_stdvar", &[V], V),
    function("histogram_sum", &[V], V),
    optional("hour", &[V]),
    function("idelta", &[M], V),
    function("increase", &[M], V),
    optional("info", &[V, V]),
    function("irate", &[M], V),
    variadic("label_join", &[V, T, T, T], 1, usize::MAX),
    function("label_replace", &[V, T, T, T, T], V),
    function("last_over_time", &[M], V),
    function("ln", &[V], V),
    function("log10", &[V], V),
    function("log2", &[V], V),
    function("mad_over_time", &[M], V),
    function("max_of", &[S, S], S),
    function("max_over_time", &[M], V),
    function("min_of", &[S, S], S),
    function("min_over_time", &[M], V),
    optional("minute", &[V]),
    optional("month", &[V]),
    function("pi", &[], S),
    function("predict_linear", &[M, S], V),
    function("present_over_time", &[M], V),
    function("quantile_over_time", &[S, M], V),
    function("rad", &[V], V),
    function("range", &[], S),
    function("rate", &[M], V),
    function("resets", &[M], V),
    optional("round", &[V, S]),
    function("scalar", &[V], S),
    function("sgn", &[V], V),
    function("sin", &[V], V),
    function("sinh", &[V], V),
    function("sort", &[V], V),
    variadic("sort_by_label", &[V, T], 1, usize::MAX),
    variadic("sort_by_label_desc", &[V, T], 1, usize::MAX),
    function("sort_desc", &[V], V),
    function("sqrt", &[V], V),
    function("start", &[], S),
    function("stddev_over_time", &[M], V),
    function("stdvar_over_time", &[M], V),
    function("step", &[], S),
    function("sum_over_time", &[M], V),
    function("tan", &[V], V),
    function("tanh", &[V], V),
    function("time", &[], S),
    function("timestamp", &[V], V),
    function("ts_of_first_over_time", &[M], V),
    function("ts_of_last_over_time", &[M], V),
    function("ts_of_max_over_time", &[M], V),
    function("ts_of_min_over_time", &[M], V),
    function("vector", &[S], V),
    optional("year", &[V]),
];

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    let index = FUNCTIONS
        .binary_search_by(|function| function.name.cmp(name))
        .ok()?;
    Some(&FUNCTIONS[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(find("rate").map(|function| function.args), Some(&[M][..]));
        assert_eq!(find("Rate"), None);
        assert!(EXPERIMENTAL.is_sorted());
        assert!(EXPERIMENTAL.iter().all(|name| find(name).is_some()));
    }
}
