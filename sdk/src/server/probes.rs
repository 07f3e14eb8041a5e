//! Health, where a server has it.

use std::future::pending;

use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;

use super::health_listener::HealthListener;
use crate::health::Health;

/// What is to be answered, and where.
#[derive(Debug, Default)]
pub(super) struct Probes {
    pub(super) health: Option<Health>,
    pub(super) listener: Option<HealthListener>,
}

/// What is answered; nothing any more at the port without TLS once it is dropped.
pub(super) struct Answered {
    healths: Vec<Health>,
    _listener: Option<AbortOnDropHandle<()>>,
}

impl Probes {
    /// The routes, with health.
    ///
    /// # Panics
    ///
    /// They have it already.
    pub(super) fn routes(&self, routes: Routes) -> Routes {
        match &self.health {
            Some(health) => routes.add_service(health.service()),
            None => routes,
        }
    }

    /// Answers at the port without TLS from now on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(super) fn start(self) -> Answered {
        let of_listener = self.listener.as_ref().map(|listener| listener.health().clone());
        let healths = self.health.into_iter().chain(of_listener).collect();
        let listener = self.listener.map(|listener| tokio::spawn(listener.serve(pending())));
        Answered { healths, _listener: listener.map(AbortOnDropHandle::new) }
    }
}

impl Answered {
    /// The shutdown begins.
    pub(super) fn drain(&self) {
        self.healths.iter().for_each(Health::drain);
    }
}
