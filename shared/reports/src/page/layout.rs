//! Computes the position of each workload: callers left of their callees, few crossings, and a shape that fits a
//! screen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use policy::edges::Edge;

/// The width of a box.
pub(super) const BOX_WIDTH: usize = 190;
pub(super) const BOX_HEIGHT: usize = 46;

/// The space between a column of callers and the next, for the lines and their signs.
pub(super) const SPACE: usize = 130;

/// The space between the columns that one column is split into.
const NARROW_SPACE: usize = 30;
const DOWN: usize = 26;

/// The space between two bands.
const BAND_SPACE: usize = 60;

/// Up to this many columns stay next to each other, regardless of the width: they are easier to follow.
const UNBROKEN: usize = 12;

const MARGIN: usize = 24;

/// The number of times that the rows are sorted, alternating between both directions.
const SWEEPS: usize = 6;

/// The wanted ratio of width to height, in tenths: that of a screen.
const SHAPE: usize = 16;

/// The workloads of a mesh with the upper left corner of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) places: BTreeMap<ResourcePath, (usize, usize)>,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// Computes the layout of the virtual nodes and gateways of a mesh, and of any other workload that an edge names.
pub(super) fn layout(mesh: &Mesh, edges: &[Edge]) -> Layout {
    let mut workloads: BTreeSet<ResourcePath> = edges.iter().flat_map(|edge| [&edge.from, &edge.to]).cloned().collect();
    let name = || mesh.name.clone();
    workloads.extend(mesh.nodes.keys().map(|node| ResourcePath::VirtualNode(name(), node.clone())));
    workloads.extend(mesh.gateways.keys().map(|gateway| ResourcePath::VirtualGateway(name(), gateway.clone())));
    let calls = Calls::new(edges);
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
    place(&grid)
}

/// The callees of each workload, and the callers of each workload.
struct Calls<'e> {
    callees: HashMap<&'e ResourcePath, BTreeSet<&'e ResourcePath>>,
    callers: HashMap<&'e ResourcePath, BTreeSet<&'e ResourcePath>>,
}

impl<'e> Calls<'e> {
    fn new(edges: &'e [Edge]) -> Self {
        let mut calls = Self { callees: HashMap::new(), callers: HashMap::new() };
        for edge in edges.iter().filter(|edge| edge.from != edge.to) {
            calls.callees.entry(&edge.from).or_default().insert(&edge.to);
            calls.callers.entry(&edge.to).or_default().insert(&edge.from);
        }
        calls
    }
}

/// The layout of a grid for the shape of a screen: the maximum number of rows in a column, and the number of bands. The
/// bands are one below the other, and the columns are spread over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    rows: usize,
    bands: usize,
}

/// One column in the drawing: a column of the grid, or a part of one that is too long.
struct Strip<'w> {
    workloads: Vec<&'w ResourcePath>,
    /// The space before the column.
    space: usize,
}

/// Computes the corner of each workload. A column with many workloads is split into several next to each other. A
/// long row of columns is wrapped like a line of text.
fn place(grid: &[Vec<&ResourcePath>]) -> Layout {
    let longest = grid.iter().map(Vec::len).max().unwrap_or(0);
    let most_bands = if grid.len() > UNBROKEN { grid.len().isqrt() } else { 1 };
    let cuts = (1..=longest).flat_map(|rows| (1..=most_bands).map(move |bands| Cut { rows, bands }));
    let cut = cuts.min_by_key(|cut| distance(grid, *cut)).unwrap_or(Cut { rows: 1, bands: 1 });
    let strips = strips(grid, cut.rows);
    let in_band = strips.len().div_ceil(cut.bands).max(1);
    let mut places = BTreeMap::new();
    let (mut width, mut top) = (0, MARGIN);
    for band in strips.chunks(in_band) {
        let mut x = MARGIN;
        let rows = band.iter().map(|strip| strip.workloads.len()).max().unwrap_or(1);
        for (number, strip) in band.iter().enumerate() {
            x += if number == 0 { 0 } else { strip.space };
            let middle = (rows - strip.workloads.len()) * (BOX_HEIGHT + DOWN) / 2;
            for (row, workload) in strip.workloads.iter().enumerate() {
                places.insert((*workload).clone(), (x, top + middle + row * (BOX_HEIGHT + DOWN)));
            }
            x += BOX_WIDTH;
        }
        width = width.max(x);
        top += rows * (BOX_HEIGHT + DOWN) + BAND_SPACE;
    }
    let bottom = top.saturating_sub(DOWN + BAND_SPACE).max(MARGIN + BOX_HEIGHT);
    Layout { places, width: width.max(MARGIN + BOX_WIDTH) + MARGIN, height: bottom + MARGIN }
}

/// Splits the columns into strips of at most `rows` rows.
fn strips<'w>(grid: &[Vec<&'w ResourcePath>], rows: usize) -> Vec<Strip<'w>> {
    let mut strips = Vec::new();
    for of_column in grid {
        // Each part has about the same number of workloads, so that the last one is not much shorter.
        let parts = of_column.len().div_ceil(rows).max(1);
        for (part, of_part) in of_column.chunks(of_column.len().div_ceil(parts).max(1)).enumerate() {
            let space = if part == 0 { SPACE } else { NARROW_SPACE };
            strips.push(Strip { workloads: of_part.to_vec(), space });
        }
    }
    strips
}

/// The distance of a cut from the wanted shape: the larger of the two quotients of width and height, in thousandths.
fn distance(grid: &[Vec<&ResourcePath>], Cut { rows, bands }: Cut) -> usize {
    let parts = grid.iter().map(|of_column| of_column.len().div_ceil(rows).max(1));
    let width: usize = parts.map(|parts| parts * BOX_WIDTH + (parts - 1) * NARROW_SPACE + SPACE).sum();
    let rows = rows.min(grid.iter().map(Vec::len).max().unwrap_or(1));
    let height = (rows * (BOX_HEIGHT + DOWN) + BAND_SPACE) * bands;
    let (width, wanted) = (width * 10 / bands, height * SHAPE);
    width.max(wanted) * 1000 / width.min(wanted).max(1)
}

/// Places each workload one column right of its rightmost caller. A call that would close a cycle is ignored.
fn columns<'w>(workloads: &'w BTreeSet<ResourcePath>, calls: &Calls<'_>) -> BTreeMap<&'w ResourcePath, usize> {
    let callees = |of: &ResourcePath| -> Vec<&'w ResourcePath> {
        calls.callees.get(of).into_iter().flatten().filter_map(|to| workloads.get(*to)).collect()
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

/// Sorts the workloads so that callers come before their callees, except in cycles; gateways come first. The function
/// does not recurse, since a chain may be as long as a mesh is large.
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

/// Sorts each column by the average row of its neighbours in the columns before (or after) it.
fn put_in_order(grid: &mut [Vec<&ResourcePath>], calls: &Calls<'_>, from_the_left: bool) {
    let columns: Vec<usize> = if from_the_left { (1..grid.len()).collect() } else { (0..grid.len()).rev().collect() };
    let sides = if from_the_left { &calls.callers } else { &calls.callees };
    let mut rows: HashMap<&ResourcePath, usize> =
        grid.iter().flat_map(|of_column| of_column.iter().copied().zip(0..)).collect();
    for column in columns {
        let Some(of_column) = grid.get_mut(column) else { continue };
        // The key is in thousandths of a row: integers have a total order.
        of_column.sort_by_cached_key(|workload| {
            let found: Vec<usize> =
                sides.get(workload).into_iter().flatten().filter_map(|other| rows.get(other).copied()).collect();
            let own = rows.get(workload).copied().unwrap_or(0) * 1000;
            if found.is_empty() { own } else { found.iter().sum::<usize>() * 1000 / found.len() }
        });
        rows.extend(of_column.iter().copied().zip(0..));
    }
}
