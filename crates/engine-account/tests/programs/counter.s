# Counts how often it was invoked, in the first 8 bytes of the data of its only account. Fails with
# status 1 where it is given another number of accounts. See README.md for how it is assembled.
#
# The input begins with the number of accounts; data of the first begins at byte 96.

    .text
    .globl entrypoint
    .type entrypoint, @function
entrypoint:
    r2 = *(u64 *)(r1 + 0)
    if r2 == 1 goto one
    r0 = 1
    exit
one:
    r3 = *(u64 *)(r1 + 96)
    r3 += 1
    *(u64 *)(r1 + 96) = r3
    r0 = 0
    exit
