#!/bin/sh
# Compiles the C programs; needed only after a change of a source. Tests link the objects.
set -eu
cd "$(dirname "$0")"
for name in actor; do
    "${CLANG:-clang-19}" -target bpf -mcpu=v2 -O2 -fno-builtin -fno-jump-tables -Wall -Werror \
        -c "$name.c" -o "$name.o"
done
