//! Values as Prometheus' HTTP API writes them: `{"resultType": .., "result": ..}`.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use crate::engine::{MatrixSeries, Point, SampleValue, Value, VectorSample};
use crate::format::api_value;
use crate::histogram::{FloatHistogram, Range};

/// Milliseconds as seconds; whole seconds without a fraction.
struct Seconds(i64);

impl Serialize for Seconds {
    #[allow(clippy::cast_precision_loss)]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 1000 == 0 {
            serializer.serialize_i64(self.0 / 1000)
        } else {
            serializer.serialize_f64(self.0 as f64 / 1000.0)
        }
    }
}

impl Value {
    /// The name of the type in the API.
    pub fn result_type(&self) -> &'static str {
        match self {
            Value::Scalar { .. } => "scalar",
            Value::String { .. } => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut data = serializer.serialize_struct("Value", 2)?;
        data.serialize_field("resultType", self.result_type())?;
        match self {
            Value::Scalar { time_ms, value } => {
                data.serialize_field("result", &(Seconds(*time_ms), api_value(*value)))?;
            }
            Value::String { time_ms, value } => {
                data.serialize_field("result", &(Seconds(*time_ms), value))?;
            }
            Value::Vector(samples) => data.serialize_field("result", samples)?,
            Value::Matrix(series) => data.serialize_field("result", series)?,
        }
        data.end()
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = Seconds(self.time_ms);
        match &self.value {
            SampleValue::Float(value) => (time, api_value(*value)).serialize(serializer),
            SampleValue::Histogram(histogram) => (time, &**histogram).serialize(serializer),
        }
    }
}

impl Serialize for VectorSample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key = match self.point.value {
            SampleValue::Float(_) => "value",
            SampleValue::Histogram(_) => "histogram",
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("metric", &self.labels)?;
        map.serialize_entry(key, &self.point)?;
        map.end()
    }
}

/// The points of one kind.
struct Points<'a>(&'a [Point], bool);

impl Points<'_> {
    fn iter(&self) -> impl Iterator<Item = &Point> {
        let histograms = self.1;
        let is_wanted =
            move |point: &&Point| matches!(point.value, SampleValue::Histogram(_)) == histograms;
        self.0.iter().filter(is_wanted)
    }
}

impl Serialize for Points<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Serialize for MatrixSeries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("metric", &self.labels)?;
        for (key, histograms) in [("values", false), ("histograms", true)] {
            let points = Points(&self.points, histograms);
            if points.iter().next().is_some() {
                map.serialize_entry(key, &points)?;
            }
        }
        map.end()
    }
}

impl Serialize for FloatHistogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("count", &api_value(self.count))?;
        map.serialize_entry("sum", &api_value(self.sum))?;
        let buckets = self.buckets();
        if !buckets.is_empty() {
            map.serialize_entry("buckets", &buckets)?;
        }
        map.end()
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let boundaries = match (self.lower_inclusive, self.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        };
        let mut seq = serializer.serialize_seq(Some(4))?;
        seq.serialize_element(&boundaries)?;
        for value in [self.lower, self.upper, self.count] {
            seq.serialize_element(&api_value(value))?;
        }
        seq.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Labels;

    #[test]
    fn values_have_the_shape_of_the_api() {
        let scalar = Value::Scalar {
            time_ms: 1_500,
            value: f64::NAN,
        };
        assert_eq!(
            serde_json::to_string(&scalar).unwrap(),
            r#"{"resultType":"scalar","result":[1.5,"NaN"]}"#
        );
        let histogram = crate::notation::parse_histogram("{{schema:0 sum:3 count:2 buckets:[2]}}");
        let point = |time_ms, value| Point { time_ms, value };
        let points = vec![
            point(1000, SampleValue::Float(1e-7)),
            point(2000, SampleValue::Histogram(histogram.unwrap().into())),
        ];
        let matrix = Value::Matrix(vec![MatrixSeries {
            labels: Labels::new([("a", "b")]),
            points,
        }]);
        assert_eq!(
            serde_json::to_string(&matrix).unwrap(),
            r#"{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"1e-07"]],"histograms":[[2,{"count":"2","sum":"3","buckets":[[0,"0.5","1","2"]]}]]}]}"#
        );
    }
}
