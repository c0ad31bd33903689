//! Lifts correlation values out of a log line's text into attributes.
//!
//! The collector finds them too; doing it here pays when the keys are particular to this node.

use model::correlation::CorrelationKeys;
use model::{KeyValue, Value};

use crate::encode::Log;

/// Adds what `keys` finds in a text body as attributes, unless they are there already.
pub fn lift(keys: &CorrelationKeys, log: &mut Log) {
    let Value::Str(body) = &log.body else {
        return;
    };
    let attributes = &mut log.attributes;
    keys.text(body, &mut |key, value| {
        if !attributes.iter().any(|known| known.key == key) {
            attributes.push(KeyValue::new(key, value));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_text_become_attributes_once() {
        let mut log = Log {
            body: "GET /pay x-request-id: r-17 x-request-id: r-18".into(),
            ..Log::default()
        };
        lift(&CorrelationKeys::default(), &mut log);
        assert_eq!(log.attributes, [KeyValue::new("x-request-id", "r-17")]);
    }
}
