//! Where each workload stands in the drawing: callers left of whom they call, crossings kept few.

use std::collections::{BTreeMap, BTreeSet};

use mesh::edges::Edge;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;

/// How often the rows are put in order, once in each direction.
const SWEEPS: usize = 6;

/// The workloads of a mesh on a grid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Column and row of each workload, from 0.
    pub(super) places: BTreeMap<ResourcePath, (usize, usize)>,
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// Lays out the virtual nodes and gateways of a mesh, and whatever else an edge leads to.
pub(super) fn layout(mesh: &Mesh, edges: &[Edge]) -> Layout {
    let calls: BTreeSet<(&ResourcePath, &ResourcePath)> =
        edges.iter().map(|edge| (&edge.from, &edge.to)).filter(|(from, to)| from != to).collect();
    let mut workloads: BTreeSet<ResourcePath> = calls.iter().flat_map(|(from, to)| [*from, *to]).cloned().collect();
    let name = || mesh.name.clone();
    workloads.extend(mesh.nodes.keys().map(|node| ResourcePath::VirtualNode(name(), node.clone())));
    workloads.extend(mesh.gateways.keys().map(|gateway| ResourcePath::VirtualGateway(name(), gateway.clone())));

    let columns = columns(&workloads, &calls);
    let count = columns.values().max().map_or(0, |last| last + 1);
    let mut grid: Vec<Vec<&ResourcePath>> = vec![Vec::new(); count];
    for (workload, column) in &columns {
        if let Some(of_column) = grid.get_mut(*column) {
            of_column.push(workload);
        }
    }
    for sweep in 0..SWEEPS {
        put_in_order(&mut grid, &calls, sweep % 2 == 0);
    }
    let rows = grid.iter().map(Vec::len).max().unwrap_or(0);
    let places = grid
        .iter()
        .enumerate()
        .flat_map(|(column, of_column)| {
            of_column.iter().enumerate().map(move |(row, workload)| ((*workload).clone(), (column, row)))
        })
        .collect();
    Layout { places, columns: count, rows }
}

/// Each workload one column right of its rightmost caller. A call that would close a circle counts for nothing.
fn columns<'w>(
    workloads: &'w BTreeSet<ResourcePath>,
    calls: &BTreeSet<(&ResourcePath, &ResourcePath)>,
) -> BTreeMap<&'w ResourcePath, usize> {
    let callees = |of: &ResourcePath| -> Vec<&'w ResourcePath> {
        calls.iter().filter(|(from, _)| *from == of).filter_map(|(_, to)| workloads.get(*to)).collect()
    };
    let order = callees_last(workloads, callees);
    let position: BTreeMap<&ResourcePath, usize> = order.iter().copied().zip(0..).collect();
    let mut columns: BTreeMap<&ResourcePath, usize> = workloads.iter().map(|workload| (workload, 0)).collect();
    for from in order {
        let next = columns.get(from).map_or(0, |column| column + 1);
        for to in callees(from) {
            let is_forward = position.get(to) > position.get(from);
            if is_forward && let Some(column) = columns.get_mut(to) {
                *column = (*column).max(next);
            }
        }
    }
    columns
}

/// Workloads so that callers come before whom they call, as far as there is no circle; gateways first. Without recursion,
/// since a chain may be as long as a mesh is large.
fn callees_last<'w>(
    workloads: &'w BTreeSet<ResourcePath>,
    callees: impl Fn(&ResourcePath) -> Vec<&'w ResourcePath>,
) -> Vec<&'w ResourcePath> {
    let is_gateway = |path: &&ResourcePath| matches!(path, ResourcePath::VirtualGateway(..));
    let (gateways, others): (Vec<_>, Vec<_>) = workloads.iter().partition(is_gateway);
    let (mut seen, mut finished) = (BTreeSet::new(), Vec::new());
    for root in others.into_iter().rev().chain(gateways.into_iter().rev()) {
        let mut stack = vec![(root, false)];
        while let Some((workload, is_done)) = stack.pop() {
            if is_done {
                finished.push(workload);
            } else if seen.insert(workload) {
                stack.push((workload, true));
                stack.extend(callees(workload).into_iter().map(|callee| (callee, false)));
            }
        }
    }
    finished.reverse();
    finished
}

/// Orders each column by where its neighbours in the column before (or after) stand on average.
fn put_in_order(
    grid: &mut [Vec<&ResourcePath>],
    calls: &BTreeSet<(&ResourcePath, &ResourcePath)>,
    from_the_left: bool,
) {
    let columns: Vec<usize> = if from_the_left { (1..grid.len()).collect() } else { (0..grid.len()).rev().collect() };
    for column in columns {
        let rows: BTreeMap<&ResourcePath, usize> =
            grid.iter().flat_map(|of_column| of_column.iter().copied().zip(0..)).collect();
        let neighbours = |of: &ResourcePath| -> Vec<usize> {
            let neighbour = |(from, to): &(&ResourcePath, &ResourcePath)| match from_the_left {
                true if *to == of => rows.get(from).copied(),
                false if *from == of => rows.get(to).copied(),
                true | false => None,
            };
            calls.iter().filter_map(neighbour).collect()
        };
        let Some(of_column) = grid.get_mut(column) else { continue };
        // Thousandths of a row: whole numbers have an order.
        of_column.sort_by_cached_key(|workload| {
            let found = neighbours(workload);
            let own = rows.get(workload).copied().unwrap_or(0) * 1000;
            if found.is_empty() { own } else { found.iter().sum::<usize>() * 1000 / found.len() }
        });
    }
}
