//! The page at `/`: what the admin socket tells, to look at.
//!
//! ```text
//! /             the page: markup, style and script in one answer, of which the browser runs nothing else
//! /updates      what is kept, and then what changes of it: server-sent events (WHATWG HTML, §9.2)
//! /checks/NAME  what a check is about, and what to do
//! ```
//!
//! Whoever connects is shown it, so it is where this machine alone connects, or whoever has a certificate that may. Elsewhere `/` says where
//! to look instead.

mod anchors;
mod row;
mod updates;

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use base64ct::{Base64, Encoding as _};
use evercert_core::finding::Check;
use futures_util::stream;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::config::PageAt;
use crate::serve::Context;
use crate::web::metrics::Metrics;
use anchors::Trust;
use updates::Updates;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = concat!(include_str!("page/timeline.js"), include_str!("page/page.js"));

/// The page, with its style and script in their places, and the policy that lets a browser use these alone: no other script or style, no
/// other address to connect to, and no text that becomes markup.
static PAGE: LazyLock<(String, String)> = LazyLock::new(|| {
    let page = include_str!("page/index.html").replace("{style}", STYLE).replace("{script}", SCRIPT);
    let hash = |text: &str| format!("'sha256-{}'", Base64::encode_string(&Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    (page, policy)
});

/// The headers of all that the page consists of, but for its policy: none of it is kept, read by other sites or taken for something else.
const HEADERS: [(header::HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The path of the updates, which are followed for as long as the page is open.
pub(super) const UPDATES: &str = "/updates";

/// What the page tells, and to whom.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) context: Context,
    pub(crate) at: PageAt,
}

#[derive(Clone)]
struct Shown {
    context: Context,
    anchors: Arc<Trust>,
    turn: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Page {
    /// What is served of it at this address. What takes the processor waits for its `turn`; what is not told is counted in `metrics`.
    pub(super) fn routes(self, address: Option<SocketAddr>, turn: Arc<Semaphore>, metrics: Arc<Metrics>) -> Router {
        let is_on = match self.at {
            PageAt::Off => false,
            PageAt::Loopback => address.is_some_and(|address| address.ip().is_loopback()),
            PageAt::On => true,
        };
        if !is_on {
            return Router::new().route("/", get(|| async { (HEADERS, Html(include_str!("page/off.html"))) }));
        }
        let routes =
            Router::new().route("/", get(page)).route(UPDATES, get(follow)).route("/checks/{name}", get(check));
        let anchors = Arc::new(Trust::new(Arc::clone(&self.context.store), Arc::clone(&metrics)));
        routes.with_state(Shown { context: self.context, anchors, turn, metrics })
    }
}

async fn page() -> Response {
    let (page, policy) = &*PAGE;
    (HEADERS, [(header::CONTENT_SECURITY_POLICY, policy.as_str())], Html(page.as_str())).into_response()
}

async fn follow(State(Shown { context, anchors, turn, metrics }): State<Shown>) -> Response {
    let updates = stream::unfold(Updates::new(context, anchors, turn, metrics), |mut updates| async {
        let frame = updates.next().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), updates))
    });
    (HEADERS, [(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(updates)).into_response()
}

async fn check(Path(name): Path<String>) -> Response {
    match Check::named(&name) {
        Some(check) => (HEADERS, format!("{}\n\n{}", check.meaning(), check.explanation())).into_response(),
        None => (StatusCode::NOT_FOUND, HEADERS, "there is no such check\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_answer_that_asks_for_nothing_else_and_writes_no_markup() {
        let (page, policy) = &*PAGE;
        assert!(page.contains(STYLE) && page.contains(SCRIPT));
        assert!(!page.contains("{style}") && !page.contains("{script}"));
        for asking in
            ["src=", "@import", "url(", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!page.contains(asking), "{asking}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
