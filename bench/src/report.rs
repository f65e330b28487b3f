//! The result as text: a row a figure, a column a peer, and the ratio of the two.

use std::fmt::Write;

use crate::measure::Figures;
use crate::plan::{ACCOUNT_BYTES, KEY_BYTES, PeerName, Plan, VALUE_BYTES};
use crate::run::RunResult;

/// A row: what is told, the figure's name, and how many digits follow its point.
type Row = (&'static str, &'static str, usize);

/// A heading and the rows below it.
type Section = (String, &'static [Row]);

const LOAD: &[Row] = &[
    ("keys a second", "keys.load.keys_per_second", 0),
    ("median per commit, ms", "keys.load.median_ms", 1),
    (
        "processor time a key, us",
        "keys.load.processor_us_per_key",
        2,
    ),
    (
        "bytes written per changed byte",
        "keys.load.written_per_changed_byte",
        2,
    ),
    ("allocated on disk, MiB", "keys.load.disk_mib", 1),
    ("length of files, MiB", "keys.load.apparent_mib", 1),
];
const UPDATE: &[Row] = &[
    ("median per commit, ms", "keys.update.median_ms", 2),
    ("p95 per commit, ms", "keys.update.p95_ms", 2),
    (
        "processor time a key, us",
        "keys.update.processor_us_per_key",
        2,
    ),
    (
        "bytes written per changed byte",
        "keys.update.written_per_changed_byte",
        2,
    ),
    ("allocated on disk, MiB", "keys.update.disk_mib", 1),
    ("length of files, MiB", "keys.update.apparent_mib", 1),
];
const READ: &[Row] = &[
    ("reads a second, cached", "keys.read.cached_per_second", 0),
    (
        "reads a second, nothing in memory",
        "keys-cold.read.cold_per_second",
        0,
    ),
    (
        "read from disk meanwhile, MiB",
        "keys-cold.read.cold_read_mib",
        1,
    ),
];
const PROVE: &[Row] = &[
    ("made a second", "keys.proof.made_per_second", 0),
    ("verified a second", "keys.proof.verified_per_second", 0),
    ("bytes", "keys.proof.bytes", 0),
    (
        "allocated on disk after closing, MiB",
        "keys.close.disk_mib",
        1,
    ),
    ("peak memory of a to d, MiB", "keys.peak_memory_mib", 0),
];
const RESTART: &[Row] = &[
    ("files in the page cache, ms", "keys-restart.restart.ms", 1),
    ("nothing in memory, ms", "keys-cold.restart.ms", 1),
    (
        "read from disk by that, MiB",
        "keys-cold.restart.read_mib",
        1,
    ),
    ("memory by then, MiB", "keys-cold.restart.memory_mib", 0),
    (
        "peak memory after all reads, MiB",
        "keys-cold.peak_memory_mib",
        0,
    ),
];
const ACCOUNTS: &[Row] = &[
    (
        "accounts loaded a second",
        "accounts.load.keys_per_second",
        0,
    ),
    ("allocated on disk then, MiB", "accounts.load.disk_mib", 1),
    ("leaves a second", "accounts.update.keys_per_second", 0),
    ("median batch, ms", "accounts.update.median_ms", 1),
    ("p95 batch, ms", "accounts.update.p95_ms", 1),
    ("worst batch, ms", "accounts.update.worst_ms", 1),
    (
        "processor time a leaf, us",
        "accounts.update.processor_us_per_key",
        2,
    ),
    (
        "bytes written per changed byte",
        "accounts.update.written_per_changed_byte",
        2,
    ),
    ("allocated on disk, MiB", "accounts.update.disk_mib", 1),
    ("length of files, MiB", "accounts.update.apparent_mib", 1),
    (
        "between batches, all, ms",
        "accounts.update.between_commits_ms",
        0,
    ),
    ("closing, ms", "accounts.close.ms", 1),
    (
        "written while closing, MiB",
        "accounts.close.written_mib",
        1,
    ),
    (
        "allocated on disk after closing, MiB",
        "accounts.close.disk_mib",
        1,
    ),
    ("peak memory, MiB", "accounts.peak_memory_mib", 0),
    (
        "restart, files in the page cache, ms",
        "accounts-restart.restart.ms",
        1,
    ),
    (
        "memory after restart, MiB",
        "accounts-restart.restart.memory_mib",
        0,
    ),
];
const OTHERS: &[Row] = &[
    ("during a to d", "keys.others_busy_cores", 2),
    ("during restarts", "keys-restart.others_busy_cores", 2),
    ("during cold reads", "keys-cold.others_busy_cores", 2),
    ("during g", "accounts.others_busy_cores", 2),
];

fn sections(plan: &Plan) -> Vec<Section> {
    let Plan {
        keys,
        commits,
        update_commits,
        updates,
        reads,
        proofs,
        accounts,
        batches,
        batch_updates,
        ..
    } = plan;
    vec![
        (
            format!(
                "a. {keys} keys of {KEY_BYTES} + {VALUE_BYTES} bytes in {commits} durable commits"
            ),
            LOAD,
        ),
        (
            format!("b. {update_commits} durable commits of {updates} random updates"),
            UPDATE,
        ),
        (format!("c. {reads} random reads, one thread"), READ),
        (
            format!("d. {proofs} proofs of random keys, one thread"),
            PROVE,
        ),
        (
            "f. restart: opened, and the first read answered".to_owned(),
            RESTART,
        ),
        (
            format!(
                "g. {accounts} accounts of {KEY_BYTES} + {ACCOUNT_BYTES} bytes; {batches} durable \
                 batches of {batch_updates} random updates"
            ),
            ACCOUNTS,
        ),
        ("cores kept busy by others".to_owned(), OTHERS),
    ]
}

/// The table.
pub fn table(result: &RunResult) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", line.trim_end());
    };
    for (name, value) in &result.machine {
        line(format!("{name}: {value}"));
    }
    line(format!(
        "\n{:<40} {:>12} {:>12} {:>9}",
        "", "trilith", "nomt", "ratio"
    ));
    for (heading, rows) in sections(&result.plan) {
        line(format!("\n{heading}"));
        for (label, name, digits) in rows {
            let of = |peer| {
                result
                    .figures
                    .get(&peer)
                    .and_then(|all: &Figures| all.get(*name))
            };
            let (ours, theirs) = (of(PeerName::Trilith), of(PeerName::Nomt));
            let cell = |figure: Option<&f64>| {
                figure.map_or("-".to_owned(), |figure| format!("{figure:.digits$}"))
            };
            let ratio = result.ratios.get(*name);
            let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
            line(format!(
                "  {label:<38} {:>12} {:>12} {ratio:>9}",
                cell(ours),
                cell(theirs)
            ));
        }
    }
    line("\nroots".to_owned());
    for (peer, roots) in &result.roots {
        for (data, root) in roots {
            line(format!("  {} {data}: {root}", peer.word()));
        }
    }
    text
}
