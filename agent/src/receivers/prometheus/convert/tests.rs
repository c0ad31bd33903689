use testkit::exposition::{Bucket, Histogram, Metric, Span, answer, family, kind};

use super::super::protocols::Format;
use super::super::tests::Scraped;
use super::*;

const CONVERT: &str = "convert_classic_histograms_to_nhcb: true";

const TEXT: &str = "# TYPE h histogram\nh_bucket{a=\"1\",le=\"2\"} 5\nh_bucket{a=\"1\",le=\"0.5\"} 2\n\
                    h_bucket{a=\"1\",le=\"+Inf\"} 6\nh_sum{a=\"1\"} 7.5\nh_count{a=\"1\"} 6\n\
                    h_bucket{a=\"2\",le=\"1\"} 0.5\nh_count{a=\"2\"} 1.5\n# TYPE g gauge\ng 3\n";

fn scraped(lines: &str, text: &str) -> Vec<String> {
    Scraped::new(lines).take(text).unwrap().0
}

#[test]
fn classic_series_become_one_histogram() {
    let first = "h{a=1,instance=h:1,job=j} native [(0, 2.0), (1, 3.0), (2, 1.0)] @1000";
    let second = "h{a=2,instance=h:1,job=j} native [(0, 0.5), (1, 1.0)] @1000";
    let gauge = "g{instance=h:1,job=j} 3 @1000";
    assert_eq!(scraped(CONVERT, TEXT), [gauge, first, second]);
    let both = format!("{CONVERT}\nalways_scrape_classic_histograms: true");
    let found = scraped(&both, TEXT);
    assert_eq!(found.len(), 3 + 7, "{found:?}");
    assert_eq!(scraped("honor_labels: false", TEXT).len(), 1 + 7);
    // The last one of an answer, and the start and the exemplars that its series have.
    let open = "# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {a=\"b\"} 0.5 2\nh_bucket{le=\"+Inf\"} 1 # {} 5\n\
                h_created 3\n# EOF\n";
    let found = scraped(CONVERT, open);
    let whole =
        "h{instance=h:1,job=j} native [(0, 1.0), (1, 0.0)] @1000 since 3000000000 # Some(0.5)";
    assert!(found.contains(&whole.to_owned()), "{found:?}");
}

#[test]
fn a_histogram_that_was_put_together_is_one_sample() {
    let both = format!("{CONVERT}\nalways_scrape_classic_histograms: true");
    for (lines, expected) in [
        (CONVERT, 3),
        (both.as_str(), 3 + 7),
        ("honor_labels: false", 1 + 7),
    ] {
        let (_, counts) = Scraped::new(lines).take(TEXT).unwrap();
        assert_eq!(
            (counts.scraped, counts.kept),
            (expected, expected),
            "{lines}"
        );
    }
}

#[test]
fn counts_that_fall_are_left_out_and_counted() {
    for text in [
        "# TYPE h histogram\nh_bucket{le=\"1\"} 5\nh_bucket{le=\"2\"} 4\nh_count 6\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 5\nh_count 4\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} NaN\nh_count 4\n",
        "# TYPE h histogram\nh_sum 5\n",
    ] {
        let (lines, counts) = Scraped::new(CONVERT).take(text).unwrap();
        assert_eq!((lines.len(), counts.malformed), (0, 1), "{text}");
        assert_eq!(counts.scraped, 0, "{text}");
    }
    let many: String = (0..=BUCKETS_MAX)
        .map(|bound| format!("h_bucket{{le=\"{bound}\"}} 1\n"))
        .collect();
    let text = format!("# TYPE h histogram\n{many}h_count 1\n");
    let (lines, counts) = Scraped::new(CONVERT).take(&text).unwrap();
    assert_eq!((lines.len(), counts.malformed), (0, 1));
}

#[test]
fn native_histograms_stay_what_they_are() {
    let metric = Metric {
        histogram: Some(Histogram {
            count: 3,
            buckets: vec![Bucket {
                cumulative_count: 3,
                upper_bound: 1.0,
                ..Bucket::default()
            }],
            positive_spans: vec![Span {
                offset: 4,
                length: 1,
            }],
            positive_deltas: vec![3],
            ..Histogram::default()
        }),
        ..Metric::default()
    };
    let body = answer(&[family("h", kind::HISTOGRAM, metric)]);
    let scraped = |more: &str| {
        let mut scraped = Scraped::new(&format!("{CONVERT}\n{more}"));
        scraped
            .take_body(&body, Format::Protobuf, usize::MAX)
            .unwrap()
            .0
    };
    let native = "h{instance=h:1,job=j} native [(4, 3.0)] @1000".to_owned();
    assert_eq!(
        scraped("scrape_native_histograms: true"),
        std::slice::from_ref(&native)
    );
    let both = "scrape_native_histograms: true\nalways_scrape_classic_histograms: true";
    let found = scraped(both);
    assert!(found.contains(&native) && found.len() == 5, "{found:?}");
    // Without the native one it has custom bounds.
    let custom = "h{instance=h:1,job=j} native [(0, 3.0), (1, 0.0)] @1000";
    assert_eq!(scraped("honor_labels: false"), [custom]);
}
