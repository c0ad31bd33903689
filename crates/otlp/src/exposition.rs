//! What a process counts, in the Prometheus text format.

use std::fmt::Write;

use crate::server::Receiver;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Metric name; one that ends in `_total` only grows.
    pub name: String,
    /// Label names and values.
    pub labels: Vec<(String, String)>,
    /// Value.
    pub value: f64,
}

impl Sample {
    /// A sample of these.
    pub fn new(name: &str, labels: &[(&str, &str)], value: f64) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            name: name.to_owned(),
            labels: labels.iter().map(owned).collect(),
            value,
        }
    }
}

/// What the receivers count.
#[allow(clippy::cast_precision_loss)]
pub fn receiver_metrics(receiver: &Receiver) -> Vec<Sample> {
    let mut samples = Vec::new();
    for count in receiver.counters().snapshot() {
        let labels = [
            ("signal", count.signal.name()),
            ("transport", count.transport.name()),
            ("outcome", count.outcome.name()),
        ];
        let requests = count.requests as f64;
        samples.push(Sample::new(
            "throughline_receiver_requests_total",
            &labels,
            requests,
        ));
        let bytes = count.bytes as f64;
        samples.push(Sample::new(
            "throughline_receiver_request_bytes_total",
            &labels,
            bytes,
        ));
    }
    let in_flight = receiver.in_flight_bytes() as f64;
    samples.push(Sample::new(
        "throughline_receiver_in_flight_bytes",
        &[],
        in_flight,
    ));
    samples
}

/// The samples as text, each family once with its type.
pub fn render(mut samples: Vec<Sample>) -> String {
    samples.sort_by(|left, right| left.name.cmp(&right.name));
    let mut text = String::new();
    let mut family = "";
    for sample in &samples {
        if sample.name != family {
            family = &sample.name;
            let kind = if family.ends_with("_total") {
                "counter"
            } else {
                "gauge"
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# TYPE {family} {kind}");
        }
        text.push_str(&sample.name);
        for (index, (name, value)) in sample.labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(text, "{open}{name}=\"{}\"", escape(value));
        }
        if !sample.labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {}", sample.value);
    }
    text
}

/// The value of a label as it stands between quotes.
pub fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_together_and_values_escaped() {
        let text = render(vec![
            Sample::new("b_total", &[("x", "1\"\n"), ("y", "\\")], 2.0),
            Sample::new("a", &[], 0.5),
            Sample::new("b_total", &[], 1e21),
        ]);
        assert_eq!(
            text,
            "# TYPE a gauge\na 0.5\n# TYPE b_total counter\nb_total{x=\"1\\\"\\n\",y=\"\\\\\"} 2\n\
             b_total 1000000000000000000000\n"
        );
    }
}
