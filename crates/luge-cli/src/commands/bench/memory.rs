//! The most memory that the process has held, where the system tells: on Linux.

use std::fs;

/// A stretch of time whose peak is asked for.
pub struct Peak {
    /// Whether the system has forgotten the time before.
    is_reset: bool,
}

impl Peak {
    /// Watches from now on.
    pub fn watch() -> Self {
        // What 5 does is in proc(5): it resets the peak.
        Peak { is_reset: fs::write("/proc/self/clear_refs", "5").is_ok() }
    }

    /// The most resident memory since then, in bytes. None where it cannot be read,
    /// or would be that of an earlier time.
    pub fn bytes(&self) -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok().filter(|_| self.is_reset)?;
        peak(&status)
    }
}

/// `VmHWM` in a process's status.
fn peak(status: &str) -> Option<u64> {
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_found_in_the_status() {
        let status = "Name:\tluge\nVmPeak:\t 9000 kB\nVmHWM:\t    6672 kB\nVmRSS:\t 6000 kB\n";
        assert_eq!(peak(status), Some(6672 * 1024));
        assert_eq!(peak("Name:\tluge\n"), None);
        assert_eq!(peak("VmHWM:\tmuch\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_that_was_freed_does_not_count() {
        const SIZE: usize = 64 << 20;
        let fill = || std::hint::black_box(vec![1u8; SIZE]).len() as u64;
        let watched = Peak::watch();
        let size = fill();
        // Not every machine lets it be reset.
        let Some(with) = watched.bytes() else { return };
        let without = Peak::watch().bytes().unwrap();
        assert!(with > without + size / 2, "{with} {without}");
    }
}
