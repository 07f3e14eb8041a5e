//! How long a set that is rejected takes to be told, at each place that tells of it.

mod page;
mod places;

use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert::source::{AgentSettings, AgentSource, Source as _, SourceState};
use evercert_fixtures::{Authority, KubeletVolume, Leaf};
use evercert_tests::daemon::{Home, identity};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::latencies::Latencies;
use crate::stage::{IDENTITY, NAME};
use places::{Place, Telling};

/// How long one place may take to tell, and to take it back.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many times the volume is swapped to a set with the key of another leaf, for each place
    #[arg(long, default_value_t = 50)]
    swaps: usize,
}

pub(crate) async fn run(args: Args) -> Value {
    let authority = Authority::new("bench");
    let [good, other] = [(); 2].map(|()| authority.issue(Leaf::for_dns(NAME)));
    let (good, broken) = (good.files(), good.files().with("tls.key", &other.key_pem));
    let volume = Arc::new(KubeletVolume::new(&good));
    let home = Home::open_to_all(&std::env::temp_dir(), crate::daemon);
    home.configure(&identity(IDENTITY, volume.path()));
    let _daemon = home.start().await;
    let source = AgentSource::start(AgentSettings::new(IDENTITY).socket(home.agent_socket())).unwrap();
    let mut subscriber = source.state();
    until_well(&mut subscriber).await;

    let mut places = serde_json::Map::new();
    let mut kept = true;
    // One place after the other: those that are polled would have the others wait for a processor.
    for mut place in Place::all(&home, subscriber.clone()).await {
        let mut latencies = Latencies::new();
        for number in 0..args.swaps {
            place.rest(number).await;
            let (swapped, files) = (Arc::clone(&volume), broken.clone());
            // The kubelet goes on with its own work after the rename, beside everyone else's.
            let swap = tokio::task::spawn_blocking(move || swapped.swap(&files));
            let told = async {
                place.until(Telling::Rejected).await;
                Instant::now()
            };
            if let Ok((renamed, told)) = tokio::time::timeout(LIMIT, async { tokio::join!(swap, told) }).await {
                latencies.record(told - renamed.unwrap());
            }
            volume.swap(&good);
            let taken_back = async { tokio::join!(until_well(&mut subscriber), place.until(Telling::Well)) };
            tokio::time::timeout(LIMIT, taken_back).await.expect("what is mended is told");
        }
        kept &= latencies.count() == args.swaps as u64;
        let mut figures = latencies.figures();
        figures["told"] = latencies.count().into();
        places.insert(place.name().to_owned(), figures);
    }
    json!({
        "scenario": "tell",
        "settings": { "swaps": args.swaps },
        "kept": kept,
        "rename_to_told_ms": places,
    })
}

/// Waits until the subscriber knows of nothing that is wrong.
async fn until_well(subscriber: &mut watch::Receiver<SourceState>) {
    subscriber.wait_for(|state| state.snapshot.is_some() && state.trouble.is_none()).await.unwrap();
}
