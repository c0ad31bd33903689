//! A syntax tree as JSON, as Prometheus' `parse_query` shows it.

use serde_json::{Value as Json, json};

use crate::ast::{At, Cardinality, Expr, ExprKind, Extend, Matching, Selector, UnaryOp};
use crate::format::value;
use crate::functions::Function;

impl Expr {
    /// The tree as nested objects, each with its `type`.
    pub fn to_json(&self) -> Json {
        match &self.kind {
            ExprKind::Number(number) => number_literal(*number),
            #[allow(clippy::cast_precision_loss)]
            ExprKind::Duration(milliseconds) => number_literal(*milliseconds as f64 / 1000.0),
            ExprKind::String(literal) => json!({"type": "stringLiteral", "val": literal.value}),
            ExprKind::Selector(selector) => selected("vectorSelector", selector),
            ExprKind::Matrix(matrix) => {
                let mut json = selected("matrixSelector", &matrix.selector);
                json["range"] = matrix.range_ms.into();
                json
            }
            ExprKind::Subquery(subquery) => json!({
                "type": "subquery",
                "expr": subquery.expr.to_json(),
                "range": subquery.range_ms,
                "offset": subquery.offset_ms,
                "step": subquery.step_ms.unwrap_or(0),
                "timestamp": timestamp(subquery.at),
                "startOrEnd": start_or_end(subquery.at),
            }),
            ExprKind::Unary(op, expr) => json!({
                "type": "unaryExpr",
                "op": if *op == UnaryOp::Minus { "-" } else { "+" },
                "expr": expr.to_json(),
            }),
            ExprKind::Binary(binary) => json!({
                "type": "binaryExpr",
                "op": binary.op.symbol(),
                "lhs": binary.lhs.to_json(),
                "rhs": binary.rhs.to_json(),
                "matching": binary.matching.as_ref().map(matching),
                "bool": binary.return_bool,
            }),
            ExprKind::Aggregate(aggregate) => json!({
                "type": "aggregation",
                "op": aggregate.op.name(),
                "expr": aggregate.expr.to_json(),
                "param": aggregate.param.as_ref().map(Expr::to_json),
                "grouping": aggregate.grouping,
                "without": aggregate.without,
            }),
            ExprKind::Call(call) => json!({
                "type": "call",
                "func": function(call.function),
                "args": call.args.iter().map(Expr::to_json).collect::<Vec<_>>(),
            }),
            ExprKind::Paren(expr) => json!({"type": "parenExpr", "expr": expr.to_json()}),
        }
    }
}

fn number_literal(number: f64) -> Json {
    json!({"type": "numberLiteral", "val": value(number)})
}

fn selected(kind: &str, selector: &Selector) -> Json {
    let matchers = selector.matchers.iter().map(|matcher| {
        json!({
            "name": matcher.name,
            "value": matcher.value,
            "type": matcher.op.symbol(),
        })
    });
    json!({
        "type": kind,
        "name": selector.name.as_deref().unwrap_or(""),
        "offset": selector.offset_ms,
        "matchers": matchers.collect::<Vec<_>>(),
        "timestamp": timestamp(selector.at),
        "startOrEnd": start_or_end(selector.at),
        "anchored": selector.extend == Extend::Anchored,
        "smoothed": selector.extend == Extend::Smoothed,
    })
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

fn matching(matching: &Matching) -> Json {
    let card = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    json!({
        "card": card,
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
    })
}

/// `variadic` says how many arguments may be left out or added: -1 for any number.
fn function(function: &Function) -> Json {
    let variadic = match function.extra {
        usize::MAX => -1,
        extra => i64::try_from(function.optional.max(extra)).unwrap_or(-1),
    };
    json!({
        "name": function.name,
        "argTypes": function.args.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        "variadic": variadic,
        "returnType": function.returns.name(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    fn tree(query: &str) -> serde_json::Value {
        crate::parse(query).unwrap().to_json()
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
}
