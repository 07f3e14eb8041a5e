use std::sync::atomic::AtomicUsize;

use tokio::sync::Notify;
use tokio::time::advance;

use super::*;

/// A closure that counts its fetches, and gives what it is told to.
struct Issuer {
    fetches: AtomicUsize,
    /// What it gives: a life in seconds, or an error.
    gives: Mutex<Result<u64, &'static str>>,
    /// Whether it gives nothing before it is let go.
    holds: AtomicBool,
    goes: Notify,
}

impl Issuer {
    fn new(life: u64) -> Arc<Self> {
        Arc::new(Self {
            fetches: AtomicUsize::new(0),
            gives: Mutex::new(Ok(life)),
            holds: AtomicBool::new(false),
            goes: Notify::new(),
        })
    }

    fn fetched(self: &Arc<Self>) -> Arc<Fetched> {
        let this = Arc::clone(self);
        Fetched::new(move || {
            let this = Arc::clone(&this);
            async move {
                let count = this.fetches.fetch_add(1, Ordering::Relaxed) + 1;
                if this.holds.load(Ordering::Relaxed) {
                    this.goes.notified().await;
                }
                let life = (*this.gives.lock())?;
                Ok::<_, FetchError>(AccessToken::new(format!("t{count}")).expires_in(Duration::from_secs(life)))
            }
        })
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

fn sent(header: &HeaderValue) -> &str {
    header.to_str().unwrap().strip_prefix("Bearer ").unwrap()
}

fn later(seconds: u64) -> SystemTime {
    SystemTime::now() + Duration::from_secs(seconds)
}

/// Lets the tasks of the runtime go on.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_at_once_wait_for_one_fetch() {
    let issuer = Issuer::new(3600);
    let fetched = issuer.fetched();
    assert!(fetched.cached(later(0)).is_none());
    let waiting = (0..50).map(|_| fetched.fresh(later(0)));
    for header in futures_util::future::join_all(waiting).await {
        assert_eq!(sent(&header.unwrap()), "t1");
    }
    assert_eq!((issuer.fetches(), sent(&fetched.cached(later(0)).unwrap())), (1, "t1"));
}

#[tokio::test(start_paused = true)]
async fn in_the_minute_before_it_is_old_a_call_goes_on_with_it_and_has_the_next_one_fetched() {
    let issuer = Issuer::new(3600);
    let fetched = issuer.fetched();
    fetched.fresh(later(0)).await.unwrap();
    assert_eq!(sent(&fetched.cached(later(3500)).unwrap()), "t1");
    settle().await;
    assert_eq!(issuer.fetches(), 1);
    assert_eq!(sent(&fetched.cached(later(3515)).unwrap()), "t1");
    settle().await;
    assert_eq!((issuer.fetches(), sent(&fetched.cached(later(0)).unwrap())), (2, "t2"));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_old_is_waited_for_and_until_its_end_stands_in_for_one_that_cannot_be_had() {
    let issuer = Issuer::new(3600);
    let fetched = issuer.fetched();
    fetched.fresh(later(0)).await.unwrap();
    *issuer.gives.lock() = Err("the issuer is down");
    assert!(fetched.cached(later(3575)).is_none());
    assert_eq!(sent(&fetched.fresh(later(3575)).await.unwrap()), "t1");
    let error = fetched.fresh(later(3605)).await.unwrap_err();
    assert_eq!(error.status().code(), tonic::Code::Unavailable);
    assert!(error.to_string().contains("the issuer is down"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_calls_fail_with_it_and_fetch_again_only_after_a_wait_that_grows() {
    let issuer = Issuer::new(3600);
    *issuer.gives.lock() = Err("down");
    let fetched = issuer.fetched();
    let mut waits = Vec::new();
    for fetches in 1..=9 {
        let begin = Instant::now();
        while issuer.fetches() < fetches {
            assert!(fetched.fresh(later(0)).await.unwrap_err().to_string().contains("down"));
            advance(Duration::from_millis(250)).await;
        }
        waits.push(begin.elapsed());
    }
    assert!(waits[1] >= FIRST_WAIT && waits[8] >= LONGEST_WAIT && waits[8] <= 3 * LONGEST_WAIT, "{waits:?}");
    *issuer.gives.lock() = Ok(3600);
    advance(3 * LONGEST_WAIT).await;
    assert_eq!(sent(&fetched.fresh(later(0)).await.unwrap()), "t10");
}

#[tokio::test(start_paused = true)]
async fn what_no_server_would_take_is_unauthenticated() {
    for token in ["a b", "a\r\nx: y", "", "opaque"] {
        let fetched = Fetched::new(move || async move { Ok::<_, FetchError>(token.to_owned()) });
        let error = fetched.fresh(later(0)).await.unwrap_err();
        assert_eq!(error.status().code(), tonic::Code::Unauthenticated, "{error}");
        assert!(!error.to_string().contains("opaque"), "{error}");
    }
    let issuer = Issuer::new(0);
    let error = issuer.fetched().fresh(later(0)).await.unwrap_err();
    assert_eq!(error.status().code(), tonic::Code::Unauthenticated, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_panics_or_never_ends_is_unavailable() {
    let panics = Fetched::new(|| -> std::future::Ready<Result<String, FetchError>> { panic!("a defect") });
    assert!(matches!(panics.fresh(later(0)).await, Err(BearerTokenError::Panicked)));
    let never = Fetched::new(std::future::pending::<Result<String, FetchError>>);
    let error = never.fresh(later(0)).await.unwrap_err();
    assert!(matches!(error, BearerTokenError::TooSlow(FETCH)), "{error}");
    assert_eq!(error.status().code(), tonic::Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn one_that_a_server_rejects_is_fetched_anew_once_in_a_while() {
    let issuer = Issuer::new(3600);
    let fetched = issuer.fetched();
    let first = fetched.fresh(later(0)).await.unwrap();
    fetched.rejected(&first);
    assert!(fetched.cached(later(0)).is_some(), "it was fetched just now");
    advance(REJECTION_INTERVAL).await;
    fetched.rejected(&HeaderValue::from_static("Bearer other"));
    assert!(fetched.cached(later(0)).is_some(), "it was another");
    fetched.rejected(&first);
    assert!(fetched.cached(later(0)).is_none());
    assert_eq!(sent(&fetched.fresh(later(0)).await.unwrap()), "t2");
    advance(REJECTION_INTERVAL).await;
    *issuer.gives.lock() = Err("down");
    fetched.refresh();
    assert_eq!(sent(&fetched.fresh(later(0)).await.unwrap()), "t2", "there is no other");
    assert_eq!(sent(&fetched.cached(later(0)).unwrap()), "t2");
}

#[test]
fn a_runtime_that_ends_takes_its_fetch_along_and_the_next_one_begins_another() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let issuer = Issuer::new(3600);
    issuer.holds.store(true, Ordering::Relaxed);
    let fetched = issuer.fetched();
    let first = runtime();
    first.block_on(async {
        let waiting = tokio::spawn({
            let fetched = Arc::clone(&fetched);
            async move { fetched.fresh(later(0)).await.map(drop) }
        });
        settle().await;
        assert!(!waiting.is_finished());
    });
    drop(first);
    issuer.holds.store(false, Ordering::Relaxed);
    assert_eq!(sent(&runtime().block_on(fetched.fresh(later(0))).unwrap()), "t2");

    let ended = runtime();
    let handle = ended.handle().clone();
    drop(ended);
    let _entered = handle.enter();
    let other = Issuer::new(3600).fetched();
    let outcome = futures_util::FutureExt::now_or_never(other.fresh(later(0)));
    assert!(matches!(outcome, Some(Err(BearerTokenError::NoRuntime))), "{outcome:?}");
}

#[test]
fn nothing_shows_the_token() {
    let shown = format!("{:?}", AccessToken::new("s3cret".to_owned()).expires_in(Duration::from_secs(5)));
    assert!(!shown.contains("s3cret"), "{shown}");
}
