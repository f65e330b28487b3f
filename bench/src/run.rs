//! Runs the stages, each in a process of its own, the peers in turn.
//!
//! Before a stage starts, what is still to be written of the stage before is written, so that it
//! is not the next one's load.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use nix::sys::statfs::{self, FsType};
use nix::unistd::syncfs;
use serde::Serialize;

use crate::measure::{Figures, Samples, evict};
use crate::plan::{PeerName, Plan, Stage};
use crate::stages::StageResult;

/// What the whole run gives.
#[derive(Serialize)]
pub struct RunResult {
    /// What was asked.
    pub plan: Plan,
    /// Where it ran.
    pub machine: BTreeMap<&'static str, String>,
    /// The figures of each peer, by stage and name.
    pub figures: BTreeMap<PeerName, Figures>,
    /// Ours divided by nomt's, of every figure that both have and that is not zero.
    pub ratios: Figures,
    /// The roots at the end of the two data sets; they are the same in every run of a seed.
    pub roots: BTreeMap<PeerName, BTreeMap<String, String>>,
}

/// Runs everything below `folder`, and removes what it wrote.
pub fn run(plan: &Plan, folder: &Path, only: Option<PeerName>) -> anyhow::Result<RunResult> {
    let folder = tempfile::Builder::new()
        .prefix("trilith-bench-")
        .tempdir_in(folder)
        .with_context(|| format!("cannot make a folder in {}", folder.display()))?;
    let mut result = RunResult {
        plan: plan.clone(),
        machine: machine(folder.path())?,
        figures: BTreeMap::new(),
        ratios: Figures::new(),
        roots: BTreeMap::new(),
    };
    let peers: Vec<PeerName> = match only {
        Some(peer) => vec![peer],
        None => PeerName::ALL.to_vec(),
    };
    for peer in &peers {
        for data in ["keys", "accounts"] {
            fs::create_dir_all(folder.path().join(peer.word()).join(data))?;
        }
    }
    let stages = [
        (Stage::Keys, 1),
        (Stage::KeysRestart, plan.restarts),
        (Stage::KeysCold, 1),
        (Stage::Accounts, 1),
        (Stage::AccountsRestart, plan.restarts),
    ];
    for (stage, times) in stages {
        for peer in &peers {
            let own = folder.path().join(peer.word());
            run_stage(&mut result, *peer, stage, times, &own)?;
        }
    }
    result.ratios = ratios(&result.figures);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    result.machine.insert("load after", load.trim().to_owned());
    Ok(result)
}

fn ratios(figures: &BTreeMap<PeerName, Figures>) -> Figures {
    let of = |peer| figures.get(&peer).into_iter().flatten();
    let theirs: BTreeMap<_, _> = of(PeerName::Nomt).collect();
    of(PeerName::Trilith)
        .filter_map(|(name, ours)| {
            let ratio = ours / **theirs.get(name)?;
            ratio.is_finite().then(|| (name.clone(), ratio))
        })
        .collect()
}

/// Runs a stage some times, and enters the medians of its figures.
fn run_stage(
    result: &mut RunResult,
    peer: PeerName,
    stage: Stage,
    times: u64,
    folder: &Path,
) -> anyhow::Result<()> {
    let data = match stage {
        Stage::Keys | Stage::KeysRestart | Stage::KeysCold => "keys",
        Stage::Accounts | Stage::AccountsRestart => "accounts",
    };
    let folder = folder.join(data);
    let mut runs: Vec<Figures> = Vec::new();
    for _ in 0..times {
        syncfs(File::open(&folder)?)?;
        if stage == Stage::KeysCold {
            evict(&folder)?;
        }
        let start = Instant::now();
        let done = start_process(peer, stage, &folder, &result.plan)?;
        // The figures too, so that a run that is broken off has not measured for nothing.
        eprintln!(
            "{} {}: {:.1} s {}",
            peer.word(),
            stage.word(),
            start.elapsed().as_secs_f64(),
            serde_json::to_string(&done.figures)?
        );
        let roots = result.roots.entry(peer).or_default();
        let known = roots
            .entry(data.to_owned())
            .or_insert_with(|| done.root.clone());
        ensure!(
            *known == done.root,
            "{} had root {known} of its {data}, and has {} after it was opened again",
            peer.word(),
            done.root
        );
        runs.push(done.figures);
    }
    let figures = result.figures.entry(peer).or_default();
    for name in runs.iter().flat_map(|run| run.keys()) {
        let values = runs.iter().filter_map(|run| run.get(name).copied());
        let median = Samples::of(values).median();
        figures.insert(format!("{}.{name}", stage.word()), median);
    }
    Ok(())
}

fn start_process(
    peer: PeerName,
    stage: Stage,
    folder: &Path,
    plan: &Plan,
) -> anyhow::Result<StageResult> {
    // Not the path: the program may be built anew while it runs, and each process must be this one.
    let output = Command::new("/proc/self/exe")
        .args(["stage", "--peer", peer.word(), "--stage", stage.word()])
        .arg("--folder")
        .arg(folder)
        .arg("--plan")
        .arg(serde_json::to_string(plan)?)
        .stderr(Stdio::inherit())
        .output()?;
    let (peer, stage) = (peer.word(), stage.word());
    ensure!(
        output.status.success(),
        "{peer} failed in {stage}; see above"
    );
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{peer} told no result of {stage}"))
}

/// What is to be known of the machine. A folder in memory is refused: nothing there is durable.
fn machine(folder: &Path) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let kind = statfs::statfs(folder)?.filesystem_type();
    ensure!(
        kind != statfs::TMPFS_MAGIC,
        "{} is in memory, where nothing is durable; name a folder on a disk with --folder",
        folder.display()
    );
    let text = |path| {
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let file_system = match kind {
        statfs::EXT4_SUPER_MAGIC => "ext4".to_owned(),
        statfs::XFS_SUPER_MAGIC => "xfs".to_owned(),
        statfs::BTRFS_SUPER_MAGIC => "btrfs".to_owned(),
        FsType(magic) => format!("magic {magic:#x}"),
    };
    let asynchronous = match nomt::check_iou_permissions() {
        nomt::IoUringPermission::Allowed => "allowed",
        nomt::IoUringPermission::Denied => "denied",
        nomt::IoUringPermission::NotSupported => "not supported",
    };
    Ok(BTreeMap::from([
        ("cores", cores.to_string()),
        ("kernel", text("/proc/sys/kernel/osrelease")),
        ("file system", file_system),
        ("io_uring", asynchronous.to_owned()),
        ("load before", text("/proc/loadavg")),
    ]))
}
