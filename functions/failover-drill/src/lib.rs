//! Practice runs of failovers.
