//! A syntax tree as JSON, as Prometheus' `parse_query` shows it.

use serde::{Serialize, Serializer};

use crate::ast::{At, Cardinality, Expr, ExprKind, Extend, Matching, Selector, UnaryOp};
use crate::format::value;
use crate::functions::Function;
use crate::matcher::Matcher;
use crate::stack;

/// More levels than this are not shown: readers of JSON give up at about as many.
const MAX_LEVELS: usize = 4096;

impl Expr {
    /// The tree as nested objects, each with its `type`; an error if it has too many levels.
    pub fn tree(&self) -> Result<impl Serialize + '_, String> {
        let mut level = vec![self];
        for _ in 0..MAX_LEVELS {
            if level.is_empty() {
                return Ok(Tree(self));
            }
            level = level.into_iter().flat_map(Expr::children).collect();
        }
        Err(format!(
            "the tree has more than {MAX_LEVELS} levels, which is too deep for JSON"
        ))
    }
}

struct Tree<'a>(&'a Expr);

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        stack::level(|| Node::of(self.0).serialize(serializer))
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Node<'a> {
    NumberLiteral {
        val: String,
    },
    StringLiteral {
        val: &'a str,
    },
    VectorSelector(Selected<'a>),
    MatrixSelector {
        #[serde(flatten)]
        selected: Selected<'a>,
        range: i64,
    },
    #[serde(rename_all = "camelCase")]
    Subquery {
        expr: Tree<'a>,
        range: i64,
        offset: i64,
        step: i64,
        timestamp: Option<i64>,
        start_or_end: Option<&'static str>,
    },
    UnaryExpr {
        op: &'static str,
        expr: Tree<'a>,
    },
    BinaryExpr {
        op: &'static str,
        lhs: Tree<'a>,
        rhs: Tree<'a>,
        matching: Option<Match<'a>>,
        bool: bool,
    },
    Aggregation {
        op: &'static str,
        expr: Tree<'a>,
        param: Option<Tree<'a>>,
        grouping: &'a [String],
        without: bool,
    },
    Call {
        func: Func,
        args: Vec<Tree<'a>>,
    },
    ParenExpr {
        expr: Tree<'a>,
    },
}

impl<'a> Node<'a> {
    fn of(expr: &'a Expr) -> Self {
        match &expr.kind {
            ExprKind::Number(number) => Node::NumberLiteral {
                val: value(*number),
            },
            #[allow(clippy::cast_precision_loss)]
            ExprKind::Duration(milliseconds) => Node::NumberLiteral {
                val: value(*milliseconds as f64 / 1000.0),
            },
            ExprKind::String(literal) => Node::StringLiteral {
                val: &literal.value,
            },
            ExprKind::Selector(selector) => Node::VectorSelector(Selected::of(selector)),
            ExprKind::Matrix(matrix) => Node::MatrixSelector {
                selected: Selected::of(&matrix.selector),
                range: matrix.range_ms,
            },
            ExprKind::Subquery(subquery) => Node::Subquery {
                expr: Tree(&subquery.expr),
                range: subquery.range_ms,
                offset: subquery.offset_ms,
                step: subquery.step_ms.unwrap_or(0),
                timestamp: timestamp(subquery.at),
                start_or_end: start_or_end(subquery.at),
            },
            ExprKind::Unary(op, expr) => Node::UnaryExpr {
                op: if *op == UnaryOp::Minus { "-" } else { "+" },
                expr: Tree(expr),
            },
            ExprKind::Binary(binary) => Node::BinaryExpr {
                op: binary.op.symbol(),
                lhs: Tree(&binary.lhs),
                rhs: Tree(&binary.rhs),
                matching: binary.matching.as_ref().map(Match::of),
                bool: binary.return_bool,
            },
            ExprKind::Aggregate(aggregate) => Node::Aggregation {
                op: aggregate.op.name(),
                expr: Tree(&aggregate.expr),
                param: aggregate.param.as_ref().map(Tree),
                grouping: &aggregate.grouping,
                without: aggregate.without,
            },
            ExprKind::Call(call) => Node::Call {
                func: Func::of(call.function),
                args: call.args.iter().map(Tree).collect(),
            },
            ExprKind::Paren(expr) => Node::ParenExpr { expr: Tree(expr) },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selected<'a> {
    name: &'a str,
    offset: i64,
    matchers: Vec<OneMatcher<'a>>,
    timestamp: Option<i64>,
    start_or_end: Option<&'static str>,
    anchored: bool,
    smoothed: bool,
}

impl<'a> Selected<'a> {
    fn of(selector: &'a Selector) -> Self {
        Self {
            name: selector.name.as_deref().unwrap_or(""),
            offset: selector.offset_ms,
            matchers: selector.matchers.iter().map(OneMatcher::of).collect(),
            timestamp: timestamp(selector.at),
            start_or_end: start_or_end(selector.at),
            anchored: selector.extend == Extend::Anchored,
            smoothed: selector.extend == Extend::Smoothed,
        }
    }
}

#[derive(Serialize)]
struct OneMatcher<'a> {
    name: &'a str,
    value: &'a str,
    r#type: &'static str,
}

impl<'a> OneMatcher<'a> {
    fn of(matcher: &'a Matcher) -> Self {
        Self {
            name: &matcher.name,
            value: &matcher.value,
            r#type: matcher.op.symbol(),
        }
    }
}

fn timestamp(at: Option<At>) -> Option<i64> {
    match at {
        Some(At::Time(time_ms)) => Some(time_ms),
        _ => None,
    }
}

fn start_or_end(at: Option<At>) -> Option<&'static str> {
    match at {
        Some(At::Start) => Some("start"),
        Some(At::End) => Some("end"),
        _ => None,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Match<'a> {
    card: &'static str,
    labels: &'a [String],
    on: bool,
    include: &'a [String],
    fill_values: FillValues,
}

#[derive(Serialize)]
struct FillValues {
    lhs: Option<f64>,
    rhs: Option<f64>,
}

impl<'a> Match<'a> {
    fn of(matching: &'a Matching) -> Self {
        Self {
            card: match matching.cardinality {
                Cardinality::OneToOne => "one-to-one",
                Cardinality::ManyToOne => "many-to-one",
                Cardinality::OneToMany => "one-to-many",
                Cardinality::ManyToMany => "many-to-many",
            },
            labels: &matching.labels,
            on: matching.on,
            include: &matching.include,
            fill_values: FillValues {
                lhs: matching.fill_left,
                rhs: matching.fill_right,
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Func {
    name: &'static str,
    arg_types: Vec<&'static str>,
    /// How many arguments may be left out or added: -1 for any number.
    variadic: i64,
    return_type: &'static str,
}

impl Func {
    fn of(function: &Function) -> Self {
        Self {
            name: function.name,
            arg_types: function.args.iter().map(|kind| kind.name()).collect(),
            variadic: match function.extra {
                usize::MAX => -1,
                extra => i64::try_from(function.optional.max(extra)).unwrap_or(-1),
            },
            return_type: function.returns.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    fn tree(query: &str) -> serde_json::Value {
        serde_json::to_value(crate::parse(query).unwrap().tree().unwrap()).unwrap()
    }

    #[test]
    fn trees_have_the_shape_of_the_api() {
        assert_eq!(
            tree("-rate(m{a!='b'}[5m] offset 1m @ start())"),
            json!({
                "type": "unaryExpr",
                "op": "-",
                "expr": {
                    "type": "call",
                    "func": {
                        "name": "rate",
                        "argTypes": ["matrix"],
                        "variadic": 0,
                        "returnType": "vector",
                    },
                    "args": [{
                        "type": "matrixSelector",
                        "name": "m",
                        "range": 300_000,
                        "offset": 60_000,
                        "matchers": [
                            {"name": "a", "type": "!=", "value": "b"},
                            {"name": "__name__", "type": "=", "value": "m"},
                        ],
                        "timestamp": null,
                        "startOrEnd": "start",
                        "anchored": false,
                        "smoothed": false,
                    }],
                },
            })
        );
    }

    #[test]
    fn operations_name_their_matching() {
        let binary = tree("topk by (x) (3, (a)) > bool on (x) group_left (y) fill_right (1) b @ 7");
        assert_eq!(binary["op"], ">");
        assert_eq!(binary["bool"], true);
        assert_eq!(
            binary["matching"],
            json!({
                "card": "many-to-one",
                "labels": ["x"],
                "on": true,
                "include": ["y"],
                "fillValues": {"lhs": null, "rhs": 1.0},
            })
        );
        assert_eq!(binary["lhs"]["type"], "aggregation");
        assert_eq!(binary["lhs"]["grouping"], json!(["x"]));
        assert_eq!(
            binary["lhs"]["param"],
            json!({"type": "numberLiteral", "val": "3"})
        );
        assert_eq!(binary["lhs"]["expr"]["type"], "parenExpr");
        assert_eq!(binary["rhs"]["timestamp"], 7_000);
        let scalar = tree("5m * time()");
        assert_eq!(scalar["matching"], serde_json::Value::Null);
        assert_eq!(scalar["lhs"]["val"], "300");
        let subquery = tree("max_over_time(m[1h:5m] offset 1m)");
        assert_eq!(subquery["args"][0]["step"], 300_000);
        assert_eq!(tree("label_join(m, 'a', 'b')")["func"]["variadic"], -1);
        assert_eq!(tree("round(m)")["func"]["variadic"], 1);
    }

    #[test]
    fn a_tree_of_too_many_levels_is_refused() {
        let chain = |operators: usize| crate::parse(&format!("a{}", " or a".repeat(operators)));
        let shown = serde_json::to_string(&chain(4000).unwrap().tree().unwrap()).unwrap();
        assert_eq!(shown.matches("binaryExpr").count(), 4000);
        let deeper = chain(5000).unwrap();
        assert!(deeper.tree().err().unwrap().contains("4096 levels"));
    }
}
