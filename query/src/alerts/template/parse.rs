//! Go's text/template grammar, as far as rules use it.

mod lex;

use std::collections::HashMap;

use lex::{Piece, Token, pieces};

/// How deep blocks and parentheses may nest.
const DEPTH_MAX: usize = 50;

/// A parsed template with the templates that it defines.
#[derive(Debug, Clone, Default)]
pub(super) struct Template {
    pub(super) body: Vec<Node>,
    pub(super) defined: HashMap<String, Vec<Node>>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    /// Prints the pipeline's value unless it sets variables.
    Action(Pipeline),
    If {
        arms: Vec<(Pipeline, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    With {
        pipeline: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        pipeline: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Template {
        name: String,
        pipeline: Option<Pipeline>,
    },
    Break,
    Continue,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Pipeline {
    /// Variables that get the value: one, or index and element of a range.
    pub(super) variables: Vec<String>,
    /// Whether they are new (`:=`) or set (`=`).
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    /// A function by name.
    Function(String),
    Variable(String),
    Group(Box<Pipeline>),
    /// Members of an operand.
    Field(Box<Operand>, Vec<String>),
}

/// Parses a template.
pub(super) fn parse(text: &str) -> Result<Template, String> {
    let mut parser = Parser {
        pieces: pieces(text)?,
        at: 0,
        template: Template::default(),
    };
    let (body, end) = parser.block(0)?;
    if let End::Keyword(word) = end {
        return Err(format!("unexpected {{{{{word}}}}}"));
    }
    parser.template.body = body;
    Ok(parser.template)
}

/// How a block ended.
enum End {
    Input,
    /// `end` or `else`; the rest of the action is still to be read.
    Keyword(&'static str),
}

struct Parser {
    pieces: Vec<Piece>,
    at: usize,
    template: Template,
}

struct Tokens {
    list: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    /// Reads nodes up to the end of the block. At `else` and `end` the parser stands on that
    /// action.
    fn block(&mut self, depth: usize) -> Result<(Vec<Node>, End), String> {
        if depth > DEPTH_MAX {
            return Err(format!("blocks nest deeper than {DEPTH_MAX}"));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.at).cloned() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    self.at += 1;
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let keyword = match tokens.first() {
                Some(Token::Word(word)) => word.clone(),
                _ => String::new(),
            };
            match keyword.as_str() {
                "end" => return Ok((nodes, End::Keyword("end"))),
                "else" => return Ok((nodes, End::Keyword("else"))),
                _ => self.at += 1,
            }
            let mut tokens = Tokens {
                list: tokens.into_iter().peekable(),
            };
            if let Some(node) = self.node(&keyword, &mut tokens, depth)? {
                nodes.push(node);
            }
        }
        Ok((nodes, End::Input))
    }

    fn node(
        &mut self,
        keyword: &str,
        tokens: &mut Tokens,
        depth: usize,
    ) -> Result<Option<Node>, String> {
        if matches!(
            keyword,
            "if" | "with" | "range" | "define" | "template" | "block" | "break" | "continue"
        ) {
            tokens.list.next();
        }
        Ok(Some(match keyword {
            "if" => self.conditional(tokens.whole_pipeline(0)?, depth)?,
            "with" => {
                let pipeline = tokens.whole_pipeline(0)?;
                let (body, otherwise) = self.body(depth)?;
                Node::With {
                    pipeline,
                    body,
                    otherwise,
                }
            }
            "range" => {
                let pipeline = tokens.whole_pipeline(0)?;
                let (body, otherwise) = self.body(depth)?;
                Node::Range {
                    pipeline,
                    body,
                    otherwise,
                }
            }
            "break" => Node::Break,
            "continue" => Node::Continue,
            "define" => {
                let name = tokens.name()?;
                let (body, _) = self.body(depth)?;
                self.template.defined.insert(name, body);
                return Ok(None);
            }
            "template" => {
                let name = tokens.name()?;
                let pipeline = tokens.rest(0)?;
                Node::Template { name, pipeline }
            }
            "block" => {
                let name = tokens.name()?;
                let pipeline = Some(tokens.whole_pipeline(0)?);
                let (body, _) = self.body(depth)?;
                self.template.defined.insert(name.clone(), body);
                Node::Template { name, pipeline }
            }
            _ => match tokens.rest(0)? {
                Some(pipeline) => Node::Action(pipeline),
                // A comment leaves nothing.
                None => return Ok(None),
            },
        }))
    }

    /// The body of a block and what follows its `else`.
    fn body(&mut self, depth: usize) -> Result<(Vec<Node>, Vec<Node>), String> {
        let (body, end) = self.block(depth + 1)?;
        match end {
            End::Keyword("end") => {
                self.at += 1;
                Ok((body, Vec::new()))
            }
            End::Keyword(_) => {
                self.at += 1;
                let (otherwise, end) = self.block(depth + 1)?;
                if !matches!(end, End::Keyword("end")) {
                    return Err("expected {{end}} after {{else}}".into());
                }
                self.at += 1;
                Ok((body, otherwise))
            }
            End::Input => Err("unexpected end of the template: {{end}} is missing".into()),
        }
    }

    fn conditional(&mut self, condition: Pipeline, depth: usize) -> Result<Node, String> {
        let mut arms = Vec::new();
        let mut condition = condition;
        loop {
            let (body, end) = self.block(depth + 1)?;
            arms.push((condition, body));
            let action = self.pieces.get(self.at).cloned();
            self.at += 1;
            match (end, action) {
                (End::Keyword("end"), _) => {
                    return Ok(Node::If {
                        arms,
                        otherwise: Vec::new(),
                    });
                }
                (End::Keyword(_), Some(Piece::Action(tokens))) => {
                    let mut tokens = Tokens {
                        list: tokens.into_iter().peekable(),
                    };
                    tokens.list.next();
                    match tokens.list.next() {
                        Some(Token::Word(word)) if word == "if" => {
                            condition = tokens.whole_pipeline(0)?;
                        }
                        Some(other) => return Err(format!("unexpected {other} after else")),
                        None => {
                            let (otherwise, end) = self.block(depth + 1)?;
                            if !matches!(end, End::Keyword("end")) {
                                return Err("expected {{end}} after {{else}}".into());
                            }
                            self.at += 1;
                            return Ok(Node::If { arms, otherwise });
                        }
                    }
                }
                _ => return Err("unexpected end of the template: {{end}} is missing".into()),
            }
        }
    }
}

impl Tokens {
    fn name(&mut self) -> Result<String, String> {
        match self.list.next() {
            Some(Token::Str(name)) => Ok(name),
            Some(other) => Err(format!("expected the name of a template, got {other}")),
            None => Err("expected the name of a template".into()),
        }
    }

    fn whole_pipeline(&mut self, depth: usize) -> Result<Pipeline, String> {
        self.rest(depth)?
            .ok_or_else(|| "missing value for command".into())
    }

    fn rest(&mut self, depth: usize) -> Result<Option<Pipeline>, String> {
        let pipeline = self.pipeline(depth)?;
        if let Some(extra) = self.list.next() {
            return Err(format!("unexpected {extra}"));
        }
        Ok((!pipeline.commands.is_empty()).then_some(pipeline))
    }

    fn pipeline(&mut self, depth: usize) -> Result<Pipeline, String> {
        if depth > DEPTH_MAX {
            return Err(format!("parentheses nest deeper than {DEPTH_MAX}"));
        }
        let mut pipeline = Pipeline::default();
        self.declaration(&mut pipeline)?;
        let mut command = Vec::new();
        loop {
            match self.list.peek() {
                None | Some(Token::Close) => break,
                Some(Token::Pipe) => {
                    self.list.next();
                    if command.is_empty() {
                        return Err("missing value for command".into());
                    }
                    pipeline.commands.push(std::mem::take(&mut command));
                    if matches!(self.list.peek(), None | Some(Token::Close | Token::Pipe)) {
                        return Err("missing value for command".into());
                    }
                }
                Some(_) => command.push(self.operand(depth)?),
            }
        }
        if !command.is_empty() {
            pipeline.commands.push(command);
        }
        Ok(pipeline)
    }

    /// `$x :=`, `$x =` and `$i, $x :=` at the start of a pipeline.
    fn declaration(&mut self, pipeline: &mut Pipeline) -> Result<(), String> {
        let rest: Vec<Token> = self.list.clone().take(4).collect();
        let (variables, length, declares) = match &rest[..] {
            [Token::Variable(x), Token::Declare, ..] => (vec![x.clone()], 2, true),
            [Token::Variable(x), Token::Assign, ..] => (vec![x.clone()], 2, false),
            [
                Token::Variable(i),
                Token::Comma,
                Token::Variable(x),
                Token::Declare,
            ] => (vec![i.clone(), x.clone()], 4, true),
            [
                Token::Variable(i),
                Token::Comma,
                Token::Variable(x),
                Token::Assign,
            ] => (vec![i.clone(), x.clone()], 4, false),
            _ => return Ok(()),
        };
        for _ in 0..length {
            self.list.next();
        }
        if self.list.peek().is_none() {
            return Err("missing value for command".into());
        }
        pipeline.variables = variables;
        pipeline.declares = declares;
        Ok(())
    }

    fn operand(&mut self, depth: usize) -> Result<Operand, String> {
        let operand = match self.list.next() {
            Some(Token::Str(text)) => Operand::Str(text),
            Some(Token::Int(int)) => Operand::Int(int),
            Some(Token::Float(float)) => Operand::Float(float),
            Some(Token::Dot) => Operand::Dot,
            Some(Token::Field(name)) => Operand::Field(Box::new(Operand::Dot), vec![name]),
            Some(Token::Variable(name)) => Operand::Variable(name),
            Some(Token::Word(word)) => match word.as_str() {
                "nil" => Operand::Nil,
                "true" => Operand::Bool(true),
                "false" => Operand::Bool(false),
                _ => Operand::Function(word),
            },
            Some(Token::Open) => {
                let inner = self.pipeline(depth + 1)?;
                match self.list.next() {
                    Some(Token::Close) if !inner.commands.is_empty() => {
                        Operand::Group(Box::new(inner))
                    }
                    Some(Token::Close) => {
                        return Err("missing value for parenthesized pipeline".into());
                    }
                    _ => return Err("unclosed left paren".into()),
                }
            }
            Some(other) => return Err(format!("unexpected {other}")),
            None => return Err("missing value for command".into()),
        };
        let mut names = Vec::new();
        while let Some(Token::Chained(_)) = self.list.peek() {
            if let Some(Token::Chained(name)) = self.list.next() {
                names.push(name);
            }
        }
        Ok(match (operand, names.is_empty()) {
            (operand, true) => operand,
            (Operand::Field(inner, mut first), false) => {
                first.append(&mut names);
                Operand::Field(inner, first)
            }
            (operand, false) => Operand::Field(Box::new(operand), names),
        })
    }
}
