//! The process as every exporter tells of itself: names and meanings are those of Prometheus' own client libraries.

use std::time::SystemTime;

use procfs::process::{LimitValue, Process, Stat};
use procfs::{ProcResult, WithCurrentSystemInfo as _};

use super::exposition::{Family, fractional_seconds};

const START: Family = Family::gauge("process_start_time_seconds", "When the process started, in seconds since 1970.");
const CPU: Family = Family::counter("process_cpu_seconds_total", "The processor time used, in seconds.");
const RESIDENT: Family = Family::gauge("process_resident_memory_bytes", "The memory that is resident, in bytes.");
const VIRTUAL: Family = Family::gauge("process_virtual_memory_bytes", "The virtual memory, in bytes.");
const THREADS: Family = Family::gauge("process_threads", "The threads of the process.");
const OPEN_FDS: Family = Family::gauge("process_open_fds", "The file descriptors that are open.");
const MAX_FDS: Family = Family::gauge("process_max_fds", "The most file descriptors that may be open.");

/// Appends the families; those that the kernel does not tell are left out.
pub(super) fn write(started: SystemTime, text: &mut String) {
    sample(&START, text, fractional_seconds(started));
    let own = Process::myself();
    if let Ok(stat) = own.as_ref().map_err(drop).and_then(|own| own.stat().map_err(drop)) {
        of_stat(&stat, text);
    }
    if let Ok((open, most)) = own.and_then(|own| descriptors(&own)) {
        sample(&OPEN_FDS, text, open);
        if let LimitValue::Value(most) = most {
            sample(&MAX_FDS, text, most);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of the processor do not come near 2^52")]
fn of_stat(stat: &Stat, text: &mut String) {
    sample(&CPU, text, (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64);
    sample(&RESIDENT, text, stat.rss_bytes().get());
    sample(&VIRTUAL, text, stat.vsize);
    sample(&THREADS, text, stat.num_threads);
}

fn descriptors(own: &Process) -> ProcResult<(usize, LimitValue)> {
    Ok((own.fd_count()?, own.limits()?.max_open_files.soft_limit))
}

fn sample(family: &Family, text: &mut String, value: impl std::fmt::Display) {
    family.begin(text);
    family.sample(text, &[], value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_told_of_this_process() {
        let mut text = String::new();
        write(SystemTime::now(), &mut text);
        for family in [START, CPU, RESIDENT, VIRTUAL, THREADS, OPEN_FDS, MAX_FDS] {
            let line = text.lines().find_map(|line| line.strip_prefix(family.name)?.strip_prefix(' '));
            let value: f64 = line.unwrap_or_else(|| panic!("{} in {text}", family.name)).parse().unwrap();
            assert!(value > 0.0 || family.name == CPU.name, "{} {value}", family.name);
        }
    }
}
