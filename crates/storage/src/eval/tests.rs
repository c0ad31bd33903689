use super::*;

fn passes(op: Op, operand: Operand, value: ValueRef<'_>) -> bool {
    let filter = Filter::Compare {
        field: Field::Body,
        op,
        value: operand,
    };
    let compiled = Compiled::new(&filter, Signal::Logs).unwrap();
    let Compiled::Leaf(_, test) = compiled else {
        panic!("{compiled:?}")
    };
    test.passes(Cell::Value(value))
}

fn literal(text: &str) -> Operand {
    Operand::Literal(text.to_owned())
}

#[test]
fn integers_and_doubles_compare_exactly_where_not_every_integer_is_a_double() {
    const EVEN: i64 = 1 << 53;
    const ODD: i64 = EVEN + 1;
    let even = EVEN as f64;
    for (int, is_equal) in [(EVEN, true), (ODD, false)] {
        for operand in [Operand::Int(int), literal(&int.to_string())] {
            let value = ValueRef::Double(even);
            assert_eq!(passes(Op::Eq, operand.clone(), value), is_equal, "{int}");
            assert_eq!(passes(Op::Lt, operand.clone(), value), !is_equal, "{int}");
            assert_eq!(passes(Op::Ge, operand, value), is_equal, "{int}");
        }
        let operand = Operand::Double(even);
        let value = ValueRef::Int(int);
        assert_eq!(passes(Op::Eq, operand.clone(), value), is_equal, "{int}");
        assert_eq!(passes(Op::Gt, operand, value), !is_equal, "{int}");
    }
}

#[test]
fn an_integer_compares_with_any_double() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let end = 9_223_372_036_854_775_808.0;
    for (int, double, order) in [
        (0, -0.0, Some(Equal)),
        (1, 1.5, Some(Less)),
        (2, 1.5, Some(Greater)),
        (-1, -1.5, Some(Greater)),
        (-2, -1.5, Some(Less)),
        (0, 5e-324, Some(Less)),
        (0, -5e-324, Some(Greater)),
        (i64::MAX, end, Some(Less)),
        (i64::MIN, -end, Some(Equal)),
        (i64::MIN, -1e19, Some(Greater)),
        (i64::MAX, f64::INFINITY, Some(Less)),
        (i64::MIN, f64::NEG_INFINITY, Some(Greater)),
        (0, f64::NAN, None),
    ] {
        assert_eq!(int_to_double(int, double), order, "{int} and {double}");
    }
}
