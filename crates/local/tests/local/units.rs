//! Reports of compute units.

use trilith_local::{Local, LocalError, UnitReport};

use super::wire::{
    MEMO, SOL, TOKEN, associated, create, create_associated, initialize_mint, key, keypair, memo,
    mint_to, transaction,
};

fn report(text: &str) -> UnitReport {
    let (alice, mint) = (keypair(1), keypair(3));
    let mut svm = Local::new();
    svm.airdrop(&key(&alice), 5 * SOL).expect("lamports");
    svm.count_units();
    let holder = associated(&key(&alice), &key(&mint));
    let call = [
        create(&key(&alice), &key(&mint), SOL / 100, 82, &TOKEN),
        initialize_mint(&key(&mint), &key(&alice)),
        create_associated(&key(&alice), &key(&alice), &key(&mint)),
        mint_to(&key(&mint), &holder, &key(&alice), 1_000),
        memo(MEMO, text),
    ];
    let call = transaction(&call, &[&alice, &mint], svm.latest_blockhash());
    svm.send(call).expect("it succeeds");
    svm.units()
}

#[test]
fn a_report_names_each_instruction_and_is_the_same_again() {
    let first = report("hello");
    assert_eq!(first, report("hello"));
    let subjects: Vec<String> = first.rows().map(|(row, _)| row.to_string()).collect();
    for wanted in ["(transactions) ", &format!("{MEMO} #68")] {
        assert!(subjects.iter().any(|row| row == wanted), "{subjects:?}");
    }
    // The token program is called from the top and by the associated token program.
    let of_token = subjects
        .iter()
        .filter(|row| row.starts_with(&TOKEN.to_string()));
    assert!(of_token.count() >= 4, "{subjects:?}");
    let whole = first.rows().next().expect("a row");
    assert_eq!((whole.1.calls, whole.1.least), (1, whole.1.most));
    let json = first.to_json();
    assert_eq!(UnitReport::from_json(&json), Ok(first.clone()));
    assert_eq!(json.lines().count(), first.rows().count() + 5);
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("units.json");
    first.write(&path).expect("it is written");
    assert_eq!(UnitReport::read(&path).expect("it is read"), first);
    assert!(first.to_string().contains("calls"));
}

#[test]
fn differences_over_the_tolerance_fail() {
    let before = report("hello");
    let now = report(&"hello ".repeat(40));
    assert!(before.compare(&before, 0).check().is_ok());
    assert_eq!(before.compare(&before, 0).changed().count(), 0);
    let failed = now.compare(&before, 5).check().expect_err("it uses more");
    let text = failed.to_string();
    assert!(text.contains("<-- too much"), "{text}");
    assert!(text.contains(&MEMO.to_string()), "{text}");
    assert_eq!(format!("{failed:?}"), text);
    // Less is never too much, and neither is much within the tolerance.
    assert!(before.compare(&now, 0).check().is_ok());
    assert!(now.compare(&before, 100_000).check().is_ok());
    let none = UnitReport::default();
    assert!(none.compare(&before, 0).to_string().contains("gone"));
    assert!(before.compare(&none, 0).to_string().contains("new"));
}

#[test]
fn a_file_that_is_no_report_is_refused() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("units.json");
    let missing = UnitReport::read(&path).expect_err("no file");
    assert!(matches!(missing, LocalError::File { .. }), "{missing}");
    for text in [
        "",
        "{}",
        "{\"format\":2,\"rows\":[]}",
        "{\"format\":1,\"rows\":[1]}",
    ] {
        std::fs::write(&path, text).expect("a file");
        let refused = UnitReport::read(&path).expect_err("no report");
        assert!(matches!(refused, LocalError::Report { .. }), "{refused}");
    }
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len(17 * 1024 * 1024).expect("room");
    let refused = UnitReport::read(&path).expect_err("it is too large");
    assert!(refused.to_string().contains("the limit is"), "{refused}");
}
