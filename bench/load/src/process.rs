//! What the system says of a process.

use std::{fs, time::Duration};

/// Resident memory now, in KiB.
pub(crate) fn resident(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// The most resident memory there ever was, in KiB.
pub(crate) fn peak(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

/// Processor time that was used, of all threads. The system counts hundredths of a second.
pub(crate) fn processor(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = [11, 12].iter().filter_map(|&at| fields.get(at)?.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

/// The same, of a process and its children, the ended ones among them.
#[cfg(target_os = "linux")]
pub(crate) fn processor_of_family(parent: u32) -> Duration {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let children = pids.filter(|pid| status(*pid, "PPid:") == u64::from(parent));
    processor(parent) + children.map(processor).sum::<Duration>()
}

/// The processes below `ancestor` whose command line has `word` in it.
#[cfg(target_os = "linux")]
pub(crate) fn descendants(ancestor: u32, word: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids: Vec<u32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let below = |pid: &&u32| {
        let mut at = u64::from(**pid);
        // A process that ends meanwhile has no parent.
        while at > 1 && at != u64::from(ancestor) {
            at = u32::try_from(at).map_or(0, |pid| status(pid, "PPid:"));
        }
        at == u64::from(ancestor)
    };
    let named = |pid: &&u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(word.as_bytes())
    };
    pids.iter().filter(below).filter(named).copied().collect()
}

/// Ends a process as nobody asks it to.
#[cfg(target_os = "linux")]
pub(crate) fn kill(pid: u32) -> Result<(), std::io::Error> {
    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().map(drop)
}

fn status(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
