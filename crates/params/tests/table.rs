//! The table of consensus numbers as reviewers see it.

use std::collections::BTreeSet;
use std::path::Path;

use trilith_params::{TABLE, table_text};

/// Set this variable to write the snapshot anew after a change that is meant.
const UPDATE: &str = "TRILITH_UPDATE_SNAPSHOTS";

#[test]
fn the_snapshot_shows_every_number() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/params.snap");
    let text = table_text();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &text).expect("the snapshot can be written");
    }
    let snapshot = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, snapshot,
        "consensus numbers changed: if that is meant, run this test with {UPDATE}=1, raise the \
         version of each number that changed, and have the difference read"
    );
}

#[test]
fn names_are_unique_and_every_number_has_a_source() {
    let mut names = BTreeSet::new();
    for param in TABLE.iter().copied().flatten() {
        assert!(names.insert(param.name), "{} stands twice", param.name);
        assert!(param.source.len() > 10, "{} has no source", param.name);
        assert!(param.version >= 1, "{} has no version", param.name);
    }
    assert!(names.len() > 10);
}
