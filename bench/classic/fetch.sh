#!/bin/sh
# Puts solana_rbpf 0.2.21 into target/rbpf, where Cargo.toml expects it, with the layout of two
# types fixed: it reads the compiler's tables of methods through them and relies on the order of
# their fields, which compilers of today choose otherwise.
set -eu
cd "$(dirname "$0")"
rm -rf target/rbpf target/vendor
mkdir -p target
cargo vendor --quiet --locked --versioned-dirs --manifest-path rbpf/Cargo.toml target/vendor >/dev/null
mv target/vendor/solana_rbpf-0.2.21 target/rbpf
rm -rf target/vendor
sed -i -E 's/^pub struct (DynTraitVtable|DynTraitFatPointer) /#[repr(C)]\n&/' target/rbpf/src/vm.rs
test "$(grep -c '^#\[repr(C)\]$' target/rbpf/src/vm.rs)" = 2
