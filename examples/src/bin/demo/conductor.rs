//! The order of events: rotations, a broken one between them, and what is measured of each.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_fixtures::{Authority, Issued, KubeletVolume, Leaf};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use crate::daemon::{Daemon, Status};
use crate::probe::Probe;
use crate::summary::Summary;
use crate::traffic::{Counts, Traffic};
use crate::{Args, Result};

/// How long a rotation may take to be served, and to be acknowledged by everyone, before it counts as missed.
const ROTATION_DEADLINE: Duration = Duration::from_secs(10);

/// The finding that the broken rotation must raise.
const BROKEN_FINDING: &str = "key-mismatch";

/// The state at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) rotations: u32,
    pub(crate) summary: Summary,
    /// The serial that the last handshake of the probe saw, hexadecimal.
    pub(crate) serial: String,
    /// The events so far, in order.
    pub(crate) events: Vec<String>,
}

/// The inputs of the screen.
pub(crate) struct Views {
    pub(crate) scene: watch::Receiver<Scene>,
    pub(crate) status: watch::Receiver<Option<Status>>,
    pub(crate) counts: Arc<Counts>,
}

/// Owns the stage and plays.
pub(crate) struct Conductor {
    args: Args,
    authority: Authority,
    scene: watch::Sender<Scene>,
    probe: Probe,
    // In the order in which they have to go: callers, daemon, files.
    traffic: Traffic,
    daemon: Daemon,
    volume: KubeletVolume,
    _home: TempDir,
}

impl Conductor {
    /// Makes the CA and the volume, starts the daemon, the server and the clients.
    pub(crate) async fn set_up(args: Args) -> Result<(Self, Views)> {
        let home = tempfile::Builder::new().prefix("evercert-demo-").tempdir()?;
        let authority = Authority::new("Demo CA");
        let first = issue(&authority);
        let volume = KubeletVolume::at(&home.path().join("volume"), &first.files());
        let daemon = Daemon::start(home.path(), volume.path())?;
        let traffic = match Traffic::start(&daemon.socket, args.clients).await {
            Ok(traffic) => traffic,
            Err(error) => return Err(format!("{error}\n{}", daemon.log()).into()),
        };
        let probe = Probe::new(&authority, traffic.server)?;
        let subscribers = args.clients as usize + 1;
        let began = format!("{subscribers} subscribers, server on {}", traffic.server);
        let (scene, scenes) = watch::channel(Scene {
            rotations: args.rotations,
            summary: Summary::default(),
            serial: serial(&first),
            events: vec![began],
        });
        let views = Views { scene: scenes, status: daemon.status(), counts: Arc::clone(&traffic.counts) };
        Ok((Self { args, authority, scene, probe, traffic, daemon, volume, _home: home }, views))
    }

    /// Every rotation, and the broken one in their middle.
    pub(crate) async fn play(&mut self) -> Result<()> {
        let broken_after = self.args.rotations.div_ceil(2);
        let mut next = tokio::time::Instant::now();
        for number in 1..=self.args.rotations {
            next += self.args.every;
            sleep_until(next).await;
            self.rotate(number).await?;
            if number == broken_after {
                next += self.args.every;
                sleep_until(next).await;
                self.break_once().await?;
            }
        }
        // Events after the last rotation count as well.
        sleep_until(next + self.args.every).await;
        Ok(())
    }

    /// Ends clients, server and daemon, and gives the summary.
    pub(crate) async fn finish(self) -> Summary {
        let mut summary = self.scene.borrow().summary.clone();
        let counts = self.traffic.finish().await;
        summary.calls = counts.calls();
        summary.failed = counts.failed();
        summary.first_failure = counts.first_failure();
        summary
    }

    /// The end of the daemon's log.
    pub(crate) fn daemon_log(&self) -> String {
        self.daemon.log()
    }

    async fn rotate(&mut self, number: u32) -> Result<()> {
        let issued = issue(&self.authority);
        let swapped = tokio::task::block_in_place(|| self.volume.swap(&issued.files()));
        let served = self.probe.first_with(&issued.leaf_der, Instant::now() + ROTATION_DEADLINE).await?;
        let took = served.map(|served| served.duration_since(swapped));
        let everyone = self.args.clients as usize + 1;
        let wanted = issued.serial_number().to_string();
        let acknowledged = self
            .wait(|status| status.serial == wanted && status.behind.is_empty() && status.subscribers >= everyone)
            .await;
        let event = match (took, &acknowledged) {
            (Some(took), Some(status)) => format!(
                "rotation {number}: generation {}, serial {}, first handshake after {:.1} ms, all {everyone} current",
                status.generation,
                serial(&issued),
                millis(took)
            ),
            (Some(_), None) => format!("rotation {number}: MISSED by {}", self.behind()),
            (None, _) => format!("rotation {number}: MISSED, no handshake saw serial {}", serial(&issued)),
        };
        self.show(event, |scene| {
            scene.summary.rotations += 1;
            scene.summary.swap_to_handshake.extend(took);
            scene.summary.generations_seen += u32::from(took.is_some() && acknowledged.is_some());
            if took.is_some() {
                scene.serial = serial(&issued);
            }
        });
        Ok(())
    }

    /// A leaf with another leaf's key: nothing may change but the findings.
    async fn break_once(&mut self) -> Result<()> {
        let before = self.probe.leaf().await?;
        let (good, other) = (issue(&self.authority), issue(&self.authority));
        let mismatched = good.files().with("tls.key", &other.key_pem);
        tokio::task::block_in_place(|| self.volume.swap(&mismatched));
        let found = self.wait(|status| status.findings.iter().any(|finding| finding == BROKEN_FINDING)).await;
        let kept = found.is_some() && self.probe.leaf().await? == before;
        let event = if kept {
            format!(
                "broken on purpose: the daemon says {BROKEN_FINDING}, serial {} is kept",
                self.scene.borrow().serial
            )
        } else {
            format!("broken on purpose: {BROKEN_FINDING} was NOT found, or the last good not kept")
        };
        self.show(event, |scene| scene.summary.last_good_kept = kept);
        Ok(())
    }

    async fn wait(&self, wanted: impl Fn(&Status) -> bool) -> Option<Status> {
        let mut status = self.daemon.status();
        let found = status.wait_for(|status| status.as_ref().is_some_and(&wanted));
        timeout(ROTATION_DEADLINE, found).await.ok()?.ok()?.clone()
    }

    fn behind(&self) -> String {
        self.daemon.status().borrow().as_ref().map(|status| status.behind.join(", ")).unwrap_or_default()
    }

    fn show(&self, event: String, change: impl FnOnce(&mut Scene)) {
        self.scene.send_modify(|scene| {
            change(scene);
            scene.events.push(event);
        });
    }
}

fn issue(authority: &Authority) -> Issued {
    authority.issue(Leaf::for_dns("localhost").ip(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

/// As openssl prints it.
fn serial(issued: &Issued) -> String {
    format!("{:X}", issued.serial_number())
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
