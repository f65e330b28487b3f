/* Returns the time of the clock, a big-endian number of seconds. */

#include "input.h"

struct clock {
    u64 slot;
    u64 epoch_start;
    u64 epoch;
    u64 leader_schedule_epoch;
    u64 time;
};

u64 entrypoint(u8 *at) {
    (void)at;
    struct clock clock;
    u64 failed = sol_get_clock_sysvar(&clock);
    if (failed)
        return failed;
    u8 data[8];
    for (u32 i = 0; i < 8; i++)
        data[i] = (u8)(clock.time >> (56 - 8 * i));
    sol_set_return_data(data, 8);
    return 0;
}
