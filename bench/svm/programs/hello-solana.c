/* Logs a line. */

#include "input.h"

static const u8 hello[14] = "Hello, Solana!";

u64 entrypoint(u8 *at) {
    (void)at;
    sol_log_(hello, sizeof hello);
    return 0;
}
