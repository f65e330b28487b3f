//! The demonstration holds what it says.

mod support;

use support::process::trilith;

#[test]
fn the_demonstration_passes_and_says_so_in_one_line() {
    let output = trilith()
        .args(["demo", "--updates", "40"])
        .output()
        .unwrap();
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{}:\n{progress}", output.status);
    let result = String::from_utf8(output.stdout).unwrap();
    assert_eq!(result.lines().count(), 1, "{result}");
    assert!(result.contains("0 failed"), "{result}");
    assert!(result.contains("certificates verified"), "{result}");
    assert!(!progress.contains("FAIL"), "{progress}");
    // The parts that a newcomer is to see.
    for part in ["root key", "Motoko", "SIGKILL", "exactly once", "Upgrade"] {
        assert!(progress.contains(part), "no {part} in\n{progress}");
    }
}

#[test]
fn the_demonstration_does_not_touch_a_network_of_the_users() {
    let folder = tempfile::tempdir().unwrap();
    drop(support::Node::start(folder.path()));
    let output = trilith()
        .args(["demo", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "a failure has no result");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("holds a network already"), "{error}");
    assert!(error.contains("--data"), "no next step in {error}");
}
