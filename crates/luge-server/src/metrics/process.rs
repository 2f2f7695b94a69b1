//! The process itself: memory, processor time and start, by the names that Prometheus
//! knows them by. Memory and processor time are there where the system tells: on Linux.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// How many ticks of /proc/self/stat are a second: 100 on all of Linux's machines, as
/// programs see them.
const TICKS: f64 = 100.0;

/// Looks at the process whenever someone asks.
#[derive(Debug)]
pub struct Process {
    /// In seconds since 1970.
    start: f64,
}

impl Process {
    /// One that began now.
    pub fn new() -> Self {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Process { start: start.as_secs_f64() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, unit: Unit, value: f64| {
            let gauge = ConstGauge::new(value);
            let kind = prometheus_client::metrics::MetricType::Gauge;
            gauge.encode(encoder.encode_descriptor(name, help, Some(&unit), kind)?)
        };
        gauge(
            "process_start_time",
            "When the server began, in seconds since 1970.",
            Unit::Seconds,
            self.start,
        )?;
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
        if let Some(bytes) = read("status").and_then(|status| resident(&status)) {
            gauge("process_resident_memory", "Resident memory.", Unit::Bytes, bytes as f64)?;
        }
        if let Some(seconds) = read("stat").and_then(|stat| processor(&stat)) {
            let counter = ConstCounter::new(seconds);
            let kind = prometheus_client::metrics::MetricType::Counter;
            counter.encode(encoder.encode_descriptor(
                "process_cpu",
                "Processor time, of all threads.",
                Some(&Unit::Seconds),
                kind,
            )?)?;
        }
        Ok(())
    }
}

/// `VmRSS` in a process's status, in bytes.
fn resident(status: &str) -> Option<u64> {
    let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = size.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The time in user and in system mode in a process's stat, in seconds.
fn processor(stat: &str) -> Option<f64> {
    // The program's name stands in parentheses, and may have blanks of its own. The
    // times are the 14th and 15th field, the 12th and 13th behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((user + system) as f64 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_time_are_found_where_the_system_writes_them() {
        assert_eq!(
            resident("Name:\tluge\nVmHWM:\t 9 kB\nVmRSS:\t    6672 kB\n"),
            Some(6672 * 1024)
        );
        assert_eq!(resident("Name:\tluge\n"), None);
        let stat = "71 (a b) c) S 1 71 71 0 -1 4194560 8 0 0 0 250 50 0 0 20 0 3 0 100 9 9";
        assert_eq!(processor(stat), Some(3.0));
        assert_eq!(processor("71 (luge) S 1 71"), None);
    }
}
