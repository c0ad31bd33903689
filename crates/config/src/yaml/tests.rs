//! Trees, places, and documents that mean harm.

use super::*;

fn good(text: &str) -> Node {
    let mut errors = Vec::new();
    let node = parse("f", text, &mut errors).unwrap();
    assert_eq!(errors, []);
    node
}

fn errors_of(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    parse("f", text, &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn scalars_keep_their_text_and_every_node_its_place() {
    let root = good("a: 1.10\nb:\n  - 'null'\n  - ~\n  - größe: x\n");
    assert_eq!(root.at("a").unwrap().as_text(), Some("1.10"));
    let Content::List(items) = &root.at("b").unwrap().content else {
        panic!("a list");
    };
    assert_eq!(items[0].as_text(), Some("null"));
    assert!(items[1].is_null());
    let value = items[2].get("größe").unwrap();
    assert_eq!(
        value.place,
        Place {
            line: 5,
            column: 12
        }
    );
}

#[test]
fn duplicate_keys_are_reported_and_the_rest_is_still_read() {
    assert_eq!(
        errors_of("a: 1\nb: {c: 1, c: 2}\na: 3\n"),
        [
            "f:2:11: duplicate key `c` (first on line 2)",
            "f:3:1: duplicate key `a` (first on line 1)"
        ]
    );
}

#[test]
fn aliases_and_merge_keys_are_followed() {
    let root = good("base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\n");
    let own = root.at("own").unwrap();
    assert_eq!(own.get("x").unwrap().as_text(), Some("1"));
    assert_eq!(own.get("y").unwrap().as_text(), Some("3"));
}

#[test]
fn syntax_errors_have_a_place() {
    let errors = errors_of("a: [1, 2\nb: 3\n");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("f:"), "{errors:?}");
    assert!(errors[0].contains("invalid YAML"), "{errors:?}");
    assert!(errors_of("a: 1\n--- \nb: 2\n")[0].contains("only one YAML document"));
    assert!(errors_of("a: !mine 1\n")[0].contains("unknown tag"));
}

#[test]
fn hostile_documents_end_quickly() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let part = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            part.trim_end_matches(", ")
        ));
    }
    assert!(errors_of(&bomb)[0].contains("aliases expand to more than"));
    let deep = "[".repeat(10_000);
    assert_eq!(errors_of(&deep).len(), 1);
    assert_eq!(errors_of(&"{a: ".repeat(5_000)).len(), 1);
}
