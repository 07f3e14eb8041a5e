//! The terminal: a picture that is drawn again and again, or a line for each event where there is no terminal.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::conductor::Views;
use crate::summary::Latency;

/// How often the picture is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// Draws until it is told to end.
pub(crate) struct Screen {
    end: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Screen {
    /// Starts drawing; nothing at all if `silent`.
    pub(crate) fn start(views: Views, silent: bool) -> Self {
        let (end, ended) = watch::channel(false);
        let task = tokio::spawn(async move {
            if !silent {
                draw(views, ended).await;
            }
        });
        Self { end, task }
    }

    /// Tells what is left to tell, and clears the picture.
    pub(crate) async fn end(self) {
        self.end.send_replace(true);
        let _ = self.task.await;
    }
}

async fn draw(views: Views, mut ended: watch::Receiver<bool>) {
    let live = stdout().is_terminal();
    let start = Instant::now();
    let (mut told, mut lines) = (0, 0);
    loop {
        let over = timeout(FRAME, ended.wait_for(|over| *over)).await.is_ok();
        let mut text = String::new();
        if live && lines > 0 {
            // Up to where the picture begins, and clear what is below.
            text += &format!("\x1b[{lines}A\x1b[J");
        }
        let seconds = start.elapsed().as_secs_f64();
        for event in &views.scene.borrow().events[told..] {
            text += &format!("{seconds:>6.1} s  {event}\n");
            told += 1;
        }
        if live && !over {
            let picture = picture(&views, start.elapsed());
            lines = picture.lines().count();
            text += &picture;
        }
        // A terminal that is gone does not concern the demo.
        let _ = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
        if over {
            return;
        }
    }
}

fn picture(views: &Views, elapsed: Duration) -> String {
    let scene = views.scene.borrow();
    let status = views.status.borrow();
    let (generation, subscribers) = status.as_ref().map_or((0, 0), |status| (status.generation, status.subscribers));
    let behind = status.as_ref().map(|status| status.behind.join(" ")).filter(|behind| !behind.is_empty());
    let findings = status.as_ref().map(|status| status.findings.join(" ")).filter(|findings| !findings.is_empty());
    let counts = &views.counts;
    let rows = [
        ("rotation", format!("{} of {}   {:.0} s", scene.summary.rotations, scene.rotations, elapsed.as_secs_f64())),
        ("generation", format!("{generation}   serial served {}", scene.serial)),
        ("findings", findings.unwrap_or_else(|| "none".into())),
        ("subscribers", format!("{subscribers}   behind: {}", behind.unwrap_or_else(|| "nobody".into()))),
        (
            "calls",
            format!("{} done   {} failed   {} replies on streams", counts.calls(), counts.failed(), counts.replies()),
        ),
        ("last good kept", if scene.summary.last_good_kept { "yes" } else { "not tried yet" }.into()),
        ("swap to handshake", Latency(&scene.summary).to_string()),
    ];
    let rows = rows.iter().map(|(name, value)| format!("  {name:<18} {value}\n"));
    std::iter::once("\n".to_owned()).chain(rows).collect()
}
