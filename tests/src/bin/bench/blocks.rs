//! Comparing two sides in one run.

use std::time::{Duration, Instant};

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
}

impl Side {
    fn add(&mut self, (count, time): (u64, Duration)) -> f64 {
        self.count += count;
        self.time += time;
        count as f64 / time.as_secs_f64()
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
                let our_rate = blocks.ours.add(ours().await);
                (our_rate, blocks.theirs.add(theirs().await))
            } else {
                let their_rate = blocks.theirs.add(theirs().await);
                (blocks.ours.add(ours().await), their_rate)
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
        })
    }
}

fn rounded(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 1000.0
}
