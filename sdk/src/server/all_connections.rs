//! The live connections of all identities of one server.

use std::sync::Arc;

use super::connections::Connections;

/// The live connections of all identities of one server, the default one's first.
#[derive(Clone)]
pub(super) struct AllConnections(pub(super) Arc<[Arc<Connections>]>);

impl AllConnections {
    /// The default identity's name, for the log.
    pub(super) fn name(&self) -> &str {
        self.0.first().map_or("", |connections| &connections.identity)
    }

    /// No more connections are taken.
    pub(super) fn close(&self) {
        self.0.iter().for_each(|connections| connections.close());
    }

    /// Drains all connections, and those still on their way.
    pub(super) fn drain(&self) {
        self.0.iter().for_each(|connections| connections.drain());
    }

    /// Cuts all connections.
    pub(super) fn cut(&self) -> usize {
        self.0.iter().map(|connections| connections.cut()).sum()
    }

    /// Completes when no connection is live. None may be entered any more.
    pub(super) async fn emptied(&self) {
        for connections in &*self.0 {
            connections.emptied().await;
        }
    }
}
