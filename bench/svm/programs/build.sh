#!/bin/sh
# Compiles the programs; needed only after a change of a source. Tests link the objects.
set -eu
cd "$(dirname "$0")"
clang=${CLANG:-clang-19}
for source in *.c; do
    "$clang" -target bpf -mcpu=v2 -O2 -fno-builtin -fno-jump-tables -Wall -Werror \
        -c "$source" -o "${source%.c}.o"
done
