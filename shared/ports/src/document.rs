//! A stored document that cannot be read, as the error of a call.

use records::DocumentError;

use crate::{PortError, PortErrorKind};

impl From<DocumentError> for PortError {
    fn from(error: DocumentError) -> Self {
        let call = format!("read document `{}`", error.key());
        Self { call, kind: PortErrorKind::Other, message: error.to_string(), source: Some(Box::new(error)) }
    }
}
