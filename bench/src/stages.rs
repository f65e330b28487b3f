//! What one process does with one peer: it works, measures, and checks what it gets.
//!
//! Entries are made and brought into the peer's form before the clock starts. What is read is
//! compared with what was written after it stopped.

use std::path::Path;
use std::time::Instant;

use anyhow::{bail, ensure};

use crate::measure::{
    Figures, MIB, Samples, Usage, enter_space, machine_busy, peak_memory_mib, thread_processor,
    timed,
};
use crate::peers::{NomtPeer, Peer, Reader, TrilithPeer};
use crate::plan::{ACCOUNT_BYTES, PeerName, Plan, Stage, VALUE_BYTES};
use crate::work::{Dataset, Key};

/// Into how many equal parts cached reads and proofs are cut, so that there is a median.
const SLICES: u64 = 20;
/// How many keys are checked after each phase.
const CHECKED: u64 = 1_000;

/// What a process tells the one that started it.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct StageResult {
    /// The figures, by name.
    pub figures: Figures,
    /// The root at the end, in hexadecimal digits.
    pub root: String,
}

/// Runs one stage of one peer in this process.
pub fn run(
    peer: PeerName,
    stage: Stage,
    folder: &Path,
    plan: &Plan,
) -> anyhow::Result<StageResult> {
    match peer {
        PeerName::Trilith => run_peer::<TrilithPeer>(stage, folder, plan),
        PeerName::Nomt => run_peer::<NomtPeer>(stage, folder, plan),
    }
}

fn run_peer<P: Peer>(stage: Stage, folder: &Path, plan: &Plan) -> anyhow::Result<StageResult> {
    let mut figures = Figures::new();
    let (start, busy, usage) = (Instant::now(), machine_busy()?, Usage::now()?);
    let root = match stage {
        Stage::Keys => keys::<P>(folder, plan, &mut figures)?,
        Stage::KeysRestart => restart::<P>(folder, plan, &written_keys(plan), &mut figures)?,
        Stage::KeysCold => cold::<P>(folder, plan, &mut figures)?,
        Stage::Accounts => accounts::<P>(folder, plan, &mut figures)?,
        Stage::AccountsRestart => {
            restart::<P>(folder, plan, &written_accounts(plan), &mut figures)?
        }
    };
    figures.insert("peak_memory_mib".into(), peak_memory_mib()?);
    let own = usage.since()?.processor;
    let others = (machine_busy()? - busy - own).max(0.0) / start.elapsed().as_secs_f64();
    figures.insert("others_busy_cores".into(), others);
    let root = root.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(StageResult { figures, root })
}

/// Phases a to d: load, update, read, prove.
fn keys<P: Peer>(folder: &Path, plan: &Plan, figures: &mut Figures) -> anyhow::Result<[u8; 32]> {
    let mut dataset = Dataset::new(plan.seed, plan.keys, VALUE_BYTES);
    let mut peer = P::open(folder, plan)?;
    load(&mut peer, &mut dataset, plan.commits, figures)?;
    enter_space(figures, "load", folder)?;
    let (count, each) = (plan.update_commits, plan.updates);
    update(&mut peer, &mut dataset, (count, each), figures)?;
    enter_space(figures, "update", folder)?;
    read_cached(&peer, &dataset, plan.reads, figures)?;
    prove::<P>(&peer, &dataset, plan.proofs, figures)?;
    close(peer, folder, figures)
}

/// Phase g: load, then many batches.
fn accounts<P: Peer>(
    folder: &Path,
    plan: &Plan,
    figures: &mut Figures,
) -> anyhow::Result<[u8; 32]> {
    let mut dataset = Dataset::new(plan.seed, plan.accounts, ACCOUNT_BYTES);
    let mut peer = P::open(folder, plan)?;
    load(&mut peer, &mut dataset, plan.account_commits, figures)?;
    enter_space(figures, "load", folder)?;
    let (count, each) = (plan.batches, plan.batch_updates);
    update(&mut peer, &mut dataset, (count, each), figures)?;
    enter_space(figures, "update", folder)?;
    close(peer, folder, figures)
}

/// Times the commits of one phase.
struct Commits {
    samples: Samples,
    /// Of the process when the phase began. A peer may work and write on when a commit returned,
    /// so both are counted over the whole phase.
    usage: Usage,
    /// Processor time of making entries, which is not the peer's.
    preparing: f64,
    /// Seconds between commits, in which a peer can do what it put off.
    between: f64,
}

impl Commits {
    fn begin() -> anyhow::Result<Self> {
        Ok(Self {
            samples: Samples::default(),
            usage: Usage::now()?,
            preparing: 0.0,
            between: 0.0,
        })
    }

    /// Commits the entries that `prepare` makes.
    fn commit<P: Peer>(
        &mut self,
        peer: &mut P,
        prepare: impl FnOnce() -> Vec<(Key, Vec<u8>)>,
    ) -> anyhow::Result<()> {
        let before = thread_processor()?;
        let (batch, between) = timed(|| Ok(P::batch(prepare())))?;
        self.preparing += thread_processor()? - before;
        self.between += between.as_secs_f64();
        self.samples.push(timed(|| peer.commit(batch))?.1);
        Ok(())
    }

    fn enter(
        self,
        figures: &mut Figures,
        name: &str,
        keys: u64,
        entry_bytes: u64,
    ) -> anyhow::Result<()> {
        let (used, keys) = (self.usage.since()?, keys as f64);
        let processor = (used.processor - self.preparing) / keys * 1e6;
        let written = used.written / (keys * entry_bytes as f64);
        self.samples.enter(figures, name);
        for (what, figure) in [
            ("keys_per_second", keys / self.samples.total()),
            ("processor_us_per_key", processor),
            ("written_per_changed_byte", written),
            ("between_commits_ms", self.between * 1000.0),
        ] {
            figures.insert(format!("{name}.{what}"), figure);
        }
        Ok(())
    }
}

fn load<P: Peer>(
    peer: &mut P,
    dataset: &mut Dataset,
    count: u64,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let mut commits = Commits::begin()?;
    for part in 0..count {
        commits.commit(peer, || dataset.load(part, count))?;
    }
    commits.enter(figures, "load", dataset.keys(), dataset.entry_bytes())?;
    check(peer, dataset, &dataset.queries(0, CHECKED))
}

fn update<P: Peer>(
    peer: &mut P,
    dataset: &mut Dataset,
    (count, each): (u64, u64),
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let mut commits = Commits::begin()?;
    let mut last = Vec::new();
    for _ in 0..count {
        commits.commit(peer, || {
            let (entries, indices) = dataset.update(each);
            last = indices;
            entries
        })?;
    }
    commits.enter(figures, "update", count * each, dataset.entry_bytes())?;
    last.truncate(CHECKED as usize);
    check(peer, dataset, &last)?;
    check(peer, dataset, &dataset.queries(1, CHECKED))
}

/// Phase c while everything is in memory: each key is read once before the clock starts.
fn read_cached<P: Peer>(
    peer: &P,
    dataset: &Dataset,
    count: u64,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let reader = peer.reader()?;
    for index in 0..dataset.keys() {
        reader.get(&dataset.key(index))?;
    }
    let mut samples = Samples::default();
    let each = count.div_ceil(SLICES);
    for slice in 0..SLICES {
        samples.push(read(&reader, dataset, &dataset.queries(100 + slice, each))?);
    }
    let rate = each as f64 / samples.median();
    figures.insert("read.cached_per_second".into(), rate);
    drop(reader);
    check(peer, dataset, &dataset.queries(2, CHECKED))
}

/// Reads keys one after the other, and says how long that took.
fn read(
    reader: &impl Reader,
    dataset: &Dataset,
    indices: &[u64],
) -> anyhow::Result<std::time::Duration> {
    let keys: Vec<_> = indices.iter().map(|index| dataset.key(*index)).collect();
    let (read, duration) = timed(|| {
        let mut read = 0;
        for key in &keys {
            read += reader.get(key)?.map_or(0, |value| value.len());
        }
        Ok(read)
    })?;
    let expected = keys.len() as u64 * dataset.entry_bytes() - (keys.len() * 32) as u64;
    ensure!(
        read as u64 == expected,
        "{read} bytes of values were read, where {expected} were written"
    );
    Ok(duration)
}

/// Phase d: proofs are made and encoded, then decoded and verified.
fn prove<P: Peer>(
    peer: &P,
    dataset: &Dataset,
    count: u64,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let (root, reader) = (peer.root(), peer.reader()?);
    let (mut making, mut verifying) = (Samples::default(), Samples::default());
    let each = count.div_ceil(SLICES);
    let mut bytes = 0;
    for slice in 0..SLICES {
        let indices = dataset.queries(200 + slice, each);
        let keys: Vec<_> = indices.iter().map(|index| dataset.key(*index)).collect();
        let made = || keys.iter().map(|key| reader.prove(key)).collect();
        let (proofs, duration): (Vec<Vec<u8>>, _) = timed(made)?;
        making.push(duration);
        let verify = || {
            let pairs = keys.iter().zip(&proofs);
            pairs
                .map(|(key, proof)| P::verify(&root, key, proof))
                .collect()
        };
        let (values, duration): (Vec<_>, _) = timed(verify)?;
        verifying.push(duration);
        bytes += proofs.iter().map(Vec::len).sum::<usize>();
        for (index, value) in indices.iter().zip(values) {
            ensure!(
                value == dataset.value(*index),
                "the proof of key {index} shows another value"
            );
        }
        // A verifier that accepts everything would be fast.
        let mut damaged = proofs[0].clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        let verified = P::verify(&root, &keys[0], &damaged).ok();
        if verified.is_some_and(|value| value == dataset.value(indices[0])) {
            bail!("a proof with a flipped bit was accepted");
        }
    }
    let proofs = (each * SLICES) as f64;
    let made = each as f64 / making.median();
    figures.insert("proof.made_per_second".into(), made);
    let verified = each as f64 / verifying.median();
    figures.insert("proof.verified_per_second".into(), verified);
    figures.insert("proof.bytes".into(), bytes as f64 / proofs);
    Ok(())
}

/// Closes a peer, with what it puts off until then.
fn close<P: Peer>(peer: P, folder: &Path, figures: &mut Figures) -> anyhow::Result<[u8; 32]> {
    let (root, usage) = (peer.root(), Usage::now()?);
    let ((), duration) = timed(|| {
        drop(peer);
        Ok(())
    })?;
    figures.insert("close.ms".into(), duration.as_secs_f64() * 1000.0);
    figures.insert("close.written_mib".into(), usage.since()?.written / MIB);
    enter_space(figures, "close", folder)?;
    Ok(root)
}

/// Phase f: from nothing in memory to the first answer.
fn open_and_read<P: Peer>(
    folder: &Path,
    plan: &Plan,
    dataset: &Dataset,
    figures: &mut Figures,
) -> anyhow::Result<P> {
    let key = dataset.key(dataset.queries(3, 1)[0]);
    let usage = Usage::now()?;
    let (peer, duration) = timed(|| {
        let peer = P::open(folder, plan)?;
        let value = peer.reader()?.get(&key)?;
        ensure!(value.is_some(), "a key that was written has no value");
        Ok(peer)
    })?;
    figures.insert("restart.ms".into(), duration.as_secs_f64() * 1000.0);
    figures.insert("restart.read_mib".into(), usage.since()?.read / MIB);
    figures.insert("restart.memory_mib".into(), peak_memory_mib()?);
    Ok(peer)
}

fn restart<P: Peer>(
    folder: &Path,
    plan: &Plan,
    dataset: &Dataset,
    figures: &mut Figures,
) -> anyhow::Result<[u8; 32]> {
    let peer = open_and_read::<P>(folder, plan, dataset, figures)?;
    check(&peer, dataset, &dataset.queries(4, CHECKED))?;
    Ok(peer.root())
}

/// Phase c where nothing is in memory.
fn cold<P: Peer>(folder: &Path, plan: &Plan, figures: &mut Figures) -> anyhow::Result<[u8; 32]> {
    let dataset = written_keys(plan);
    let peer = open_and_read::<P>(folder, plan, &dataset, figures)?;
    let reader = peer.reader()?;
    let usage = Usage::now()?;
    let indices = dataset.queries(5, plan.reads);
    // The first reads wait for the disk, the last mostly do not, so there is no median.
    let duration = read(&reader, &dataset, &indices)?;
    let rate = indices.len() as f64 / duration.as_secs_f64();
    figures.insert("read.cold_per_second".into(), rate);
    figures.insert("read.cold_read_mib".into(), usage.since()?.read / MIB);
    drop(reader);
    check(
        &peer,
        &dataset,
        &indices[..indices.len().min(CHECKED as usize)],
    )?;
    Ok(peer.root())
}

/// What the stage `keys` has written, without writing it.
fn written_keys(plan: &Plan) -> Dataset {
    let mut dataset = Dataset::new(plan.seed, plan.keys, VALUE_BYTES);
    dataset.load(0, 1);
    for _ in 0..plan.update_commits {
        dataset.update(plan.updates);
    }
    dataset
}

/// What the stage `accounts` has written, without writing it.
fn written_accounts(plan: &Plan) -> Dataset {
    let mut dataset = Dataset::new(plan.seed, plan.accounts, ACCOUNT_BYTES);
    dataset.load(0, 1);
    for _ in 0..plan.batches {
        dataset.update(plan.batch_updates);
    }
    dataset
}

/// Fails unless the peer has the right values of these keys, and none of keys never written.
fn check<P: Peer>(peer: &P, dataset: &Dataset, indices: &[u64]) -> anyhow::Result<()> {
    let reader = peer.reader()?;
    let absent = dataset.keys()..dataset.keys() + 100;
    for index in indices.iter().copied().chain(absent) {
        let value = reader.get(&dataset.key(index))?;
        ensure!(
            value == dataset.value(index),
            "key {index} has another value than was written"
        );
    }
    Ok(())
}
