use crate::value::{KeyValue, KeyValueRef, Value, ValueRef};

use super::*;

#[test]
fn nested_values_come_back() {
    let value = Value::KvList(vec![
        KeyValue::new(
            "a",
            Value::Array(vec![Value::Int(-1), Value::Empty, "x".into()]),
        ),
        KeyValue::new("a", Value::Bytes(vec![0, 255])),
        KeyValue::new("", f64::NEG_INFINITY),
    ]);
    let mut message = Vec::new();
    put_value(&mut message, &value);
    let read = any_value(&Reader::new(&message), &message).unwrap();
    assert_eq!(read.to_value(), value);
}

#[test]
fn lists_have_the_text_of_their_trees() {
    let lists = [
        Value::Array(vec![]),
        Value::KvList(vec![]),
        Value::Array(vec![
            Value::Int(-1),
            Value::Empty,
            "a \"b\" \u{1f600}\n".into(),
            Value::Bool(true),
            Value::Bytes(vec![0, 255]),
            Value::Array(vec![
                Value::Double(f64::NAN),
                Value::Double(1e300),
                Value::Double(-0.0),
            ]),
        ]),
        Value::KvList(vec![
            KeyValue::new("twice", 1i64),
            KeyValue::new("b", Value::KvList(vec![KeyValue::new("", Value::Empty)])),
            KeyValue::new("twice", 2.5),
        ]),
    ];
    for list in lists {
        let mut message = Vec::new();
        put_value(&mut message, &list);
        let read = any_value(&Reader::new(&message), &message).unwrap();
        assert_eq!(read.to_text(), list.to_text());
        assert_eq!(read.to_text(), list.to_json().to_string());
    }
}

#[test]
fn a_list_counts_what_it_takes_once_it_is_owned() {
    // A thousand empty members: two bytes each in the encoding.
    let list = [10, 0].repeat(1_000);
    let members = ValueRef::Array(&list).to_value();
    assert_eq!(members, Value::Array(vec![Value::Empty; 1_000]));
    let bytes = ValueRef::Array(&list).owned_bytes();
    let least = 1_000 * size_of::<Value>();
    assert!((least..=2 * least).contains(&bytes), "{bytes}");
    let pairs = ValueRef::KvList(&list).owned_bytes();
    let least = 1_000 * size_of::<KeyValue>();
    assert!((least..=2 * least).contains(&pairs), "{pairs}");
    // One in another counts both.
    let mut nested = Vec::new();
    put_bytes(&mut nested, 5, &list);
    let mut outer = Vec::new();
    put_bytes(&mut outer, 1, &nested);
    assert!(ValueRef::Array(&outer).owned_bytes() > bytes);
    let text = KeyValueRef {
        key: "key",
        value: ValueRef::Str("some text"),
    };
    assert_eq!(text.owned_bytes(), 32 + 32);
}

#[test]
fn hostile_bytes_are_errors() {
    let mut reader = Reader::new(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(reader.next().unwrap_err().reason, "truncated field");
    assert!(Reader::new(&[0xff; 11]).next().is_err());
    assert!(Reader::new(&[0x07]).next().is_err());
    let mut deep = Vec::new();
    for _ in 0..200 {
        let mut outer = Vec::new();
        put_bytes(&mut outer, 1, &deep);
        deep.clear();
        put_bytes(&mut deep, 5, &outer);
    }
    let error = any_value(&Reader::new(&deep), &deep).unwrap_err();
    assert_eq!(error.reason, "nested too deep");
}

#[test]
fn a_key_that_is_not_there_lies_somewhere() {
    let message = [];
    let pair = key_value(&Reader::new(&message), &message).unwrap();
    assert_eq!((pair.key, EMPTY), ("", ""));
    // Nothing is ever mapped at the lowest addresses, where empty slices of nothing lie.
    assert!(pair.key.as_ptr() as usize > 4_096);
}
