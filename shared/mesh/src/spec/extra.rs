//! The unknown members of a document.

use serde_json::{Map, Value};

/// Unknown members, in the order they were read.
pub type Extra = Map<String, Value>;
