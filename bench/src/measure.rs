//! What the clock, the kernel and the file system say about this process and its folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::resource::{UsageWho, getrusage};

/// Named figures of one peer.
pub type Figures = BTreeMap<String, f64>;

/// Bytes of a MiB.
pub const MIB: f64 = (1 << 20) as f64;

/// Runs something, and says how long it took.
pub fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let start = Instant::now();
    let result = work()?;
    Ok((result, start.elapsed()))
}

/// How long each of several equal pieces of work took.
#[derive(Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Samples that are known already, in seconds or in whatever unit they have.
    pub fn of(samples: impl Iterator<Item = f64>) -> Self {
        Self(samples.collect())
    }

    /// Adds one.
    pub fn push(&mut self, duration: Duration) {
        self.0.push(duration.as_secs_f64());
    }

    /// Their sum in seconds.
    pub fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    /// The least sample, in seconds, that at least `percent` of all do not exceed.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    /// The middle one; of an even number, the lower of the two.
    pub fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// Enters median, 95th percentile and worst in milliseconds, as `name.median_ms` and so on.
    pub fn enter(&self, figures: &mut Figures, name: &str) {
        for (what, percent) in [("median", 50), ("p95", 95), ("worst", 100)] {
            figures.insert(
                format!("{name}.{what}_ms"),
                self.percentile(percent) * 1000.0,
            );
        }
    }
}

/// What this process has used so far.
#[derive(Clone, Copy)]
pub struct Usage {
    /// Processor time of all threads, user and kernel, in seconds.
    pub processor: f64,
    /// Bytes that this process had the disk write, as the kernel counts: pages that it made dirty,
    /// and direct writes.
    pub written: f64,
    /// Bytes that this process had the disk read.
    pub read: f64,
}

impl Usage {
    /// The usage of this process by now.
    pub fn now() -> anyhow::Result<Self> {
        let counters = fs::read_to_string("/proc/self/io")?;
        Ok(Self {
            processor: processor(UsageWho::RUSAGE_SELF)?,
            written: field(&counters, "write_bytes:")?,
            read: field(&counters, "read_bytes:")?,
        })
    }

    /// What was used since.
    pub fn since(self) -> anyhow::Result<Self> {
        let now = Self::now()?;
        Ok(Self {
            processor: now.processor - self.processor,
            written: now.written - self.written,
            read: now.read - self.read,
        })
    }
}

/// Processor time of this thread alone, user and kernel, in seconds.
pub fn thread_processor() -> anyhow::Result<f64> {
    processor(UsageWho::RUSAGE_THREAD)
}

fn processor(whose: UsageWho) -> anyhow::Result<f64> {
    let used = getrusage(whose)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(used.user_time()) + seconds(used.system_time()))
}

/// The most memory that this process ever had resident, in MiB, mapped files included.
pub fn peak_memory_mib() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    Ok(field(&status, "VmHWM:")? / 1024.0)
}

/// Processor time that the whole machine was busy since it started, in seconds. The kernel counts
/// in hundredths. Waiting for the disk is not being busy.
pub fn machine_busy() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    // User, nice and system; then idle and waiting; then interrupts and what the host took.
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| ticks.get(*at));
    Ok(busy.sum::<f64>() / 100.0)
}

/// The first number of the line that starts with `name`.
fn field(text: &str, name: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok())
        .with_context(|| format!("the kernel does not tell `{name}`"))
}

/// Enters what a folder's files take, as `name.disk_mib` (blocks that are allocated) and
/// `name.apparent_mib` (lengths of files).
pub fn enter_space(figures: &mut Figures, name: &str, folder: &Path) -> anyhow::Result<()> {
    let (mut allocated, mut apparent) = (0, 0);
    each_file(folder, &mut |path| {
        let metadata = fs::metadata(path)?;
        allocated += metadata.blocks() * 512;
        apparent += metadata.len();
        Ok(())
    })?;
    figures.insert(format!("{name}.disk_mib"), allocated as f64 / MIB);
    figures.insert(format!("{name}.apparent_mib"), apparent as f64 / MIB);
    Ok(())
}

/// Has the kernel forget what it holds of a folder's files. They must have been written back, and
/// nobody may have them mapped. Whether it did is seen in what is read from the disk afterwards.
pub fn evict(folder: &Path) -> anyhow::Result<()> {
    each_file(folder, &mut |path| {
        let file = File::open(path)?;
        file.sync_all()?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        Ok(())
    })
}

/// Calls `visit` with every file below a folder.
fn each_file(
    folder: &Path,
    visit: &mut impl FnMut(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                visit(&entry.path())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_of_the_nearest_rank() {
        let mut samples = Samples::default();
        for millis in [50, 10, 30, 20, 40] {
            samples.push(Duration::from_millis(millis));
        }
        assert_eq!(samples.median(), 0.03);
        assert_eq!(samples.percentile(95), 0.05);
        assert_eq!(samples.percentile(20), 0.01);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn the_kernel_tells_what_is_asked() {
        let before = Usage::now().expect("usage");
        assert!(before.processor >= 0.0);
        assert!(peak_memory_mib().expect("memory") > 0.5);
        assert!(machine_busy().expect("the machine") > 0.0);
    }
}
