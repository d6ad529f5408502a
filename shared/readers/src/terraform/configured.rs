//! Resources of Terraform configurations, as the caller evaluated them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use super::super::reading::{Defect, Fault, Reading, Source};
use super::super::spots::Spot;
use super::super::stand_ins::StandIns;
use super::resources::{Planned, kind_of};
use super::{refuse_type, resource};

/// A resource block of a Terraform configuration with its values, in the structure of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Configured {
    /// The file.
    pub file: String,
    /// The file of the root module that leads to it: its own file, or the file that calls its module.
    pub via: String,
    /// The line of the block, from 1.
    pub line: usize,
    /// The address: `module.shop.aws_appmesh_mesh.main`.
    pub address: String,
    /// The type.
    pub kind: String,
    /// The values of its arguments, with blocks as lists.
    pub values: Value,
    /// The texts in the values that stand in for unknown values.
    pub stand_ins: BTreeSet<String>,
    /// The lines of the arguments and blocks by path, as in `spec[0].listener[1].port_mapping[0].port`.
    pub lines: BTreeMap<String, usize>,
    /// The expressions that only Terraform can evaluate.
    pub partly_read: Vec<String>,
    /// The meta-arguments and blocks that define the number of instances of the resource or a part of it.
    pub undecided: Vec<String>,
}

/// Declares resources, except those in a plan among the files: a plan has their exact values.
pub(in super::super) fn declare_configured(all: &[Configured], reading: &mut Reading) {
    let planned: HashSet<(String, String)> = (reading.resources.iter().map(|declared| &declared.source))
        .chain(reading.refusals.iter().map(|refusal| &refusal.source_))
        .filter(|source| source.id.contains("aws_appmesh_"))
        .map(|source| (folder(&source.file).to_owned(), local(&source.id).to_owned()))
        .collect();
    for one in all {
        let address = local(&one.address);
        let is_planned = folders(&one.file)
            .chain(folders(&one.via))
            .any(|folder| planned.contains(&(folder.to_owned(), address.to_owned())));
        if !is_planned {
            declare_one(one, reading);
        }
    }
}

fn declare_one(one: &Configured, reading: &mut Reading) {
    let source = Source { file: one.file.clone(), id: one.address.clone() };
    let Some(kind) = kind_of(&one.kind) else {
        return refuse_type(source, &one.kind, reading);
    };
    let Value::Object(values) = &one.values else {
        return reading.refuse(source, "values", "must be an object");
    };
    let stand_ins = StandIns::Made(one.stand_ins.clone());
    let planned = Planned {
        kind,
        address: &one.address,
        module: String::new(),
        values: &one.values,
        spot: Spot::with_lines(one.line, &one.lines),
        after_unknown: None,
        expressions: None,
    };
    let declared = reading.resources.len();
    resource(source.clone(), &planned, values, (&stand_ins, false), reading);
    let Some(path) = reading.resources.get(declared).map(|declared| declared.path.clone()) else { return };
    let defects = [
        (!one.partly_read.is_empty()).then(|| Defect::PartlyRead { expressions: one.partly_read.clone() }),
        (!one.undecided.is_empty()).then(|| Defect::Undecided { expressions: one.undecided.clone() }),
    ];
    reading.faults.extend(defects.into_iter().flatten().map(|defect| Fault {
        resource: path.clone(),
        source: source.clone(),
        line: one.line,
        part: String::new(),
        defect,
    }));
}

/// The folder of a file.
fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The folder of a file and all parent folders: a plan of a module covers the modules in its folder.
fn folders(file: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(folder(file)), |folder| {
        (!folder.is_empty()).then(|| folder.rsplit_once('/').map_or("", |(holder, _)| holder))
    })
}

/// An address without its modules and without the key of an instance.
fn local(address: &str) -> &str {
    let start = address.find("aws_appmesh_").unwrap_or_default();
    let address = address.get(start..).unwrap_or(address);
    address.split('[').next().unwrap_or(address)
}
