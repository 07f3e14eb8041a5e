//! What a server says of its health.

use std::collections::BTreeMap;

use tonic_health::ServingStatus;
use tonic_health::pb::{HealthCheckResponse, health_check_response};

use super::Health;

/// The statuses that were set, and what holds for all of them.
#[derive(Debug)]
pub(super) struct State {
    services: BTreeMap<String, ServingStatus>,
    identity_is_usable: bool,
    drains: bool,
}

impl State {
    pub(super) fn new(identity_is_usable: bool) -> Self {
        let services = [String::new(), Health::LIVENESS.to_owned()].map(|service| (service, ServingStatus::Serving));
        Self { services: services.into(), identity_is_usable, drains: false }
    }

    pub(super) fn set(&mut self, service: String, status: ServingStatus) {
        self.services.insert(service, status);
    }

    pub(super) fn clear(&mut self, service: &str) {
        self.services.remove(service);
    }

    pub(super) fn drain(&mut self) {
        self.drains = true;
    }

    /// Takes whether the identity can be used; gives whether that is news.
    pub(super) fn identity(&mut self, is_usable: bool) -> bool {
        std::mem::replace(&mut self.identity_is_usable, is_usable) != is_usable
    }

    pub(super) fn drains(&self) -> bool {
        self.drains
    }

    /// The status of a service; `None` where it is unknown.
    pub(super) fn of(&self, service: &str) -> Option<ServingStatus> {
        let own = *self.services.get(service)?;
        let holds_back = service != Health::LIVENESS && (self.drains || !self.identity_is_usable);
        Some(if holds_back && own == ServingStatus::Serving { ServingStatus::NotServing } else { own })
    }
}

/// A status as it is answered.
pub(super) fn told(status: ServingStatus) -> HealthCheckResponse {
    answer(status.into())
}

/// What those are told who watch a service that is unknown.
pub(super) fn unknown() -> HealthCheckResponse {
    answer(health_check_response::ServingStatus::ServiceUnknown)
}

fn answer(status: health_check_response::ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(test)]
mod tests {
    use ServingStatus::{NotServing, Serving, Unknown};

    use super::*;

    fn with_three() -> State {
        let mut state = State::new(true);
        state.set("a".to_owned(), Serving);
        state.set("b".to_owned(), NotServing);
        state.set("c".to_owned(), Unknown);
        state
    }

    fn all(state: &State) -> [Option<ServingStatus>; 5] {
        ["", "a", "b", "c", "d"].map(|service| state.of(service))
    }

    #[test]
    fn a_service_is_what_it_was_set_to_while_the_identity_can_be_used() {
        let mut state = with_three();
        assert_eq!(all(&state), [Some(Serving), Some(Serving), Some(NotServing), Some(Unknown), None]);
        assert!(state.identity(false));
        assert!(!state.identity(false));
        assert_eq!(all(&state), [Some(NotServing), Some(NotServing), Some(NotServing), Some(Unknown), None]);
        assert!(state.identity(true));
        assert_eq!(state.of("a"), Some(Serving));
    }

    #[test]
    fn nothing_is_serving_once_the_server_drains_whatever_is_set_then() {
        let mut state = with_three();
        state.drain();
        state.set("a".to_owned(), Serving);
        assert_eq!(all(&state), [Some(NotServing), Some(NotServing), Some(NotServing), Some(Unknown), None]);
    }

    #[test]
    fn liveness_is_what_it_was_set_to_whatever_becomes_of_the_identity_and_the_server() {
        let mut state = State::new(false);
        state.drain();
        assert_eq!(state.of(Health::LIVENESS), Some(Serving));
        state.set(Health::LIVENESS.to_owned(), NotServing);
        assert_eq!(state.of(Health::LIVENESS), Some(NotServing));
    }
}
