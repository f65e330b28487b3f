#!/bin/sh
# Compiles the programs; needed only after a change of a source. Tests link the objects.
set -eu
cd "$(dirname "$0")"
clang=${CLANG:-clang-19}
"$clang" -target bpf -mcpu=v2 -O2 -fno-builtin -fno-jump-tables -Wall -Werror -c actor.c -o actor.o
"$clang" -target bpf -c counter.s -o counter.o
"$clang" -target bpf -mcpu=v2 -O2 -fno-builtin -fno-jump-tables -Wall -Werror -c vault.c -o vault.o
