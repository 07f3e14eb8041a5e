//! One stream after the other.

use std::error::Error;
use std::time::{Duration, Instant};

use evercert_api::v1;
use evercert_api::v1::agent_client::AgentClient;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::WatchStream;
use tonic::{Code, Status, Streaming};

use super::holding::Holding;
use super::socket::{self, SocketError};
use super::{ANSWER_TIMEOUT, AgentSettings, MESSAGE_LIMIT, RECONNECT_MAX, RECONNECT_MIN};
use crate::backoff::Backoff;
use crate::source::{Report, SourceState};

/// What this SDK calls itself.
const SDK_VERSION: &str = concat!("evercert/", env!("CARGO_PKG_VERSION"));

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
        let trouble = format!("{} has not answered yet", Holding::new(settings).origin());
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
            self.holding.disconnected(ended.trouble(&self.holding));
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

    /// Opens the stream; `answers` are the reports to send on it, of which the latest wins: a daemon that does not read them is
    /// not waited for.
    async fn open(&self, answers: watch::Receiver<Option<v1::Report>>) -> Result<Streaming<v1::WatchResponse>, Ended> {
        let stream = socket::connect(&self.settings).await?;
        let channel = socket::channel(stream).await?;
        let open = v1::watch_request::Message::Open(v1::Open {
            identity: self.settings.identity.clone(),
            deliver: v1::Deliver::Full.into(),
            held_digest: self.holding.held_digest().map(|digest| digest.as_bytes().to_vec()).unwrap_or_default(),
            sdk_version: SDK_VERSION.to_owned(),
        });
        let reports = WatchStream::from_changes(answers)
            .filter_map(|report| async move { report.map(v1::watch_request::Message::Report) });
        let requests = futures_util::stream::iter([open])
            .chain(reports)
            .map(|message| v1::WatchRequest { message: Some(message) });
        let mut client = AgentClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
        Ok(client.watch(Box::pin(requests)).await?.into_inner())
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
                None if !state.connected => tracing::info!("{} is connected", self.holding.origin()),
                _ => {}
            }
            *state = SourceState { snapshot: snapshot.cloned(), connected, trouble: trouble.cloned() };
            true
        });
    }
}

/// Why a stream ended, or never began.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
    #[error(transparent)]
    Status(#[from] Status),
    #[error("no answer within {ANSWER_TIMEOUT:?}")]
    Silent,
    #[error("the stream ended")]
    Closed,
}

impl Ended {
    /// Whether the daemon decided: it will decide the same until somebody changes something.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Status(status) if matches!(status.code(),
            Code::NotFound | Code::PermissionDenied | Code::Unimplemented | Code::InvalidArgument))
    }

    fn trouble(&self, holding: &Holding) -> String {
        let origin = holding.origin();
        match self {
            Self::Socket(error) => format!("{origin} cannot be reached: {error}"),
            Self::Transport(error) => format!("{origin} cannot be reached: {}", root(error)),
            Self::Status(status) => match (status.code(), status.source()) {
                (Code::NotFound, _) => format!("{origin} does not know it: {}", status.message()),
                (Code::PermissionDenied, _) => format!("{origin} does not permit it: {}", status.message()),
                (_, Some(error)) => format!("{origin} is gone: {}", root(error)),
                (Code::Unavailable, None) => format!("{origin} is unavailable: {}", status.message()),
                (code, None) => format!("{origin} ended the stream: {code}: {}", status.message()),
            },
            Self::Silent => format!("{origin} did not answer within {ANSWER_TIMEOUT:?}"),
            Self::Closed => format!("{origin} ended the stream"),
        }
    }
}

/// What is at the bottom of an error: tonic and hyper say little above it ("transport error").
fn root<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
