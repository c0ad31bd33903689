//! YAML as a tree of nodes that know where they stand.
//!
//! Scalars keep their text, so that whoever reads a node decides what it is: a version `1.10`
//! stays `1.10` where text is wanted. Duplicate keys are errors, aliases and merge keys (`<<`)
//! are followed, depth and size are bounded.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::ConfigError;

/// Nesting beyond this is refused.
const DEPTH_MAX: usize = 64;
/// Nodes that aliases may add to a document, so that nested aliases cannot explode.
const ALIAS_NODES_MAX: usize = 100_000;

/// A place in a file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A value in the tree.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Name of the file or variable.
    pub(crate) file: std::rc::Rc<str>,
    pub(crate) place: Place,
    /// First and one-after-last character in the source.
    pub(crate) span: (usize, usize),
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Null,
    Scalar { text: String, style: Style },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    Block,
}

impl Node {
    /// A node that no file has, for defaults and variables.
    pub(crate) fn text(file: &str, text: &str) -> Self {
        Self {
            file: file.into(),
            place: Place { line: 1, column: 1 },
            span: (0, text.chars().count()),
            content: Content::Scalar {
                text: text.to_owned(),
                style: Style::Plain,
            },
        }
    }

    /// A map without entries.
    pub(crate) fn empty_map(file: &str) -> Self {
        Self {
            content: Content::Map(Vec::new()),
            ..Self::text(file, "")
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }

    pub(crate) fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.content {
            Content::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The elements of a list; of anything else none.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// The value of a key of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        let entries = self.as_map()?;
        entries
            .iter()
            .find(|(name, _)| name.as_text() == Some(key))
            .map(|(_, value)| value)
    }

    /// The value at a dotted path of keys.
    pub(crate) fn at(&self, path: &str) -> Option<&Node> {
        path.split('.').try_fold(self, |node, key| node.get(key))
    }

    /// Puts a value at a dotted path, creating the maps on the way and replacing what is there.
    pub(crate) fn set(&mut self, path: &str, value: Node) {
        let (key, rest) = path
            .split_once('.')
            .map_or((path, None), |(k, r)| (k, Some(r)));
        if self.as_map().is_none() {
            self.content = Content::Map(Vec::new());
        }
        let Content::Map(entries) = &mut self.content else {
            return;
        };
        let found = entries
            .iter()
            .position(|(name, _)| name.as_text() == Some(key));
        let index = found.unwrap_or_else(|| {
            entries.push((Node::text(&value.file, key), Node::empty_map(&value.file)));
            entries.len() - 1
        });
        match rest {
            Some(rest) => entries[index].1.set(rest, value),
            None => entries[index].1 = value,
        }
    }

    /// What the node is, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.content {
            Content::Null => "nothing".to_owned(),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a map".to_owned(),
            Content::Scalar { text, .. } => {
                let short: String = text.chars().take(40).collect();
                let dots = if short.len() < text.len() { "..." } else { "" };
                format!("`{}{dots}`", short.replace('\n', "\\n"))
            }
        }
    }

    pub(crate) fn error(&self, message: impl Into<String>, hint: Option<String>) -> ConfigError {
        ConfigError {
            file: self.file.to_string(),
            line: self.place.line,
            column: self.place.column,
            message: message.into(),
            hint,
        }
    }
}

/// Reads one document. A syntax error ends the reading; duplicate keys and the like are
/// collected and the tree is still given, so that the errors in the rest show up too.
pub(crate) fn parse(file: &str, text: &str, errors: &mut Vec<ConfigError>) -> Option<Node> {
    let mut loader = Loader {
        file: file.into(),
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        alias_nodes: 0,
        errors,
    };
    match loader.document() {
        Ok(node) => Some(node),
        Err(error) => {
            errors.push(error);
            None
        }
    }
}

struct Loader<'a> {
    file: std::rc::Rc<str>,
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    alias_nodes: usize,
    errors: &'a mut Vec<ConfigError>,
}

fn place(marker: &Marker) -> Place {
    Place {
        line: u32::try_from(marker.line()).unwrap_or(u32::MAX),
        column: u32::try_from(marker.col() + 1).unwrap_or(u32::MAX),
    }
}

impl<'a> Loader<'a> {
    fn fail(&self, marker: &Marker, message: impl Into<String>) -> ConfigError {
        let place = place(marker);
        ConfigError {
            file: self.file.to_string(),
            line: place.line,
            column: place.column,
            message: message.into(),
            hint: None,
        }
    }

    fn event(&mut self) -> Result<(Event<'a>, Span), ConfigError> {
        let syntax = |loader: &Self, error: &ScanError| {
            loader.fail(error.marker(), format!("invalid YAML: {}", error.info()))
        };
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(syntax(self, &error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Node, ConfigError> {
        let mut root = None;
        loop {
            let (event, span) = self.event()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::Nothing => {}
                event if root.is_none() => root = Some(self.node(event, span, 0)?),
                _ => return Err(self.fail(&span.start, "only one YAML document is read per file")),
            }
        }
        Ok(root.unwrap_or_else(|| Node {
            content: Content::Null,
            ..Node::text(&self.file, "")
        }))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, ConfigError> {
        if depth > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(self.fail(&span.start, message));
        }
        let (anchor, content) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = self.check_tag(tag.as_deref(), &span);
                (anchor, scalar(text.into_owned(), style, is_text))
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &span);
                (anchor, Content::List(self.list(depth)?))
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &span);
                (anchor, Content::Map(self.map(depth)?))
            }
            Event::Alias(anchor) => return self.alias(anchor, &span),
            _ => return Err(self.fail(&span.start, "invalid YAML: a value is missing")),
        };
        let node = Node {
            file: self.file.clone(),
            place: place(&span.start),
            span: (span.start.index(), span.end.index()),
            content,
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// True if the tag says that the scalar is text. Tags of our own would mean something to
    /// their author, so they are refused.
    fn check_tag(&mut self, tag: Option<&Tag>, span: &Span) -> bool {
        let Some(tag) = tag else {
            return false;
        };
        if !tag.is_yaml_core_schema() && !tag.suffix.is_empty() {
            let message = format!("unknown tag `{}{}`", tag.handle, tag.suffix);
            let error = self.fail(&span.start, message);
            self.errors.push(error);
        }
        tag.suffix == "str"
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<Node, ConfigError> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(self.fail(
                &span.start,
                "alias of an anchor that is not defined before it",
            ));
        };
        self.alias_nodes += count(node);
        if self.alias_nodes > ALIAS_NODES_MAX {
            let message = format!("aliases expand to more than {ALIAS_NODES_MAX} values");
            return Err(self.fail(&span.start, message));
        }
        Ok(node.clone())
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, ConfigError> {
        let mut items = Vec::new();
        loop {
            match self.event()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, ConfigError> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.event()?;
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.event()?;
            let value = self.node(event, span, depth + 1)?;
            let Some(name) = key.as_text() else {
                let message = format!("expected a key, found {}", key.describe());
                self.errors.push(key.error(message, None));
                continue;
            };
            if name == "<<"
                && !matches!(
                    key.content,
                    Content::Scalar {
                        style: Style::Quoted,
                        ..
                    }
                )
            {
                merged.push(value);
                continue;
            }
            if let Some((first, _)) = entries.iter().find(|(k, _)| k.as_text() == Some(name)) {
                let message = format!("duplicate key `{name}`");
                let hint = format!("first on line {}", first.place.line);
                self.errors.push(key.error(message, Some(hint)));
                continue;
            }
            entries.push((key, value));
        }
        for value in merged {
            self.merge(&mut entries, value);
        }
        Ok(entries)
    }

    /// Adds the entries of a merge key that the map does not have itself.
    fn merge(&mut self, entries: &mut Vec<(Node, Node)>, value: Node) {
        match value.content {
            Content::Map(more) => {
                for (key, value) in more {
                    if !entries
                        .iter()
                        .any(|(own, _)| own.as_text() == key.as_text())
                    {
                        entries.push((key, value));
                    }
                }
            }
            Content::List(maps) => maps.into_iter().for_each(|map| self.merge(entries, map)),
            _ => {
                let message = format!("expected a map to merge, found {}", value.describe());
                self.errors.push(value.error(message, None));
            }
        }
    }
}

fn scalar(text: String, style: ScalarStyle, is_text: bool) -> Content {
    let style = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    };
    let null = matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
    if style == Style::Plain && null && !is_text {
        return Content::Null;
    }
    Content::Scalar { text, style }
}

fn count(node: &Node) -> usize {
    1 + match &node.content {
        Content::List(items) => items.iter().map(count).sum(),
        Content::Map(entries) => entries.iter().map(|(k, v)| count(k) + count(v)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
