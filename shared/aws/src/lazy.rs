use std::sync::{Arc, OnceLock};

use crate::connection::Connection;

/// A client that is created on first use: most invocations send no notice and write no report.
pub(crate) struct Lazy<C> {
    connection: Connection,
    make: fn(&Connection) -> C,
    client: Arc<OnceLock<C>>,
}

impl<C> Lazy<C> {
    pub(crate) fn new(connection: &Connection, make: fn(&Connection) -> C) -> Self {
        Self { connection: connection.clone(), make, client: Arc::default() }
    }

    pub(crate) fn client(&self) -> &C {
        self.client.get_or_init(|| (self.make)(&self.connection))
    }
}

impl<C> Clone for Lazy<C> {
    fn clone(&self) -> Self {
        Self { connection: self.connection.clone(), make: self.make, client: Arc::clone(&self.client) }
    }
}

impl<C> std::fmt::Debug for Lazy<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lazy").field("made", &self.client.get().is_some()).finish_non_exhaustive()
    }
}
