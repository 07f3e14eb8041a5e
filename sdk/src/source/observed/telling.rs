//! One stream after the other.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_api::v1;
use evercert_core::digest::Digest;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::Streaming;

use super::ABSENT_MAX;
use super::pod;
use super::view::{View, choose};
use crate::backoff::Backoff;
use crate::source::agent::{ANSWER_TIMEOUT, RECONNECT_MAX, RECONNECT_MIN};
use crate::source::directory::{DirectorySettings, DirectorySource, Rejection};
use crate::source::socket::Socket;
use crate::source::stream::{self, Ended};
use crate::source::{Attachment, Report, Source as _, SourceState};

/// The wait for the first reading of the mount, since its content tells which identity it is.
const FIRST_READ: Duration = Duration::from_secs(5);

/// Tells the daemon of one directory.
#[derive(Debug)]
pub(super) struct Telling {
    mount: ObservedMount,
    socket: Socket,
    /// The identity's name, where one was set.
    set_name: Option<Arc<str>>,
    /// The UID of the pod that this process is in, where that was set or can be told.
    pod_uid: Option<Arc<str>>,
    /// The name of the daemon's identity that had the same content once.
    found: Option<Arc<str>>,
    own_name: Option<Arc<str>>,
    states: watch::Receiver<SourceState>,
    rejections: watch::Receiver<Option<Rejection>>,
    reports: watch::Receiver<Option<Report>>,
    attachment: watch::Sender<Attachment>,
}

impl Telling {
    pub(super) fn new(
        settings: &DirectorySettings,
        directory: &DirectorySource,
        reports: watch::Receiver<Option<Report>>,
        attachment: watch::Sender<Attachment>,
    ) -> Self {
        Self {
            mount: ObservedMount { socket: settings.socket.path.clone(), directory: settings.directory().to_owned() },
            socket: settings.socket.clone(),
            set_name: settings.set_name().map(Arc::from),
            pod_uid: settings.pod_uid().map(Arc::from).or_else(pod::own_uid),
            found: None,
            own_name: settings.own_name().map(Arc::from),
            states: directory.state(),
            rejections: directory.rejection(),
            reports,
            attachment,
        }
    }

    /// Tells for ever; the source aborts it.
    pub(super) async fn run(mut self) {
        // The keeper of the directory outlives this task, and what is not read by then is read later.
        let _ = timeout(FIRST_READ, self.states.changed()).await;
        let mut lost = Backoff::new(RECONNECT_MIN, RECONNECT_MAX);
        let mut absent = Backoff::new(RECONNECT_MIN, ABSENT_MAX);
        loop {
            let mut opened = None;
            let Err(detached) = self.attach(&mut opened).await;
            self.tell(false, Some(detached.trouble(&self.mount)));
            if detached.is_answer() {
                // Another one may have its content now. A daemon that is not there has said nothing of that.
                self.found = None;
            }
            let wait = if detached.is_absence() {
                absent.next()
            } else {
                absent.reset();
                lost.after(opened.map_or(Duration::ZERO, |opened: Instant| opened.elapsed()))
            };
            sleep(wait).await;
        }
    }

    /// One stream, to its end.
    async fn attach(&mut self, opened: &mut Option<Instant>) -> Result<Infallible, Detached> {
        let held = self.held();
        let mut view = View::new(held);
        let (answers, answered) = watch::channel(None);
        let mut responses = timeout(ANSWER_TIMEOUT, self.open(held, answered)).await.map_err(|_| Ended::Silent)??;
        let mut message = timeout(ANSWER_TIMEOUT, responses.message()).await.map_err(|_| Ended::Silent)?;
        *opened = Some(Instant::now());
        loop {
            view.receive(message.map_err(Ended::from)?.ok_or(Ended::Closed)?);
            // Every message that names a generation is to be answered, also where the answer is as before.
            if let Some(report) = self.report(&view) {
                answers.send_replace(Some(report));
            }
            self.tell(true, view.trouble.as_ref().map(|trouble| format!("{} {trouble}", self.mount)));
            message = loop {
                tokio::select! {
                    message = responses.message() => break message,
                    Ok(()) = self.reports.changed() => {}
                    Ok(()) = self.rejections.changed() => {}
                }
                let report = self.report(&view);
                answers.send_if_modified(|told| report.is_some() && std::mem::replace(told, report.clone()) != report);
            };
        }
    }

    async fn open(
        &mut self,
        held: Option<Digest>,
        answers: watch::Receiver<Option<v1::Report>>,
    ) -> Result<Streaming<v1::WatchResponse>, Detached> {
        let mut client = stream::connect(&self.socket).await?;
        let name = match self.set_name.as_ref().or(self.found.as_ref()) {
            Some(name) => Arc::clone(name),
            None => {
                let all = client.list(self.question(held)).await.map_err(Ended::from)?.into_inner().identities;
                let name = choose(&all, held, self.own_name.as_deref()).ok_or(Detached::Unknown)?;
                let is_sure = held
                    .is_some_and(|held| all.iter().any(|one| one.identity == *name && one.digest == held.as_bytes()));
                self.found = is_sure.then(|| Arc::clone(&name));
                name
            }
        };
        let responses = stream::open_without_key(&mut client, &name, held, self.pod_uid.as_deref(), answers).await?;
        self.attachment.send_modify(|attachment| attachment.identity = Some(name));
        Ok(responses)
    }

    /// What a daemon that cannot see this process needs to know to tell which identity is the mount's.
    fn question(&self, held: Option<Digest>) -> v1::ListRequest {
        v1::ListRequest {
            held_digest: held.map(|digest| digest.as_bytes().to_vec()).unwrap_or_default(),
            pod_uid: self.pod_uid.as_deref().unwrap_or_default().to_owned(),
            name: self.own_name.as_deref().unwrap_or_default().to_owned(),
        }
    }

    /// The report to the daemon now; what comes later is a change.
    fn report(&mut self, view: &View) -> Option<v1::Report> {
        let rejection = self.rejections.borrow_and_update().clone();
        let reported = self.reports.borrow_and_update().clone();
        view.report(self.held(), rejection.as_ref(), reported.as_ref())
    }

    fn held(&self) -> Option<Digest> {
        self.states.borrow().snapshot.as_ref().map(|snapshot| snapshot.digest())
    }

    fn tell(&self, connected: bool, trouble: Option<String>) {
        self.attachment.send_if_modified(|attachment| {
            let trouble = trouble.map(Arc::from);
            if (attachment.connected, &attachment.trouble) == (connected, &trouble) {
                return false;
            }
            match (&trouble, &attachment.identity) {
                (Some(trouble), _) => tracing::debug!("{trouble}"),
                (None, identity) => {
                    tracing::info!(identity = identity.as_deref(), "{} is told what is served", self.mount)
                }
            }
            (attachment.connected, attachment.trouble) = (connected, trouble);
            true
        });
    }
}

/// Socket and directory: the subject of every sentence of trouble.
#[derive(Debug)]
struct ObservedMount {
    socket: PathBuf,
    directory: PathBuf,
}

impl fmt::Display for ObservedMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evercertd at {}, to be told of the mount {},", self.socket.display(), self.directory.display())
    }
}

/// Why the daemon is not told.
#[derive(Debug, thiserror::Error)]
enum Detached {
    #[error(transparent)]
    Ended(#[from] Ended),
    #[error("none of the daemon's identities is the mount's")]
    Unknown,
}

impl Detached {
    /// Whether there is nobody to tell until somebody changes something.
    fn is_absence(&self) -> bool {
        self.is_answer() || matches!(self, Self::Ended(ended) if ended.is_absence())
    }

    /// Whether the daemon said that it does not keep or permit the identity.
    fn is_answer(&self) -> bool {
        match self {
            Self::Ended(ended) => ended.is_refusal(),
            Self::Unknown => true,
        }
    }

    fn trouble(&self, mount: &ObservedMount) -> String {
        match self {
            Self::Ended(ended) => ended.trouble(mount),
            Self::Unknown => format!(
                "{mount} permits no identity that has the content or the name of the directory: set its name to that of \
                 the daemon's identity"
            ),
        }
    }
}
