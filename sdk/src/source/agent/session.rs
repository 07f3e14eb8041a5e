//! One stream after the other.

use std::time::{Duration, Instant};

use evercert_api::v1;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::Streaming;

use super::holding::Holding;
use super::{ANSWER_TIMEOUT, AgentSettings, RECONNECT_MAX, RECONNECT_MIN};
use crate::backoff::Backoff;
use crate::source::stream::{self, Ended};
use crate::source::{Report, SourceState};

/// The task of an agent source.
#[derive(Debug)]
pub(super) struct Follower {
    settings: AgentSettings,
    holding: Holding,
    state: watch::Sender<SourceState>,
    reports: watch::Receiver<Option<Report>>,
}

impl Follower {
    /// The state before anything was tried.
    pub(super) fn initial(settings: &AgentSettings) -> SourceState {
        let trouble = format!("{} has not answered yet", Holding::new(settings).subscription());
        SourceState { trouble: Some(trouble.into()), ..SourceState::default() }
    }

    pub(super) fn new(
        settings: AgentSettings,
        state: watch::Sender<SourceState>,
        reports: watch::Receiver<Option<Report>>,
    ) -> Self {
        Self { holding: Holding::new(&settings), settings, state, reports }
    }

    /// Follows for ever; the source aborts it.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(RECONNECT_MIN, RECONNECT_MAX);
        loop {
            let mut opened = None;
            let Err(ended) = self.follow(&mut opened).await;
            let lasted = opened.map_or(Duration::ZERO, |opened: Instant| opened.elapsed());
            self.holding.disconnected(ended.trouble(self.holding.subscription()));
            self.publish(false);
            // A daemon that said no will say so again.
            let wait = if ended.is_refusal() { backoff.longest() } else { backoff.after(lasted) };
            sleep(wait).await;
        }
    }

    /// One stream, to its end.
    async fn follow(&mut self, opened: &mut Option<Instant>) -> Result<std::convert::Infallible, Ended> {
        // Before the stream exists: a report made while it is opened is then sent on it.
        let (answers, answered) = watch::channel(None);
        let mut responses = timeout(ANSWER_TIMEOUT, self.open(answered)).await.map_err(|_| Ended::Silent)??;
        let mut first = timeout(ANSWER_TIMEOUT, responses.message()).await.map_err(|_| Ended::Silent)?;
        *opened = Some(Instant::now());
        loop {
            let message = first?.ok_or(Ended::Closed)?;
            let reported = self.reports.borrow_and_update().clone();
            if let Some(answer) = self.holding.receive(message, reported.as_ref()) {
                answers.send_replace(Some(answer));
            }
            self.publish(true);
            first = loop {
                tokio::select! {
                    message = responses.message() => break message,
                    Ok(()) = self.reports.changed() => {
                        let reported = self.reports.borrow_and_update().clone();
                        if let Some(answer) = reported.and_then(|report| self.holding.report(&report)) {
                            answers.send_replace(Some(answer));
                        }
                    }
                }
            };
        }
    }

    async fn open(&self, answers: watch::Receiver<Option<v1::Report>>) -> Result<Streaming<v1::WatchResponse>, Ended> {
        let (identity, held) = (&self.settings.identity, self.holding.held_digest());
        stream::open_with_key(&self.settings.socket, identity, held, answers).await
    }

    fn publish(&self, connected: bool) {
        let (snapshot, trouble) = (self.holding.snapshot(), self.holding.trouble());
        self.state.send_if_modified(|state| {
            let same = state.connected == connected
                && state.trouble.as_ref() == trouble
                && state.snapshot.as_ref().map(|held| held.digest()) == snapshot.map(|held| held.digest());
            if same {
                return false;
            }
            match trouble {
                Some(trouble) if state.trouble.as_ref() != Some(trouble) => tracing::warn!("{trouble}"),
                None if !state.connected => tracing::info!("{} is connected", self.holding.subscription()),
                _ => {}
            }
            *state = SourceState { snapshot: snapshot.cloned(), connected, trouble: trouble.cloned() };
            true
        });
    }
}
