//! All sets renewed at once, and one more in the middle of that.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert::Identity;
use evercert::source::AgentSettings;
use evercert_api::v1::admin_client::AdminClient;
use evercert_api::v1::{EventsRequest, event};
use evercert_fixtures::{Issued, KubeletVolume};
use evercert_tests::channel::connect;
use evercert_tests::daemon::{Daemon, Home};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::process;
use crate::stage;

/// How long until all are published, until the first is, and until one more is that is renewed in the middle.
const ALL: Duration = Duration::from_secs(3);
const FIRST: Duration = Duration::from_millis(50);
const ONE_MORE: Duration = Duration::from_millis(200);
/// How many times as much as at rest the memory may be at its most.
const MEMORY: f64 = 1.1;
/// How long what comes of the written files, which are not in their places yet, may take.
const SETTLED: Duration = Duration::from_secs(5);

/// Renews `sets` and, among them, `one_more`; `issued` is one certificate for each.
pub(super) async fn run(
    daemon: &Daemon<'_>,
    home: &Home,
    sets: &[KubeletVolume],
    issued: &[Issued],
    one_more: &Arc<KubeletVolume>,
) -> Value {
    let mut prepared: Vec<_> = sets.iter().zip(issued).map(|(set, issued)| set.prepare(&issued.files())).collect();
    let last = issued[sets.len()].files();
    let (first, other) = (seen(home, "set-0").await, seen(home, stage::IDENTITY).await);
    let published = followed(home, sets.len()).await;
    tokio::time::sleep(SETTLED).await;
    let rest = process::memory(daemon.pid(), "VmRSS");
    // From now on the most is counted anew (proc_pid_clear_refs(5)).
    fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5").unwrap();

    let second_half = prepared.split_off(prepared.len() / 2);
    let (start, middle, made) = std::thread::scope(|scope| {
        let renewing = scope.spawn(|| {
            let mut renamed: Vec<_> = prepared.into_iter().map(|swap| swap.make()).collect();
            let middle = one_more.swap(&last);
            renamed.extend(second_half.into_iter().map(|swap| swap.make()));
            (renamed[0], middle, Instant::now())
        });
        tokio::task::block_in_place(|| renewing.join().unwrap())
    });
    let (first, other, all) = tokio::join!(first, other, published);
    let (first, other, all) = (first.unwrap() - start, other.unwrap() - middle, all.unwrap() - start);
    let most = process::memory(daemon.pid(), "VmHWM");
    let ms = |time: Duration| time.as_micros() as f64 / 1000.0;
    json!({
        "kept": all <= ALL && first <= FIRST && other <= ONE_MORE && most <= rest * MEMORY,
        "renamed_ms": ms(made - start),
        "all_published_ms": ms(all),
        "first_ms": ms(first),
        "one_more_in_the_middle_ms": ms(other),
        "rss_at_rest_mib": rest,
        "rss_peak_mib": most,
    })
}

/// When a subscriber of `name` has the next generation.
async fn seen(home: &Home, name: &str) -> JoinHandle<Instant> {
    let mut identity = Identity::from_agent(AgentSettings::new(name).socket(home.agent_socket())).await.unwrap();
    _ = tokio::time::timeout(Duration::ZERO, identity.changed()).await;
    tokio::spawn(async move {
        identity.changed().await;
        Instant::now()
    })
}

/// When so many identities have a later generation than their first, as the admin socket tells it.
async fn followed(home: &Home, count: usize) -> JoinHandle<Instant> {
    let channel = connect(home.admin_socket()).await.unwrap();
    let mut events = AdminClient::new(channel).events(EventsRequest {}).await.unwrap().into_inner();
    tokio::spawn(async move {
        let mut renewed = HashSet::new();
        while renewed.len() < count {
            let told = events.message().await.unwrap().unwrap();
            if let Some(event::Event::Identity(status)) = told.event
                && status.generation > 1
                && status.identity.starts_with("set-")
            {
                renewed.insert(status.identity);
            }
        }
        Instant::now()
    })
}
