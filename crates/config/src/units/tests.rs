//! What is a duration or a size and what is not.

use super::*;

#[test]
fn durations_read_as_prometheus_reads_them() {
    for (text, milliseconds) in [
        ("0", 0),
        ("0s", 0),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("500ms", 500),
        ("1s500ms", 1_500),
        ("1y2w3d4h5m6s7ms", 33_019_506_007),
    ] {
        let duration = parse_duration(text).unwrap();
        assert_eq!(duration.as_millis(), milliseconds, "{text}");
        assert_eq!(
            parse_duration(&format_duration(duration)).unwrap(),
            duration
        );
    }
    for text in [
        "", "5", "m", "5 m", "1m1h", "1m1m", "1.5h", "-1m", "5µs", "400y", "5m ",
    ] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn sizes_read_in_both_systems_and_print_back() {
    for (text, bytes) in [
        ("0", 0),
        ("4096", 4096),
        ("64MiB", 64 << 20),
        ("64 mib", 64 << 20),
        ("1.5GiB", 3 << 29),
        ("10MB", 10_000_000),
    ] {
        assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
    }
    for text in ["", "MiB", "1XiB", "-1", "1.2.3GB", "99999999999PiB", "ten"] {
        assert!(ByteSize::parse(text).is_err(), "{text}");
    }
    assert_eq!(ByteSize(64 << 20).to_string(), "64MiB");
    assert_eq!(ByteSize(1000).to_string(), "1000");
}
