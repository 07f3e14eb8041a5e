//! What is kept and what changes of it, as server-sent events: everything at first, and then what changed, at most once a second.
//!
//! A stream ends by itself before its connection would be cut, and the browser asks for everything anew: so what changes by time alone is
//! told too, and a reader that is gone holds nothing for long.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use tracing::error;

use super::anchors::Trust;
use super::row::{Row, readable, told};
use crate::inventory::Wanted;
use crate::serve::{Change, Changes, Context, DaemonInfo};
use crate::status::{Moment, StatusReport};
use crate::web::http::CONNECTION_LIFETIME;
use crate::web::metrics::{Limit, Metrics};

/// How long a stream lasts.
const LIFETIME: Duration = CONNECTION_LIFETIME.saturating_sub(Duration::from_secs(10));

/// How long after its end the browser asks again, in milliseconds.
const RETRY_MILLIS: u32 = 1000;

/// The most often that changes are told.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many identities are told in one event.
const BATCH: usize = 32;

/// The events of one stream.
pub(super) struct Updates {
    context: Context,
    turn: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    changes: Changes,
    info: watch::Receiver<DaemonInfo>,
    wanted: watch::Receiver<Arc<Wanted>>,
    /// What was told of the daemon last.
    head: Value,
    anchors: Arc<Trust>,
    /// What was told of these last.
    trust: Option<Arc<Value>>,
    /// Whether something may be left of what was found.
    has_more: bool,
    /// Whether everything was told once.
    was_complete: bool,
    ends: Instant,
}

/// One event: what is in it replaces what was told before.
#[derive(Serialize, Default)]
struct Update {
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<Moment>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identities: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    daemon: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    trust: Value,
    /// Whether everything was told by now.
    complete: bool,
}

impl Updates {
    /// The events from now on.
    pub(super) fn new(context: Context, anchors: Arc<Trust>, turn: Arc<Semaphore>, metrics: Arc<Metrics>) -> Self {
        Self {
            changes: Changes::new(context.clone()),
            info: context.info.clone(),
            wanted: context.wanted.clone(),
            context,
            turn,
            metrics,
            head: Value::Null,
            anchors,
            trust: None,
            has_more: true,
            was_complete: false,
            ends: Instant::now() + LIFETIME,
        }
    }

    /// The next event, as it is sent; none at the end.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            if Instant::now() >= self.ends {
                return None;
            }
            while self.has_more {
                let Some(update) = self.update().await else { continue };
                let json = serde_json::to_string(&update)
                    .inspect_err(|error| error!(%error, "an update of the page cannot be written"));
                // Whatever is not seen is written out, line breaks too, so it is one line.
                return Some(format!("retry: {RETRY_MILLIS}\ndata: {}\n\n", json.ok()?));
            }
            let told = Instant::now();
            tokio::select! {
                () = sleep_until(self.ends) => return None,
                () = self.changes.stirred() => {}
                Ok(()) = self.info.changed() => {}
                Ok(()) = self.wanted.changed() => {}
            }
            sleep_until(told + INTERVAL).await;
            self.changes.look();
            self.has_more = true;
        }
    }

    /// What is to be told now, if anything is.
    async fn update(&mut self) -> Option<Update> {
        // It is never closed.
        let _turn = Arc::clone(&self.turn).acquire_owned().await.ok();
        let now = SystemTime::now();
        let mut update = Update::default();
        while update.identities.len() + update.removed.len() < BATCH {
            match self.changes.known() {
                Some(Change::Identity(id, identity)) => {
                    let row = Row::of(&id, *identity, now);
                    if row.is_cut() {
                        self.metrics.limit_reached(Limit::PageEntries);
                    }
                    update.identities.push(told(&row));
                }
                Some(Change::Removed(id, _)) => update.removed.push(id.to_string()),
                None => {
                    self.finish(&mut update);
                    break;
                }
            }
        }
        self.has_more = !update.complete;
        let is_news = (update.complete && !self.was_complete)
            || !(update.identities.is_empty()
                && update.removed.is_empty()
                && update.daemon.is_null()
                && update.trust.is_null());
        self.was_complete |= update.complete;
        update.now = Some(Moment(Some(now)));
        is_news.then_some(update)
    }

    /// Adds what is told once the identities are.
    fn finish(&mut self, update: &mut Update) {
        let StatusReport { version, epoch, started, ready, config_error, findings, mode, .. } = self.context.head();
        let head = serde_json::json!({
            "version": version,
            "epoch": format!("{epoch:016x}"),
            "started": started,
            "ready": ready,
            "config_error": config_error,
            "findings": findings,
            "mode": mode,
        });
        let head = readable(head);
        if self.head != head {
            self.head.clone_from(&head);
            update.daemon = head;
        }
        let trust = self.anchors.now();
        if self.trust.as_ref() != Some(&trust) {
            update.trust = Value::clone(&trust);
            self.trust = Some(trust);
        }
        update.complete = true;
    }
}
