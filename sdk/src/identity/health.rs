//! Health that follows the identity.

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::Identity;

impl Identity {
    /// Reports `services` (the empty name is the whole server) to gRPC health: NOT_SERVING until the identity has its first
    /// generation, SERVING from then on, and NOT_SERVING again while its leaf has expired under
    /// [`ExpiryPolicy::FailClosed`](super::ExpiryPolicy::FailClosed), or when the last handle on the identity is gone. The first status
    /// is set when this returns; a task of its own keeps it.
    pub async fn report_health<S: Into<String>>(
        &self,
        reporter: HealthReporter,
        services: impl IntoIterator<Item = S>,
    ) {
        let services: Vec<String> = services.into_iter().map(Into::into).collect();
        let mut state = self.state.clone();
        let mut serving = state.borrow_and_update().is_serving();
        set(&reporter, &services, serving).await;
        // The task holds no handle on the identity, so it ends with the last one.
        tokio::spawn(async move {
            while state.changed().await.is_ok() {
                let now = state.borrow_and_update().is_serving();
                if now != serving {
                    serving = now;
                    set(&reporter, &services, serving).await;
                }
            }
            set(&reporter, &services, false).await;
        });
    }
}

async fn set(reporter: &HealthReporter, services: &[String], serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in services {
        reporter.set_service_status(service, status).await;
    }
}
