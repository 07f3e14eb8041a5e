//! A mounted directory as a source, and a daemon that is told what becomes of it.
//!
//! ```text
//! the mount ─ Snapshot → Identity          nothing goes from the daemon to the identity
//!                           │ Report
//!                           ↓
//! List, where no name was set ─→ Open { DELIVER_DIGEST } ──→ Update without a key | Unchanged ──→ Report, by the own digest
//!    ↑                                                           │ the stream ends
//!    └── 100 ms … 30 s and jitter ←──────────────────────────────┘
//! ```

mod pod;
mod telling;
mod view;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use self::telling::Telling;
use super::directory::{DirectorySettings, DirectorySource};
use super::{Attachment, Report, Source, SourceState};
use crate::settings::SettingsError;

/// The longest delay between attempts to reach a daemon that is not there, or that does not keep or permit the identity, before the
/// random part.
pub const ABSENT_MAX: Duration = Duration::from_secs(30);

/// Keeps one directory's certificate as [`DirectorySource`] does, and tells the daemon what is served and what is refused. Whatever
/// comes of the telling, the snapshots are the directory's. Dropping it ends both.
pub struct ObservedSource {
    directory: Arc<DirectorySource>,
    reports: watch::Sender<Option<Report>>,
    /// Absent where nobody is to be told.
    telling: Option<(watch::Receiver<Attachment>, AbortOnDropHandle<()>)>,
}

impl ObservedSource {
    /// Starts: the directory is read by the thread of the process's identities, and the daemon is told on the current tokio runtime, for as long as
    /// that lasts. Neither a directory nor a daemon that is not there is an error.
    ///
    /// # Errors
    ///
    /// As [`DirectorySource::start`], or the socket's path is relative.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(settings: &DirectorySettings) -> Result<Arc<Self>, SettingsError> {
        settings.socket.check()?;
        let directory = DirectorySource::start(settings)?;
        let (reports, reported) = watch::channel(None);
        let telling = settings.is_observed.then(|| {
            let (attachment, attachments) = watch::channel(Attachment::default());
            let telling = Telling::new(settings, &directory, reported, attachment);
            (attachments, AbortOnDropHandle::new(tokio::spawn(telling.run())))
        });
        Ok(Arc::new(Self { directory, reports, telling }))
    }
}

impl Source for ObservedSource {
    fn state(&self) -> watch::Receiver<SourceState> {
        self.directory.state()
    }

    fn report(&self, report: Report) {
        self.reports.send_replace(Some(report));
    }

    fn attachment(&self) -> Option<Attachment> {
        self.telling.as_ref().map(|(attachment, _)| attachment.borrow().clone())
    }
}

impl fmt::Debug for ObservedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedSource")
            .field("directory", &self.directory)
            .field("attachment", &self.attachment())
            .finish_non_exhaustive()
    }
}
