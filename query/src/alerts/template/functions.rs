//! The functions of templates: Go's own and Prometheus'.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::exec::{Executor, Stop, bounded};
use super::format::printf;
use super::numbers::number;
use super::value::Value;

/// Calls a function by name.
pub(super) fn call(executor: &Executor<'_>, name: &str, args: Vec<Value>) -> Result<Value, Stop> {
    if name == "query" {
        let [query] = exactly(name, &args)?;
        return executor.query(query.string()?);
    }
    let result = match name {
        "externalURL" => Ok(Value::Str(executor.data.external_url.clone())),
        "pathPrefix" => Ok(Value::Str(path_prefix(&executor.data.external_url))),
        "now" => Ok(Value::Float(seconds(executor.data.at_unix_nano))),
        "graphLink" => link(name, &args, 0),
        "tableLink" => link(name, &args, 1),
        _ => builtin(name, &args)
            .or_else(|| text(name, &args))
            .or_else(|| number(name, &args))
            .or_else(|| series(name, &args))
            .unwrap_or_else(|| Err(format!("function {name:?} not defined"))),
    };
    result.map_err(|error| Stop::Error(format!("error calling {name}: {error}")))
}

/// Whether there is a function of this name.
pub(super) fn is_known(name: &str) -> bool {
    const OF_EXECUTION: [&str; 7] = [
        "query",
        "tmpl",
        "externalURL",
        "pathPrefix",
        "now",
        "graphLink",
        "tableLink",
    ];
    // The others say what they lack; a name that is none of theirs gives nothing.
    OF_EXECUTION.contains(&name)
        || builtin(name, &[]).is_some()
        || text(name, &[]).is_some()
        || number(name, &[]).is_some()
        || series(name, &[]).is_some()
}

pub(super) type Outcome = Result<Value, String>;

pub(super) fn exactly<'a, const N: usize>(
    name: &str,
    args: &'a [Value],
) -> Result<&'a [Value; N], String> {
    args.try_into().map_err(|_| {
        format!(
            "wrong number of args for {name}: want {N} got {}",
            args.len()
        )
    })
}

#[allow(clippy::cast_precision_loss)]
fn seconds(unix_nano: u64) -> f64 {
    unix_nano as f64 / 1e9
}

/// Functions of Go's text/template.
fn builtin(name: &str, args: &[Value]) -> Option<Outcome> {
    let plain = |args: &[Value]| {
        // `print` puts spaces between operands when neither is a string.
        let mut out = String::new();
        for (at, value) in args.iter().enumerate() {
            let text = |value: &Value| matches!(value, Value::Str(_));
            if at > 0 && !text(value) && !text(&args[at - 1]) {
                out.push(' ');
            }
            out.push_str(&value.text());
        }
        out
    };
    Some(match name {
        "print" => Ok(Value::Str(plain(args))),
        "println" => {
            let texts: Vec<String> = args.iter().map(Value::text).collect();
            Ok(Value::Str(texts.join(" ") + "\n"))
        }
        "printf" => match args.split_first() {
            Some((format, rest)) => format
                .string()
                .map(|format| Value::Str(printf(format, rest))),
            None => Err("wrong number of args for printf: want at least 1 got 0".into()),
        },
        "not" => exactly(name, args).map(|[value]| Value::Bool(!value.truth())),
        "and" => Ok(args
            .iter()
            .find(|value| !value.truth())
            .or(args.last())
            .cloned()
            .unwrap_or(Value::Nil)),
        "or" => Ok(args
            .iter()
            .find(|value| value.truth())
            .or(args.last())
            .cloned()
            .unwrap_or(Value::Nil)),
        "len" => exactly(name, args).and_then(|[value]| length(value)),
        "index" => index(args),
        "slice" => slice(args),
        "eq" => equal(args),
        "ne" => exactly(name, args).and_then(|[a, b]| {
            a.compare(b)
                .map(|order| Value::Bool(order != Ordering::Equal))
        }),
        "lt" => ordered(name, args, Ordering::is_lt),
        "le" => ordered(name, args, Ordering::is_le),
        "gt" => ordered(name, args, Ordering::is_gt),
        "ge" => ordered(name, args, Ordering::is_ge),
        "html" => Ok(Value::Str(html(&plain(args)))),
        "urlquery" => Ok(Value::Str(url_query(&plain(args)))),
        "js" => Ok(Value::Str(plain(args).escape_default().to_string())),
        _ => return None,
    })
}

fn length(value: &Value) -> Outcome {
    let length = match value {
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        other => return Err(format!("len of type {}", other.kind())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(args: &[Value]) -> Outcome {
    let (first, rest) = args.split_first().ok_or("wrong number of args for index")?;
    let mut value = first.clone();
    for key in rest {
        value = match (&value, key) {
            (Value::List(list), Value::Int(at)) => usize::try_from(*at)
                .ok()
                .and_then(|at| list.get(at).cloned())
                .ok_or_else(|| format!("index out of range: {at}"))?,
            (Value::Map(_), Value::Str(key)) => value.member(key)?,
            (Value::Nil, _) => return Err("index of untyped nil".into()),
            (other, key) => {
                return Err(format!("can't index {} with {}", other.kind(), key.kind()));
            }
        };
    }
    Ok(value)
}

/// A part of a text or list: `slice x`, `slice x FROM`, `slice x FROM TO`. Places in a text are
/// bytes, as in Go; what would cut a character in two is out of range.
fn slice(args: &[Value]) -> Outcome {
    let (whole, bounds) = args.split_first().ok_or("wrong number of args for slice")?;
    let length = match whole {
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", other.kind())),
    };
    let place = |bound: &Value| match bound {
        Value::Int(at) => usize::try_from(*at).map_err(|_| format!("index out of range: {at}")),
        other => Err(format!(
            "cannot index slice/array with type {}",
            other.kind()
        )),
    };
    let (from, to) = match bounds {
        [] => (0, length),
        [from] => (place(from)?, length),
        [from, to] => (place(from)?, place(to)?),
        more => return Err(format!("too many slice indexes: {}", more.len())),
    };
    let part = match whole {
        Value::Str(text) => text.get(from..to).map(|part| Value::Str(part.to_owned())),
        Value::List(list) => list.get(from..to).map(|part| Value::List(part.to_vec())),
        _ => None,
    };
    part.ok_or_else(|| format!("index out of range: {from}:{to}"))
}

fn equal(args: &[Value]) -> Outcome {
    let (first, rest) = args
        .split_first()
        .ok_or("missing argument for comparison")?;
    if rest.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in rest {
        if first.compare(other)? == Ordering::Equal {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn ordered(name: &str, args: &[Value], holds: fn(Ordering) -> bool) -> Outcome {
    let [a, b] = exactly(name, args)?;
    let nan = |value: &Value| matches!(value, Value::Float(float) if float.is_nan());
    if nan(a) || nan(b) {
        return Ok(Value::Bool(false));
    }
    a.compare(b).map(|order| Value::Bool(holds(order)))
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text as it stands in the query of an address.
pub(in crate::alerts) fn url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Functions over text.
fn text(name: &str, args: &[Value]) -> Option<Outcome> {
    let map = |change: fn(&str) -> String| {
        exactly(name, args).and_then(|[value]| value.string().map(|text| Value::Str(change(text))))
    };
    Some(match name {
        "title" => map(title),
        "toUpper" => map(str::to_uppercase),
        "toLower" => map(str::to_lowercase),
        "safeHtml" => map(str::to_owned),
        "urlQueryEscape" => map(url_query),
        "stripPort" => map(strip_port),
        "stripDomain" => map(strip_domain),
        "match" => exactly(name, args).and_then(|[pattern, value]| {
            Ok(Value::Bool(
                regex(pattern.string()?)?.is_match(value.string()?),
            ))
        }),
        "reReplaceAll" => exactly(name, args).and_then(|[pattern, replacement, value]| {
            let regex = regex(pattern.string()?)?;
            replace_all(&regex, replacement.string()?, value.string()?).map(Value::Str)
        }),
        _ => return None,
    })
}

fn regex(pattern: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| error.to_string())
}

/// Every match replaced, for as long as the text stays within what a value may have.
fn replace_all(regex: &regex::Regex, replacement: &str, text: &str) -> Result<String, String> {
    // Each reference stands for the whole match at most.
    let references = replacement.matches('$').count();
    let mut out = String::new();
    let mut copied = 0;
    for found in regex.captures_iter(text) {
        let whole = found.get_match();
        out.push_str(&text[copied..whole.start()]);
        let most = references.saturating_mul(whole.len());
        bounded(
            out.len()
                .saturating_add(replacement.len())
                .saturating_add(most),
        )?;
        found.expand(replacement, &mut out);
        copied = whole.end();
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .flat_map(|c| {
            let upper = start && c.is_lowercase();
            start = c.is_whitespace() || matches!(c, '-' | '.' | ',' | '/' | ':');
            let changed: Vec<char> = if upper {
                c.to_uppercase().collect()
            } else {
                vec![c]
            };
            changed
        })
        .collect()
}

fn strip_port(host: &str) -> String {
    if let Some(rest) = host.strip_prefix('[') {
        return match rest.split_once("]:") {
            Some((address, _)) => address.to_owned(),
            None => host.to_owned(),
        };
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name.to_owned(),
        _ => host.to_owned(),
    }
}

fn strip_domain(host: &str) -> String {
    let stripped = strip_port(host);
    let port = &host[host.len() - (host.len() - stripped.len()).min(host.len())..];
    if stripped.parse::<std::net::IpAddr>().is_ok() {
        return host.to_owned();
    }
    let first = stripped.split('.').next().unwrap_or(&stripped);
    if host.starts_with('[') {
        host.to_owned()
    } else {
        format!("{first}{port}")
    }
}

/// Functions over samples.
fn series(name: &str, args: &[Value]) -> Option<Outcome> {
    Some(match name {
        "first" => exactly(name, args).and_then(|[value]| match value {
            Value::List(list) => list
                .first()
                .cloned()
                .ok_or_else(|| "first() called on vector with no elements".into()),
            other => Err(format!("expected a vector, got {}", other.kind())),
        }),
        "label" => exactly(name, args).and_then(|[label, sample]| {
            let label = label.string()?;
            match sample {
                Value::Sample(sample) => Ok(Value::Str(
                    sample.labels.get(label).cloned().unwrap_or_default(),
                )),
                other => Err(format!("expected a sample, got {}", other.kind())),
            }
        }),
        "value" => exactly(name, args).and_then(|[sample]| sample.member("Value")),
        "strvalue" => exactly(name, args).and_then(|[sample]| match sample {
            Value::Sample(sample) => Ok(Value::Str(
                sample.labels.get("__value__").cloned().unwrap_or_default(),
            )),
            other => Err(format!("expected a sample, got {}", other.kind())),
        }),
        "sortByLabel" => exactly(name, args).and_then(|[label, list]| {
            let label = label.string()?;
            let Value::List(list) = list else {
                return Err(format!("expected a vector, got {}", list.kind()));
            };
            let mut sorted = list.clone();
            let key = |value: &Value| match value {
                Value::Sample(sample) => sample.labels.get(label).cloned().unwrap_or_default(),
                _ => String::new(),
            };
            sorted.sort_by_cached_key(key);
            Ok(Value::List(sorted))
        }),
        "args" => Ok(Value::Map(
            args.iter()
                .enumerate()
                .map(|(at, value)| (format!("arg{at}"), value.clone()))
                .collect::<BTreeMap<_, _>>(),
        )),
        _ => return None,
    })
}

/// The path of Prometheus' query page with this expression, to come after `externalURL`.
fn link(name: &str, args: &[Value], tab: u8) -> Outcome {
    let [expr] = exactly(name, args)?;
    Ok(Value::Str(format!(
        "/graph?g0.expr={}&g0.tab={tab}",
        url_query(expr.string()?)
    )))
}

fn path_prefix(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or_else(String::new, |at| {
        rest[at..].trim_end_matches('/').to_owned()
    })
}
