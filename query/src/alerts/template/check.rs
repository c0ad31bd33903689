//! What of a template can be known to be wrong before it runs: functions, variables and templates
//! that nothing defines, and loops that are left from outside.

use super::functions;
use super::parse::{Node, Operand, Pipeline, Template};

/// The variables that every template begins with; the nameless one is `$` itself.
const VARIABLES: [&str; 5] = ["", "labels", "externalLabels", "externalURL", "value"];

/// Looks through a template and those that it defines.
pub(super) fn check(template: &Template) -> Result<(), String> {
    let mut checker = Checker {
        template,
        variables: VARIABLES.map(str::to_owned).to_vec(),
        loops: 0,
    };
    checker.nodes(&template.body)?;
    let mut defined: Vec<_> = template.defined.iter().collect();
    defined.sort_by_key(|(name, _)| *name);
    for (name, body) in defined {
        // A called template sees its own variables only.
        checker.variables = vec![String::new()];
        let found = checker.nodes(body);
        found.map_err(|error| format!("in template {name:?}: {error}"))?;
    }
    Ok(())
}

struct Checker<'a> {
    template: &'a Template,
    /// Those that are known at this point.
    variables: Vec<String>,
    /// How many loops there are around this point.
    loops: usize,
}

impl Checker<'_> {
    fn nodes(&mut self, nodes: &[Node]) -> Result<(), String> {
        let scope = self.variables.len();
        for node in nodes {
            self.node(node)?;
        }
        self.variables.truncate(scope);
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<(), String> {
        match node {
            Node::Text(_) => {}
            Node::Action(pipeline) => self.pipeline(pipeline)?,
            Node::If { arms, otherwise } => {
                let scope = self.variables.len();
                for (condition, body) in arms {
                    self.pipeline(condition)?;
                    self.nodes(body)?;
                }
                self.nodes(otherwise)?;
                self.variables.truncate(scope);
            }
            Node::With {
                pipeline,
                body,
                otherwise,
            } => self.block(pipeline, body, otherwise, 0)?,
            Node::Range {
                pipeline,
                body,
                otherwise,
            } => self.block(pipeline, body, otherwise, 1)?,
            Node::Template { name, pipeline } => {
                if let Some(pipeline) = pipeline {
                    self.pipeline(pipeline)?;
                }
                if !self.template.defined.contains_key(name) {
                    return Err(format!("template {name:?} not defined"));
                }
            }
            Node::Break | Node::Continue if self.loops == 0 => {
                return Err("break and continue need a range around them".into());
            }
            Node::Break | Node::Continue => {}
        }
        Ok(())
    }

    /// `loops` is how many loops more the body is in.
    fn block(
        &mut self,
        pipeline: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        loops: usize,
    ) -> Result<(), String> {
        let scope = self.variables.len();
        self.pipeline(pipeline)?;
        self.loops += loops;
        self.nodes(body)?;
        self.loops -= loops;
        self.nodes(otherwise)?;
        self.variables.truncate(scope);
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Result<(), String> {
        for operand in pipeline.commands.iter().flatten() {
            self.operand(operand)?;
        }
        for variable in &pipeline.variables {
            if pipeline.declares {
                self.variables.push(variable.clone());
            } else {
                self.variable(variable)?;
            }
        }
        Ok(())
    }

    fn operand(&mut self, operand: &Operand) -> Result<(), String> {
        match operand {
            Operand::Function(name) if !functions::is_known(name) => {
                Err(format!("function {name:?} not defined"))
            }
            Operand::Variable(name) => self.variable(name),
            Operand::Group(pipeline) => self.pipeline(pipeline),
            Operand::Field(inner, _) => self.operand(inner),
            _ => Ok(()),
        }
    }

    fn variable(&self, name: &str) -> Result<(), String> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(format!("undefined variable \"${name}\""))
    }
}
