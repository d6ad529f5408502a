//! The labels of metrics.

/// One label and its value.
pub(crate) type Label = (&'static str, &'static str);
