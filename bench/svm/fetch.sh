#!/bin/sh
# Puts the integration tests of solana-svm 4.2.2 into target/svm, where tests/shipped looks for
# them, with three changes: without the line that names the bank they ship with, as ours takes its
# place, under the gates that are in force in our bank and not under all there are, and with a module
# of ours behind, which runs the same batches in our bank.
set -eu
cd "$(dirname "$0")"
cargo fetch --quiet --locked
crate=$(cargo metadata --quiet --locked --format-version 1 | tr ',' '\n' |
    sed -n 's|.*"manifest_path":"\(.*/solana-svm-4\.2\.2\)/Cargo\.toml".*|\1|p')
mkdir -p target/svm
sed -e '/^mod mock_bank;$/d' \
    -e 's/SVMFeatureSet::all_enabled()/crate::mock_bank::features()/' \
    "$crate/tests/integration_test.rs" >target/svm/integration_test.rs
printf '\n#[path = "../../tests/shipped/replay.rs"]\nmod replay;\n' >>target/svm/integration_test.rs
test "$(grep -c '#\[test' target/svm/integration_test.rs)" = 40
test "$(grep -c 'mock_bank::features()' target/svm/integration_test.rs)" = 1
