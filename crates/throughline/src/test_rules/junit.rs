//! How the tests went, in JUnit's XML: a suite for each file, a case for each test.

use std::fmt::Write;

/// A file of tests.
pub(super) struct Suite {
    pub file: String,
    pub cases: Vec<Case>,
}

/// A test; without failures it passed.
pub(super) struct Case {
    pub name: String,
    pub failures: Vec<String>,
}

/// The whole document.
pub(super) fn document(suites: &[Suite]) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for Suite { file, cases } in suites {
        let failed = cases.iter().filter(|case| !case.failures.is_empty());
        // Writing to a text cannot fail.
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\">",
            escaped(file),
            cases.len(),
            failed.count()
        );
        for case in cases {
            let name = escaped(&case.name);
            if case.failures.is_empty() {
                let _ = writeln!(xml, "    <testcase name=\"{name}\"/>");
                continue;
            }
            let _ = writeln!(xml, "    <testcase name=\"{name}\">");
            for failure in &case.failures {
                let text = escaped(failure);
                let message = escaped(failure.trim().lines().next().unwrap_or_default());
                let _ = writeln!(xml, "      <failure message=\"{message}\">{text}</failure>");
            }
            xml.push_str("    </testcase>\n");
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// What XML has other uses for, and without what it cannot hold at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            c if c < ' ' => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_test_says_is_well_formed() {
        let case = |name: &str, failures: &[&str]| Case {
            name: name.to_owned(),
            failures: failures.iter().map(|text| (*text).to_owned()).collect(),
        };
        let suite = Suite {
            file: "a&b.yml".to_owned(),
            cases: vec![
                case("1 < 2", &[]),
                case("\"x\"\u{1}", &["  got: {a}\n  <b>"]),
            ],
        };
        assert_eq!(
            document(&[suite]),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
             <testsuite name=\"a&amp;b.yml\" tests=\"2\" failures=\"1\" errors=\"0\">\n    \
             <testcase name=\"1 &lt; 2\"/>\n    \
             <testcase name=\"&quot;x&quot;\u{fffd}\">\n      \
             <failure message=\"got: {a}\">  got: {a}\n  &lt;b&gt;</failure>\n    \
             </testcase>\n  </testsuite>\n</testsuites>\n"
        );
    }
}
