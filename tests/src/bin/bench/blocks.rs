//! Comparing two sides in one run.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Two sides measured in turns, so that what else the machine does meets both alike.
#[derive(Default)]
pub(crate) struct Blocks {
    ours: Side,
    theirs: Side,
    ratios: Vec<f64>,
}

#[derive(Default)]
struct Side {
    count: u64,
    time: Duration,
    cpu: Duration,
}

impl Side {
    async fn run(&mut self, side: &mut impl AsyncFnMut() -> (u64, Duration)) -> f64 {
        let cpu = cpu_time();
        let (count, time) = side().await;
        self.cpu += cpu_time() - cpu;
        self.count += count;
        self.time += time;
        count as f64 / time.as_secs_f64()
    }

    /// Microseconds of CPU time for each, of both ends of the connection: what a rate comes to on a machine that is busy
    /// with other things too.
    fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }

    fn rate(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }
}

impl Blocks {
    /// Runs both sides for `total`, in blocks of the length that the sides choose. Each side does its work for one block, and
    /// says how much it did in which time.
    pub(crate) async fn measure(
        total: Duration,
        mut ours: impl AsyncFnMut() -> (u64, Duration),
        mut theirs: impl AsyncFnMut() -> (u64, Duration),
    ) -> Self {
        // Once each, unmeasured: connections, caches, the clock of the CPU.
        ours().await;
        theirs().await;
        let mut blocks = Self::default();
        let start = Instant::now();
        let mut ours_first = true;
        while start.elapsed() < total {
            let (our_rate, their_rate) = if ours_first {
                let our_rate = blocks.ours.run(&mut ours).await;
                (our_rate, blocks.theirs.run(&mut theirs).await)
            } else {
                let their_rate = blocks.theirs.run(&mut theirs).await;
                (blocks.ours.run(&mut ours).await, their_rate)
            };
            blocks.ratios.push(our_rate / their_rate);
            ours_first = !ours_first;
        }
        blocks.ratios.sort_by(f64::total_cmp);
        blocks
    }

    /// Rates per second, their ratio over everything, and the quartiles of the ratio over the pairs of blocks.
    pub(crate) fn figures(&self, ours: &str, theirs: &str) -> Value {
        let quartile = |part: usize| self.ratios[(self.ratios.len() - 1) * part / 4];
        json!({
            ours: self.ours.rate().round(),
            theirs: self.theirs.rate().round(),
            "ratio": rounded(self.ours.rate() / self.theirs.rate()),
            "ratio_of_blocks": { "p25": rounded(quartile(1)), "p50": rounded(quartile(2)), "p75": rounded(quartile(3)) },
            "blocks": self.ratios.len(),
            "cpu_us_each": { ours: rounded(self.ours.cpu()), theirs: rounded(self.theirs.cpu()) },
            "ratio_by_cpu": rounded(self.theirs.cpu() / self.ours.cpu()),
        })
    }
}

/// The CPU time of this process so far.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

fn rounded(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 1000.0
}
