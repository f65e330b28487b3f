//! A small run of everything: both peers do all work, and every figure of the table is there.

use std::process::Command;

use serde_json::Value;

const SMALL: [&str; 22] = [
    "state",
    "--keys",
    "3000",
    "--commits",
    "3",
    "--update-commits",
    "3",
    "--updates",
    "100",
    "--reads",
    "1000",
    "--proofs",
    "100",
    "--accounts",
    "3000",
    "--account-commits",
    "2",
    "--batches",
    "3",
    "--batch-updates",
    "100",
    "--folder",
];

fn run(extra: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_trilith-bench"))
        .args(SMALL)
        // The usual folder for temporary files may be in memory, which the program refuses.
        .arg(env!("CARGO_TARGET_TMPDIR"))
        .args(extra)
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("the result is text")
}

#[test]
fn both_peers_do_all_work_and_it_is_the_same_each_time() {
    let first: Value = serde_json::from_str(&run(&["--json"])).expect("a JSON document");
    let second: Value = serde_json::from_str(&run(&["--json"])).expect("a JSON document");
    assert_eq!(first["roots"], second["roots"]);
    for peer in ["trilith", "nomt"] {
        assert_eq!(
            first["roots"][peer]["keys"].as_str().map(str::len),
            Some(64)
        );
        let figures = first["figures"][peer].as_object().expect("figures");
        assert!(figures.len() > 40, "{peer} has {} figures", figures.len());
        for (name, figure) in figures {
            assert!(
                figure.as_f64().is_some_and(|figure| figure >= 0.0),
                "{peer} {name}: {figure}"
            );
        }
    }
}

#[test]
fn the_table_has_every_figure_that_it_names() {
    let table = run(&[]);
    let (rows, roots) = table.split_once("\nroots\n").expect("roots at the end");
    assert_eq!(roots.lines().count(), 4, "{roots}");
    let is_row = |line: &&str| line.starts_with("  ") && !line.ends_with("ratio");
    for row in rows.lines().filter(is_row) {
        // Both peers' figures, and then the ratio, which is left out where a figure is zero.
        let cells: Vec<&str> = row.split_whitespace().rev().take(3).collect();
        let is_figure = |cell: &&str| cell.parse::<f64>().is_ok();
        assert!(cells[1..].iter().all(is_figure), "{row}");
    }
    assert!(table.contains("leaves a second"), "{table}");
}
