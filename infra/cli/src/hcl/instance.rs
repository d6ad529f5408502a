//! The copies of a block, and the instances of a module.

use serde_json::Value;

use super::source::{Call, Module};

/// One copy of a block with `count` or `for_each`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum BlockCopy {
    /// A copy by `count`, with its index.
    Counted(usize),
    /// A copy by `for_each`, with its key and value.
    Keyed { key: String, value: Value },
}

impl BlockCopy {
    /// The index of the copy in an address: `[0]`, `["blue"]`.
    pub(super) fn index(&self) -> String {
        match self {
            Self::Counted(number) => format!("[{number}]"),
            Self::Keyed { key, .. } => format!("[{key:?}]"),
        }
    }

    /// Whether an index step of an expression, such as `[blue]`, selects this copy.
    pub(super) fn is_selected_by(&self, step: &str) -> bool {
        let selected = step.strip_prefix('[').and_then(|step| step.strip_suffix(']'));
        selected.is_some_and(|selected| match self {
            Self::Counted(number) => selected == number.to_string(),
            Self::Keyed { key, .. } => selected == key,
        })
    }
}

/// The copies of a block.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Copies {
    /// One copy, without `count` and `for_each`.
    Plain,
    /// One copy for each of these.
    Known(Vec<BlockCopy>),
    /// The argument `count` or `for_each`, which could not be evaluated.
    Undecided(&'static str),
}

impl Copies {
    /// The copies to read. A block with an undecided number is read once.
    pub(super) fn to_read(&self) -> Vec<Option<BlockCopy>> {
        match self {
            Self::Plain | Self::Undecided(_) => vec![None],
            Self::Known(copies) => copies.iter().cloned().map(Some).collect(),
        }
    }
}

/// One instance of a module: a root module, or a called module.
#[derive(Debug, Clone)]
pub(super) struct Instance<'m> {
    pub(super) module: &'m Module,
    /// The address with a final dot, as in `module.mesh["blue"].`; empty for a root module.
    pub(super) address: String,
    /// The call that creates this instance.
    pub(super) from: Option<CalledFrom<'m>>,
    /// The root module's file with the call that leads to this instance.
    pub(super) via: Option<String>,
    /// The undecided meta-arguments of the calls that lead to this instance.
    pub(super) undecided: Vec<String>,
    pub(super) depth: usize,
}

/// The call that creates a module instance.
#[derive(Debug, Clone)]
pub(super) struct CalledFrom<'m> {
    /// The index of the calling instance.
    pub(super) instance: usize,
    pub(super) call: &'m Call,
    pub(super) copy: Option<BlockCopy>,
}

/// The result of a module call.
#[derive(Debug, Clone)]
pub(super) enum Called {
    /// The module source is not available, or a limit or a cycle ends the evaluation.
    Elsewhere,
    /// The instances, each with its copy.
    Instances(Vec<(Option<BlockCopy>, usize)>),
    /// The number of instances is undecided; this instance represents all.
    Undecided(usize),
}

impl<'m> Instance<'m> {
    pub(super) const fn root(module: &'m Module) -> Self {
        Self { module, address: String::new(), from: None, via: None, undecided: Vec::new(), depth: 0 }
    }
}
