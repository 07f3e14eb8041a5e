//! One who watches a service.

use futures_util::stream;
use tokio::sync::watch;
use tonic::Status;
use tonic::codegen::BoxStream;
use tonic_health::pb::HealthCheckResponse;

use super::state::{self, State};

struct Watching {
    state: watch::Receiver<State>,
    service: String,
    told: Option<HealthCheckResponse>,
    is_over: bool,
}

/// The status of a service now, and each one from then on; of several that came before they could be taken the latest. An unknown service
/// may become known, so it is no error. A stream that went on would hold up a server that shuts down, so it ends then.
pub(super) fn watch(state: watch::Receiver<State>, service: String) -> BoxStream<HealthCheckResponse> {
    let watching = Watching { state, service, told: None, is_over: false };
    Box::pin(stream::unfold(watching, |mut watching| async { Some((watching.next().await?, watching)) }))
}

impl Watching {
    async fn next(&mut self) -> Option<Result<HealthCheckResponse, Status>> {
        while !self.is_over {
            let (now, drains) = {
                let state = self.state.borrow_and_update();
                (state.of(&self.service).map_or_else(state::unknown, state::told), state.drains())
            };
            if self.told.as_ref() != Some(&now) {
                self.told = Some(now);
                return Some(Ok(now));
            }
            self.is_over = drains || self.state.changed().await.is_err();
        }
        self.told.take().map(|_| Err(Status::unavailable("the server shuts down")))
    }
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::wait::soon;
    use futures_util::FutureExt as _;
    use tokio_stream::StreamExt as _;
    use tonic::Code;
    use tonic_health::ServingStatus;

    use super::*;

    #[tokio::test]
    async fn a_watch_tells_each_change_once_and_ends_after_the_last_one() {
        let state = watch::Sender::new(State::new(true));
        let mut watch = watch(state.subscribe(), "a".to_owned());
        let mut next = async || {
            let told = soon("an answer", watch.next()).await?;
            Some(told.map(|answer| answer.status().as_str_name()).map_err(|status| status.code()))
        };
        assert_eq!(next().await, Some(Ok("SERVICE_UNKNOWN")));
        state.send_modify(|state| state.set("a".to_owned(), ServingStatus::Serving));
        assert_eq!(next().await, Some(Ok("SERVING")));
        state.send_modify(|state| state.set("b".to_owned(), ServingStatus::Serving));
        state.send_modify(|state| _ = state.identity(false));
        assert_eq!(next().await, Some(Ok("NOT_SERVING")));
        state.send_modify(|state| _ = state.identity(true));
        state.send_modify(|state| state.clear("a"));
        assert_eq!(next().await, Some(Ok("SERVICE_UNKNOWN")), "and not what it was for a moment");
        state.send_modify(|state| state.set("a".to_owned(), ServingStatus::Serving));
        state.send_modify(State::drain);
        assert_eq!(next().await, Some(Ok("NOT_SERVING")));
        assert_eq!(next().await, Some(Err(Code::Unavailable)));
        assert_eq!(next().await, None);
    }

    #[tokio::test]
    async fn a_watch_is_silent_while_nothing_changes_for_it() {
        let state = watch::Sender::new(State::new(true));
        let mut watch = watch(state.subscribe(), String::new());
        assert!(watch.next().await.is_some());
        state.send_modify(|state| state.set("b".to_owned(), ServingStatus::NotServing));
        assert!(watch.next().now_or_never().is_none());
    }
}
