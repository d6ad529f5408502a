//! The histograms of durations.

use prometheus_client::metrics::histogram::Histogram;

/// In seconds. A request answered from memory takes less than the first bound; a commit to a slow disk more
/// than most.
const DURATIONS: [f64; 12] = [0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// A histogram of durations in seconds.
pub(super) fn histogram() -> Histogram {
    Histogram::new(DURATIONS)
}
