//! Attribute values as the text of labels, as OpenTelemetry's collector and Prometheus write them:
//! bytes in base64, lists and maps as compact JSON with sorted keys.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::value::Value;

/// The value of the label that an attribute becomes.
pub fn label_text(value: &Value) -> String {
    match value {
        Value::Empty => String::new(),
        Value::Str(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Double(double) => number(*double),
        Value::Bytes(bytes) => BASE64_STANDARD.encode(bytes),
        Value::Array(_) | Value::KvList(_) => {
            let mut json = String::new();
            put_json(&mut json, value);
            // Of these the escaped forms are the same to JSON, and only strings have them.
            json.replace('<', "\\u003c")
                .replace('>', "\\u003e")
                .replace('&', "\\u0026")
                .replace('\u{2028}', "\\u2028")
                .replace('\u{2029}', "\\u2029")
        }
    }
}

/// The shortest decimal number, with an exponent where it is very small or very large.
fn number(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if number == 0.0 || (1e-6..1e21).contains(&number.abs()) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

/// As deep as the value is, which its decoder bounds.
fn put_json(out: &mut String, value: &Value) {
    match value {
        Value::Empty => out.push_str("null"),
        Value::Bool(_) | Value::Int(_) => out.push_str(&label_text(value)),
        Value::Double(double) if double.is_finite() => out.push_str(&number(*double)),
        Value::Str(text) => put_string(out, text),
        Value::Double(_) | Value::Bytes(_) => put_string(out, &label_text(value)),
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                put_json(out, value);
            }
            out.push(']');
        }
        Value::KvList(pairs) => {
            // Of two that have the same key the last one counts.
            let sorted: BTreeMap<&str, &Value> = pairs
                .iter()
                .map(|pair| (pair.key.as_str(), &pair.value))
                .collect();
            out.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                put_string(out, key);
                out.push(':');
                put_json(out, value);
            }
            out.push('}');
        }
    }
}

fn put_string(out: &mut String, text: &str) {
    // Text always has a form in JSON.
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::KeyValue;

    #[test]
    fn values_are_written_as_the_collector_writes_them() {
        let list = Value::Array(vec![
            Value::Int(1),
            Value::Double(2.0),
            Value::Double(0.5),
            Value::Str("a<b>&\"\n".into()),
            Value::Bytes(vec![0xff]),
            Value::Bool(true),
            Value::Empty,
        ]);
        let map = Value::KvList(vec![
            KeyValue::new("z", "old"),
            KeyValue::new("b", Value::Array(Vec::new())),
            KeyValue::new("a", Value::KvList(Vec::new())),
            KeyValue::new("z", "new"),
        ]);
        let cases = [
            (Value::Bytes(b"hello".to_vec()), "aGVsbG8="),
            (Value::Bytes(Vec::new()), ""),
            (
                list,
                r#"[1,2,0.5,"a\u003cb\u003e\u0026\"\n","/w==",true,null]"#,
            ),
            (map, r#"{"a":{},"b":[],"z":"new"}"#),
            (Value::Double(3.0), "3"),
            (Value::Double(-0.25), "-0.25"),
            (Value::Double(1e21), "1e+21"),
            (Value::Double(1.5e-7), "1.5e-7"),
            (Value::Double(f64::NEG_INFINITY), "-Inf"),
            (Value::Int(-7), "-7"),
            (Value::Bool(false), "false"),
            (Value::Empty, ""),
        ];
        for (value, want) in cases {
            assert_eq!(label_text(&value), want, "{value:?}");
        }
    }
}
