//! Certificates, keys and a policy that change every second, under calls of all kinds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use evercert::Channel;
use evercert::telemetry::{Event, FileKind, Recorder};
use evercert_fixtures::TokenIssuer;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tonic::Code;

use crate::guarded::{Method, POLICY, Stage, Token};

/// The time between two rotations of everything.
const EVERY: Duration = Duration::from_secs(1);

/// The rotations for which a key is published before tokens are signed with it: files are looked at once a second.
const AHEAD: usize = 4;

/// The keys that are published at a time: those to come, the one that signs, and the one before it.
const PUBLISHED: usize = AHEAD + 2;

/// The most answers that are kept to be looked at.
const KEPT: usize = 10;

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The calls that were made.
    pub calls: u64,
    /// Those of them that the policy allows.
    pub good: u64,
    /// Those that ended otherwise than they had to.
    pub wrong: u64,
    /// Those of them that the policy allows.
    pub failed: u64,
    /// The calls that reached a handler beside those that were allowed to.
    pub bypasses: u64,
    /// The rotations of everything.
    pub rotations: u64,
    /// The times that keys were taken up, and policies.
    pub reloads: [u64; 2],
    /// Some of the wrong answers.
    pub examples: Vec<String>,
}

#[derive(Default)]
struct Reloads([AtomicU64; 2]);

impl Recorder for Reloads {
    fn record(&self, event: &Event<'_>) {
        if let Event::Reloaded { file, is_used: true, .. } = event {
            self.0[usize::from(*file == FileKind::Policy)].fetch_add(1, Relaxed);
        }
    }
}

#[derive(Default)]
struct Counts {
    done: AtomicBool,
    calls: AtomicU64,
    good: AtomicU64,
    wrong: AtomicU64,
    failed: AtomicU64,
    examples: Mutex<Vec<String>>,
}

/// One token of each kind, by the key of the moment.
type Tokens = Mutex<Arc<Vec<(Token, Option<String>)>>>;

/// Rotates everything for so long while callers with certificates and without make all calls there are.
pub async fn run(duration: Duration, workers: usize) -> Outcome {
    let stage = Stage::new();
    let mut keys = (0..PUBLISHED).map(|number| TokenIssuer::es256(&number.to_string())).collect::<Vec<_>>();
    publish(&stage, &keys);
    let reloads = Arc::new(Reloads::default());
    let security = stage.security().recorder(reloads.clone()).build().unwrap();
    let server = stage.serve(security).await;
    let (counts, tokens) = (Arc::new(Counts::default()), Arc::new(Tokens::default()));
    sign(&tokens, &keys[1]);
    let mut tasks = JoinSet::new();
    for worker in 0..workers {
        let has_certificate = worker % 2 == 0;
        let channel = stage.channel(&server, has_certificate).await;
        tasks.spawn(call(channel, has_certificate, Arc::clone(&counts), Arc::clone(&tokens)));
    }
    let rotations = duration.as_secs() / EVERY.as_secs();
    for rotation in 0..rotations {
        tokio::time::sleep(EVERY).await;
        keys.remove(0);
        keys.push(TokenIssuer::es256(&(PUBLISHED as u64 + rotation).to_string()));
        publish(&stage, &keys);
        sign(&tokens, &keys[1]);
        stage.rotate();
        stage.write(&stage.policy_file(), &format!("name = \"version-{rotation}\"\n{POLICY}"));
    }
    counts.done.store(true, Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let (calls, good, wrong, failed) = (
        counts.calls.load(Relaxed),
        counts.good.load(Relaxed),
        counts.wrong.load(Relaxed),
        counts.failed.load(Relaxed),
    );
    Outcome {
        calls,
        good,
        wrong,
        failed,
        bypasses: server.counted.reached().saturating_sub(good),
        rotations,
        reloads: [0, 1].map(|file| reloads.0[file].load(Relaxed)),
        examples: std::mem::take(&mut counts.examples.lock()),
    }
}

fn publish(stage: &Stage, keys: &[TokenIssuer]) {
    stage.write(&stage.keys_file(), &TokenIssuer::jwks_of(keys));
}

fn sign(tokens: &Tokens, issuer: &TokenIssuer) {
    *tokens.lock() = Arc::new(Token::ALL.map(|kind| (kind, Stage::token_by(issuer, kind))).to_vec());
}

async fn call(channel: Channel, has_certificate: bool, counts: Arc<Counts>, tokens: Arc<Tokens>) {
    while !counts.done.load(Relaxed) {
        let tokens = Arc::clone(&tokens.lock());
        for (token, bearer) in tokens.iter() {
            for method in Method::ALL {
                let expected = method.expected(*token, has_certificate);
                let code = method.call(&channel, bearer.as_deref()).await;
                counts.calls.fetch_add(1, Relaxed);
                // A handler of the greeter's is not counted, and is not reached by anybody.
                counts.good.fetch_add(u64::from(expected == Code::Ok), Relaxed);
                if code != expected {
                    counts.wrong.fetch_add(1, Relaxed);
                    counts.failed.fetch_add(u64::from(expected == Code::Ok), Relaxed);
                    let mut examples = counts.examples.lock();
                    if examples.len() < KEPT {
                        examples.push(format!("{method:?} {token:?} {has_certificate}: {code:?}, not {expected:?}"));
                    }
                }
            }
        }
    }
}
