//! What the kernel says: the CPU and memory of processes, the machine, and which build this is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::failure::Failure;

/// Kernel's unit of time in /proc/stat, in nanoseconds (USER_HZ is 100 on every architecture Linux has now).
const TICK_NS: u64 = 10_000_000;

/// CPU time of a process by thread, in nanoseconds, since each thread began.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct CpuTimes {
    by_thread: BTreeMap<u32, u64>,
}

impl CpuTimes {
    /// Of a process now: schedstat of all its threads, those of the kernel that work for its rings included. Empty where
    /// there is no such process.
    #[must_use]
    pub fn of(pid: u32) -> CpuTimes {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let by_thread = tasks.filter_map(|task| {
            let thread = task.file_name().to_str()?.parse().ok()?;
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            Some((thread, text.split_whitespace().next()?.parse().ok()?))
        });
        CpuTimes { by_thread: by_thread.collect() }
    }

    /// Of all threads together since an earlier time. A thread that ended meanwhile is not counted.
    #[must_use]
    pub fn since(&self, earlier: &CpuTimes) -> u64 {
        self.spans(earlier).sum()
    }

    /// Of the busiest thread since an earlier time.
    #[must_use]
    pub fn busiest_since(&self, earlier: &CpuTimes) -> u64 {
        self.spans(earlier).max().unwrap_or(0)
    }

    fn spans<'a>(&'a self, earlier: &'a CpuTimes) -> impl Iterator<Item = u64> + 'a {
        let before = |thread| earlier.by_thread.get(thread).copied().unwrap_or(0);
        self.by_thread.iter().map(move |(thread, ns)| ns.saturating_sub(before(thread)))
    }
}

/// Memory of a process in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Pages that are there, shared ones included.
    pub rss: u64,
    /// The same with shared pages divided among those who share them.
    pub pss: u64,
}

impl Memory {
    /// Of a process now; zeros where it cannot be read.
    #[must_use]
    pub fn of(pid: u32) -> Memory {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        Memory { rss: kib(&text, "Rss:") * 1024, pss: kib(&text, "Pss:") * 1024 }
    }
}

/// Bytes that the kernel holds in sockets of TCP, both ends of loopback together.
#[must_use]
pub fn tcp_bytes() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let mut words = line.split_whitespace().skip_while(|word| *word != "mem");
    let pages: u64 = words.nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// CPU time of all cores together, in nanoseconds since the start of the machine.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct MachineTimes {
    /// Spent on anything.
    pub busy_ns: u64,
    /// Given to others by the hypervisor.
    pub stolen_ns: u64,
}

impl MachineTimes {
    /// Now, as coarse as the kernel's ticks; zeros where it cannot be read.
    #[must_use]
    pub fn now() -> MachineTimes {
        MachineTimes::read(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// From the first line of /proc/stat (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal.
    fn read(stat: &str) -> MachineTimes {
        let words = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
        let ticks: Vec<u64> = words.map(|word| word.parse().unwrap_or(0)).collect();
        let sum = |indexes: &[usize]| indexes.iter().filter_map(|index| ticks.get(*index)).sum::<u64>() * TICK_NS;
        MachineTimes { busy_ns: sum(&[0, 1, 2, 5, 6]), stolen_ns: sum(&[7]) }
    }
}

/// How many cores a process may run on; 0 where there is no such process.
#[must_use]
pub fn cores_of(pid: u32) -> u32 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map_or(0, |list| count_cores(list.trim()))
}

fn count_cores(list: &str) -> u32 {
    let number = |text: &str| text.parse::<u32>().ok();
    let ranges = list.split(',').filter_map(|range| {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        Some(number(high)?.checked_sub(number(low)?)? + 1)
    });
    ranges.sum()
}

/// Keeps the calling thread on one core.
///
/// # Errors
/// The operator's: no such core, or none that is allowed.
pub fn pin(core: usize) -> Result<(), Failure> {
    let refused =
        |reason: String| Failure::Operator(format!("cannot stay on core {core} ({reason}): try another --pin"));
    if core >= CpuSet::MAX_CPU {
        return Err(refused("there is none".to_owned()));
    }
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).map_err(|error| refused(error.to_string()))
}

/// The machine and the build. It never names the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Cores of the machine.
    pub cores: u32,
    /// Its memory in KiB.
    pub memory_kib: u64,
    /// Release of its kernel.
    pub kernel: String,
    /// The commit in the current folder, with `-dirty` if there is more; `unknown` without git.
    pub commit: String,
    /// Now, in UTC.
    pub date: String,
}

impl Facts {
    /// Asks kernel, git and date.
    #[must_use]
    pub fn collect() -> Facts {
        let cores = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let unknown = || "unknown".to_owned();
        let commit = says("git", &["rev-parse", "HEAD"]).map_or_else(unknown, |commit| {
            let is_dirty = says("git", &["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
            commit + if is_dirty { "-dirty" } else { "" }
        });
        Facts {
            cores: count_cores(cores.trim()),
            memory_kib: kib(&memory, "MemTotal:"),
            kernel: kernel.trim().to_owned(),
            commit,
            date: says("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]).unwrap_or_else(unknown),
        }
    }
}

/// SHA-256 of the program that a process runs.
#[must_use]
pub fn program_sha256(pid: u32) -> Option<String> {
    let sum = says("sha256sum", &[&format!("/proc/{pid}/exe")])?;
    sum.split_whitespace().next().map(str::to_owned)
}

/// The command line of a process.
#[must_use]
pub fn command_line(pid: u32) -> Vec<String> {
    let bytes = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).split_terminator('\0').map(str::to_owned).collect()
}

fn says(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn kib(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted() {
        assert_eq!((count_cores("0"), count_cores("0-3,5,7-8"), count_cores("")), (1, 7, 0));
        assert!(cores_of(std::process::id()) >= 1);
    }

    #[test]
    fn time_passes_for_this_process_and_not_for_none() {
        let pid = std::process::id();
        let before = CpuTimes::of(pid);
        while CpuTimes::of(pid).since(&before) == 0 {}
        assert!(Memory::of(pid).pss > 0);
        assert_eq!(CpuTimes::of(0).since(&before), 0);
    }

    #[test]
    fn the_machines_times_leave_idleness_out() {
        let times = MachineTimes::read("cpu  1 2 4 800 1600 8 16 32 0 0\ncpu0 1 2 4 8 1 8 1 2 0 0\n");
        assert_eq!((times.busy_ns / TICK_NS, times.stolen_ns / TICK_NS), (31, 32));
        assert_eq!(MachineTimes::read(""), MachineTimes::default());
    }

    #[test]
    fn sums_and_the_busiest_thread() {
        let times = |list: &[(u32, u64)]| CpuTimes { by_thread: list.iter().copied().collect() };
        let (early, late) = (times(&[(1, 10), (2, 20)]), times(&[(1, 15), (2, 50), (3, 7)]));
        assert_eq!((late.since(&early), late.busiest_since(&early)), (42, 30));
    }

    #[test]
    fn facts_are_there() {
        let facts = Facts::collect();
        assert!(facts.cores >= 1 && facts.memory_kib > 0 && !facts.kernel.is_empty());
        assert!(facts.date.ends_with('Z') || facts.date == "unknown");
    }
}
