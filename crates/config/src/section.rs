//! How settings are declared: a [`section!`] is a struct whose every field is one line with a
//! type, a default in YAML, an optional range, and its documentation. From that line come the
//! reading, the checking, the default and the reference of keys.

use std::path::PathBuf;

use crate::ConfigError;
use crate::error::suggest;
use crate::yaml::Node;

/// One key of the configuration file, for its reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Dotted path; `[]` stands for each element of a list.
    pub path: String,
    /// What is written there, in words.
    pub kind: String,
    /// In YAML; `None` if the key must be given.
    pub default: Option<&'static str>,
    /// Smallest and largest value allowed.
    pub range: Option<(&'static str, &'static str)>,
    pub doc: &'static str,
}

/// What readers of values share.
pub(crate) struct Context<'a> {
    pub(crate) errors: &'a mut Vec<ConfigError>,
    /// Relative paths start here.
    pub(crate) base_dir: PathBuf,
}

impl Context<'_> {
    pub(crate) fn error(&mut self, node: &Node, message: String, hint: Option<String>) {
        self.errors.push(node.error(message, hint));
    }

    /// "expected ..., found ...".
    pub(crate) fn expected(&mut self, node: &Node, kind: &str, hint: Option<String>) {
        let message = format!("expected {kind}, found {}", node.describe());
        self.error(node, message, hint);
    }
}

/// A type that a key may have.
pub(crate) trait Value: Sized {
    /// In words, with an article: "a duration".
    const KIND: &'static str;

    /// The same, with what a list is of.
    fn kind() -> String {
        Self::KIND.to_owned()
    }

    /// Reads the node, or adds errors and gives nothing.
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self>;

    /// The keys below this one.
    fn keys(_prefix: &str, _out: &mut Vec<Key>) {}

    /// Whether the value is made of keys of its own.
    const IS_SECTION: bool = false;

    /// For ranges; values without an order are never compared.
    fn is_less(&self, _other: &Self) -> bool {
        false
    }
}

/// Reads a value that is part of the program: defaults and the ends of ranges.
pub(crate) fn built_in<T: Value>(text: &str) -> Option<T> {
    let mut errors = Vec::new();
    let node = crate::yaml::parse("default", text, &mut errors)?;
    let mut cx = Context {
        errors: &mut errors,
        base_dir: PathBuf::new(),
    };
    T::read(&node, &mut cx)
}

/// Reads one field of a section and holds it to its range.
pub(crate) fn read_field<T: Value>(
    node: &Node,
    range: Option<(&'static str, &'static str)>,
    cx: &mut Context<'_>,
) -> Option<T> {
    let value = T::read(node, cx)?;
    if let Some((least, most)) = range {
        let below = built_in::<T>(least).is_some_and(|least| value.is_less(&least));
        let above = built_in::<T>(most).is_some_and(|most| most.is_less(&value));
        if below || above {
            let kind = T::KIND;
            cx.expected(node, &format!("{kind} from {least} to {most}"), None);
            return None;
        }
    }
    Some(value)
}

/// Complains about everything in a map that is not one of the known keys.
pub(crate) fn refuse_unknown(node: &Node, known: &[&str], cx: &mut Context<'_>) {
    for (key, _) in node.as_map().unwrap_or_default() {
        let name = key.as_text().unwrap_or_default();
        if !known.contains(&name) {
            let hint = suggest(name, known.iter().copied());
            cx.error(key, format!("unknown key `{name}`"), hint);
        }
    }
}

/// A field's key: fields named like a keyword of Rust are written `r#name`.
pub(crate) fn plain(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// Joins a key to the path of its section.
pub(crate) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() {
        key.to_owned()
    } else {
        format!("{prefix}.{key}")
    }
}

/// The default text of a field, or nothing where the key must be given.
macro_rules! default_text {
    (required) => {
        None
    };
    ($text:literal) => {
        Some($text)
    };
}

/// Declares sections. A field reads
/// `/// Documentation.` `name: Type = "default in YAML", "least" to "most";` where the range
/// may be left out and the default may be `required`.
macro_rules! section {
    ($(
        $(#[doc = $section_doc:literal])+
        pub struct $section:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $default:tt $(, $least:literal to $most:literal)?;
            )+
        }
    )+) => {$(
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug)]
        pub struct $section {
            $(
                $(#[doc = $doc])+
                pub $field: $type,
            )+
        }

        impl $crate::section::Value for $section {
            const KIND: &'static str = "a map";
            const IS_SECTION: bool = true;

            fn read(
                node: &$crate::yaml::Node,
                cx: &mut $crate::section::Context<'_>,
            ) -> Option<Self> {
                use $crate::section::{built_in, read_field, refuse_unknown};
                if node.as_map().is_none() && !node.is_null() {
                    cx.expected(node, Self::KIND, None);
                    return None;
                }
                refuse_unknown(node, &[$($crate::section::plain(stringify!($field))),+], cx);
                $(
                    #[allow(unused_mut, unused_assignments)]
                    let mut range = None;
                    $(range = Some(($least, $most));)?
                    let default: Option<&'static str> =
                        $crate::section::default_text!($default);
                    let $field: Option<$type> = match (node.get($crate::section::plain(stringify!($field))), default) {
                        (Some(value), Some(_)) if value.is_null() && !<$type>::IS_SECTION => {
                            built_in::<$type>(default.unwrap_or_default())
                        }
                        (Some(value), _) => read_field::<$type>(value, range, cx),
                        (None, Some(default)) => built_in::<$type>(default),
                        (None, None) => {
                            let name = $crate::section::plain(stringify!($field));
                            cx.error(node, format!("`{name}` is missing"), None);
                            None
                        }
                    };
                )+
                Some(Self { $($field: $field?),+ })
            }

            fn keys(prefix: &str, out: &mut Vec<$crate::section::Key>) {
                $(
                    let path = $crate::section::join(prefix, $crate::section::plain(stringify!($field)));
                    $crate::section::describe::<$type>(
                        path,
                        $crate::section::default_text!($default),
                        [$($least, $most)?].as_slice(),
                        concat!($($doc),+).trim(),
                        out,
                    );
                )+
            }
        }
    )+};
}

/// Declares an enum whose values are words.
macro_rules! choice {
    ($(
        $(#[doc = $choice_doc:literal])+
        pub enum $choice:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+
        }
    )+) => {$(
        $(#[doc = $choice_doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $choice {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $choice {
            /// The word in the configuration file.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl $crate::section::Value for $choice {
            const KIND: &'static str = concat!("one of", $(" `", $word, "`"),+);

            fn read(
                node: &$crate::yaml::Node,
                cx: &mut $crate::section::Context<'_>,
            ) -> Option<Self> {
                match node.as_text() {
                    $(Some($word) => Some(Self::$variant),)+
                    other => {
                        let words = [$($word),+];
                        let near = other.and_then(|word| $crate::error::nearest(word, words));
                        let hint = near.map(|word| format!("did you mean `{word}`?"));
                        cx.expected(node, Self::KIND, hint);
                        None
                    }
                }
            }
        }
    )+};
}

pub(crate) use {choice, default_text, section};

/// Adds a key, or the keys of the section that it stands for, to the reference.
pub(crate) fn describe<T: Value>(
    path: String,
    default: Option<&'static str>,
    range: &[&'static str],
    doc: &'static str,
    out: &mut Vec<Key>,
) {
    if !T::IS_SECTION {
        let range = match range {
            [least, most] => Some((*least, *most)),
            _ => None,
        };
        out.push(Key {
            path: path.clone(),
            kind: T::kind(),
            default,
            range,
            doc,
        });
    }
    T::keys(&path, out);
}
