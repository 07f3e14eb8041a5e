//! One call, from its headers to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use evercert_core::text;
use evercert_core::throttle::Throttle;
use http::Request;
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use tonic::Code;

use super::settings::AccessLog;
use crate::auth::method_names::MethodNames;
use crate::auth::noted::Noted;
use crate::telemetry::{Event, Recorder, code_name};

/// The lines about calls that failed: so many at once after a rest, and then one in this time.
const FAILURES: Throttle = Throttle::new(Duration::from_millis(100)).with_burst(100);

/// Where calls are told of.
pub(super) struct Telling {
    log: AccessLog,
    recorder: Option<Arc<dyn Recorder>>,
    names: MethodNames,
    succeeded: AtomicU32,
    failures: Mutex<Throttle>,
}

/// A call that is not over. Dropped before it was told of its end, it was cancelled: by its caller, as a rule.
pub(super) struct Call {
    telling: Arc<Telling>,
    path: Option<PathAndQuery>,
    noted: Noted,
    began: Instant,
    is_over: bool,
}

impl Telling {
    pub(super) fn new(log: AccessLog, recorder: Option<Arc<dyn Recorder>>, names: MethodNames) -> Self {
        Self { log, recorder, names, succeeded: AtomicU32::new(0), failures: Mutex::new(FAILURES) }
    }

    pub(super) fn with_recorder(&self, recorder: Arc<dyn Recorder>) -> Self {
        Self::new(self.log, Some(recorder), self.names.clone())
    }

    fn write(&self, path: &str, noted: &Noted, code: Code, duration: Duration) {
        let left_out = match code {
            Code::Ok => match self.log.successes {
                Some(one_in) if self.succeeded.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in.get()) => 0,
                _ => return,
            },
            // There is a line about it that says why.
            _ if noted.is_denied() || !self.log.has_failures => return,
            _ => match self.failures.lock().take(Instant::now()) {
                Some(left_out) => left_out,
                None => return,
            },
        };
        let principal = noted.principal().map(|principal| principal.key().to_string());
        tracing::info!(
            target: "evercert::access",
            method = text::word(path),
            principal = principal.as_deref().unwrap_or("nobody"),
            code = code_name(code),
            duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            left_out,
            "call"
        );
    }
}

impl Call {
    pub(super) fn begin<R>(telling: &Arc<Telling>, request: &mut Request<R>) -> Self {
        let noted = Noted::default();
        request.extensions_mut().insert(noted.clone());
        let path = request.uri().path_and_query().cloned();
        Self { telling: Arc::clone(telling), path, noted, began: Instant::now(), is_over: false }
    }

    /// There is an answer; `code` where it is all of it.
    pub(super) fn answered(&mut self, code: Option<Code>) {
        let has_handler = !self.noted.is_denied() && code != Some(Code::Unimplemented);
        if self.telling.recorder.is_some() && has_handler {
            self.telling.names.learn(self.path.as_ref().map_or("", PathAndQuery::as_str));
        }
        if let Some(code) = code {
            self.end(code);
        }
    }

    /// It ended with this status.
    pub(super) fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let (telling, duration) = (&*self.telling, self.began.elapsed());
        let path = self.path.as_ref().map_or("", PathAndQuery::as_str);
        if let Some(recorder) = &telling.recorder {
            telling.names.with(path, |method| recorder.tell(&Event::Call { method, code, duration }));
        }
        telling.write(path, &self.noted, code, duration);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}
