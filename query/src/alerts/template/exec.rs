//! Runs a parsed template.

use std::collections::HashMap;

use super::parse::{Node, Operand, Pipeline, Template};
use super::value::Value;
use super::{Data, Sample, functions, root};

/// How many nodes may run.
const STEPS_MAX: usize = 100_000;
/// How much a template may write.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// How much text one value may have: no more can be written.
pub(super) const TEXT_BYTES_MAX: usize = OUTPUT_BYTES_MAX;
/// How much memory all values together may take that a template makes, those included that it does
/// not have any more.
const VALUES_BYTES_MAX: usize = 64 << 20;
/// How deep templates may call each other.
const CALLS_MAX: usize = 50;

/// Why execution stopped.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stop {
    Error(String),
    /// The answer of this query is needed first.
    Query(String),
    Break,
    Continue,
}

impl From<String> for Stop {
    fn from(error: String) -> Self {
        Stop::Error(error)
    }
}

pub(super) struct Executor<'a> {
    template: &'a Template,
    pub(super) data: &'a Data,
    answers: &'a HashMap<String, Vec<Sample>>,
    variables: Vec<(String, Value)>,
    output: String,
    steps: usize,
    calls: usize,
    /// Memory of the values that were made.
    bytes: usize,
}

impl<'a> Executor<'a> {
    pub(super) fn new(
        template: &'a Template,
        data: &'a Data,
        answers: &'a HashMap<String, Vec<Sample>>,
    ) -> Self {
        Self {
            template,
            data,
            answers,
            variables: Vec::new(),
            output: String::new(),
            steps: 0,
            calls: 0,
            bytes: 0,
        }
    }

    pub(super) fn run(&mut self) -> Result<(), Stop> {
        let root = root(self.data);
        self.variables.push((String::new(), root.clone()));
        let named = [
            ("labels", "Labels"),
            ("externalLabels", "ExternalLabels"),
            ("externalURL", "ExternalURL"),
            ("value", "Value"),
        ];
        for (variable, member) in named {
            self.variables
                .push((variable.to_owned(), root.member(member)?));
        }
        let template = self.template;
        self.nodes(&template.body, &root)
    }

    pub(super) fn into_output(self) -> String {
        self.output
    }

    /// The answer of a query, or the wish for it.
    pub(super) fn query(&self, query: &str) -> Result<Value, Stop> {
        match self.answers.get(query) {
            Some(samples) => Ok(Value::List(
                samples.iter().cloned().map(Value::Sample).collect(),
            )),
            None => Err(Stop::Query(query.to_owned())),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Stop> {
        if self.output.len() + text.len() > OUTPUT_BYTES_MAX {
            return Err(Stop::Error(format!(
                "the text grows over {OUTPUT_BYTES_MAX} bytes"
            )));
        }
        self.output.push_str(text);
        Ok(())
    }

    fn step(&mut self) -> Result<(), Stop> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Stop::Error(format!(
                "the template takes over {STEPS_MAX} steps"
            )));
        }
        Ok(())
    }

    /// Takes account of a value that was made.
    fn made(&mut self, value: Value) -> Result<Value, Stop> {
        if let Value::Str(text) = &value {
            bounded(text.len())?;
        }
        self.bytes = self.bytes.saturating_add(value.bytes());
        if self.bytes > VALUES_BYTES_MAX {
            return Err(Stop::Error(format!(
                "the values of the template take over {VALUES_BYTES_MAX} bytes in all"
            )));
        }
        Ok(value)
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), Stop> {
        let scope = self.variables.len();
        for node in nodes {
            self.step()?;
            self.node(node, dot)?;
        }
        self.variables.truncate(scope);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), Stop> {
        match node {
            Node::Text(text) => self.write(text),
            Node::Action(pipeline) => {
                let value = self.assigned(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.write(&value.text())
                } else {
                    Ok(())
                }
            }
            Node::If { arms, otherwise } => {
                let scope = self.variables.len();
                for (condition, body) in arms {
                    if self.assigned(condition, dot)?.truth() {
                        self.nodes(body, dot)?;
                        self.variables.truncate(scope);
                        return Ok(());
                    }
                }
                self.nodes(otherwise, dot)?;
                self.variables.truncate(scope);
                Ok(())
            }
            Node::With {
                pipeline,
                body,
                otherwise,
            } => {
                let scope = self.variables.len();
                let value = self.assigned(pipeline, dot)?;
                if value.truth() {
                    self.nodes(body, &value)?;
                } else {
                    self.nodes(otherwise, dot)?;
                }
                self.variables.truncate(scope);
                Ok(())
            }
            Node::Range {
                pipeline,
                body,
                otherwise,
            } => self.range(pipeline, body, otherwise, dot),
            Node::Template { name, pipeline } => self.call(name, pipeline.as_ref(), dot),
            Node::Break => Err(Stop::Break),
            Node::Continue => Err(Stop::Continue),
        }
    }

    fn range(
        &mut self,
        pipeline: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<(), Stop> {
        let members: Vec<(Value, Value)> = match self.value(pipeline, dot)? {
            Value::List(list) => {
                let index = |at: usize| Value::Int(i64::try_from(at).unwrap_or(i64::MAX));
                list.into_iter()
                    .enumerate()
                    .map(|(at, value)| (index(at), value))
                    .collect()
            }
            Value::Map(map) => map
                .into_iter()
                .map(|(key, value)| (Value::Str(key), value))
                .collect(),
            Value::Int(count) => (0..count.clamp(0, 100_000))
                .map(|at| (Value::Int(at), Value::Int(at)))
                .collect(),
            Value::Nil => Vec::new(),
            other => {
                return Err(Stop::Error(format!(
                    "range can't iterate over {}",
                    other.text()
                )));
            }
        };
        if members.is_empty() {
            return self.nodes(otherwise, dot);
        }
        let scope = self.variables.len();
        for (key, value) in members {
            // A body may be empty: the round itself counts.
            self.step()?;
            match &pipeline.variables[..] {
                [one] => self.set(one, value.clone(), pipeline.declares)?,
                [index, one] => {
                    self.set(index, key, pipeline.declares)?;
                    self.set(one, value.clone(), pipeline.declares)?;
                }
                _ => {}
            }
            let ended = self.nodes(body, &value);
            self.variables.truncate(scope);
            match ended {
                Ok(()) | Err(Stop::Continue) => {}
                Err(Stop::Break) => break,
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }

    fn call(&mut self, name: &str, pipeline: Option<&Pipeline>, dot: &Value) -> Result<(), Stop> {
        let dot = match pipeline {
            Some(pipeline) => self.value(pipeline, dot)?,
            None => Value::Nil,
        };
        let template = self.template;
        let body = template
            .defined
            .get(name)
            .ok_or_else(|| Stop::Error(format!("template {name:?} not defined")))?;
        if self.calls == CALLS_MAX {
            return Err(Stop::Error(format!(
                "templates call each other deeper than {CALLS_MAX}"
            )));
        }
        // A called template sees its own variables only.
        let variables = std::mem::replace(&mut self.variables, vec![(String::new(), dot.clone())]);
        self.calls += 1;
        let ended = self.nodes(body, &dot);
        self.calls -= 1;
        self.variables = variables;
        ended
    }

    fn set(&mut self, name: &str, value: Value, declares: bool) -> Result<(), Stop> {
        if declares {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        match self
            .variables
            .iter_mut()
            .rev()
            .find(|(known, _)| known == name)
        {
            Some((_, known)) => *known = value,
            None => return Err(Stop::Error(format!("undefined variable \"${name}\""))),
        }
        Ok(())
    }

    /// The value of a pipeline, also put into its variable.
    fn assigned(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Stop> {
        let value = self.value(pipeline, dot)?;
        match &pipeline.variables[..] {
            [] => {}
            [one] => self.set(one, value.clone(), pipeline.declares)?,
            _ => return Err(Stop::Error("too many declarations in command".into())),
        }
        Ok(value)
    }

    fn value(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Stop> {
        let mut piped: Option<Value> = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, piped, dot)?);
        }
        piped.ok_or_else(|| Stop::Error("missing value for command".into()))
    }

    fn command(
        &mut self,
        command: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, Stop> {
        let (first, rest) = command
            .split_first()
            .ok_or_else(|| Stop::Error("missing value for command".into()))?;
        if let Operand::Function(name) = first {
            return self.function(name, rest, piped, dot);
        }
        if !rest.is_empty() || piped.is_some() {
            return Err(Stop::Error("can't give argument to non-function".into()));
        }
        self.operand(first, dot)
    }

    fn function(
        &mut self,
        name: &str,
        operands: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, Stop> {
        // `and` and `or` stop at the first operand that decides.
        if let ("and" | "or", None) = (name, &piped) {
            let mut last = None;
            for operand in operands {
                let value = self.operand(operand, dot)?;
                let decides = value.truth() == (name == "or");
                last = Some(value);
                if decides {
                    break;
                }
            }
            return last.ok_or_else(|| Stop::Error(format!("wrong number of args for {name}")));
        }
        let mut args = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            args.push(self.operand(operand, dot)?);
        }
        args.extend(piped);
        // No function makes much more text than it is given, but for those that see to it.
        let texts = args.iter().map(|arg| match arg {
            Value::Str(text) => text.len(),
            _ => 0,
        });
        bounded(texts.sum())?;
        let value = match name {
            "tmpl" => self.inline(args),
            _ => functions::call(self, name, args),
        };
        self.made(value?)
    }

    /// `tmpl NAME DATA`: the text of a template as a value.
    fn inline(&mut self, mut args: Vec<Value>) -> Result<Value, Stop> {
        let (Some(dot), Some(name), true) = (args.pop(), args.pop(), args.is_empty()) else {
            return Err(Stop::Error("wrong number of args for tmpl: want 2".into()));
        };
        let before = std::mem::take(&mut self.output);
        let name = name.string()?.to_owned();
        self.variables.push(("tmpl data".into(), dot));
        let pipeline = Pipeline {
            commands: vec![vec![Operand::Variable("tmpl data".into())]],
            ..Pipeline::default()
        };
        let ended = self.call(&name, Some(&pipeline), &Value::Nil);
        self.variables.pop();
        let text = std::mem::replace(&mut self.output, before);
        ended.map(|()| Value::Str(text))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Stop> {
        let value = match operand {
            Operand::Dot => dot.clone(),
            Operand::Nil => Value::Nil,
            Operand::Bool(flag) => Value::Bool(*flag),
            Operand::Int(int) => Value::Int(*int),
            Operand::Float(float) => Value::Float(*float),
            Operand::Str(text) => Value::Str(text.clone()),
            Operand::Function(name) => return self.function(name, &[], None, dot),
            Operand::Variable(name) => self
                .variables
                .iter()
                .rev()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
                .ok_or_else(|| Stop::Error(format!("undefined variable \"${name}\"")))?,
            Operand::Group(pipeline) => return self.value(pipeline, dot),
            Operand::Field(inner, names) => {
                let mut value = self.operand(inner, dot)?;
                for name in names {
                    value = value.member(name)?;
                }
                value
            }
        };
        self.made(value)
    }
}

/// Refuses more text than a value may have.
pub(super) fn bounded(bytes: usize) -> Result<(), String> {
    if bytes > TEXT_BYTES_MAX {
        return Err(format!("a value has over {TEXT_BYTES_MAX} bytes of text"));
    }
    Ok(())
}
