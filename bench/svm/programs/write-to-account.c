/* By the first byte of its data: 0 logs the length of its account, 1 writes 100 to its first byte, 2
 * moves its lamports to the second account, 3 sets its length to the little-endian number behind. */

#include "input.h"

static const u8 size[13] = "account size ";

static void log_size(u64 len) {
    u8 line[40];
    u8 digits[20];
    u32 count = 0, at = 0;
    do {
        digits[count++] = (u8)('0' + len % 10);
        len /= 10;
    } while (len && count < 20);
    for (; at < sizeof size; at++)
        line[at] = size[at];
    while (count)
        line[at++] = digits[--count];
    sol_log_(line, at);
}

u64 entrypoint(u8 *at) {
    struct input *input = (struct input *)0x300000000ULL;
    read_input(at, input);
    if (input->count < 1 || input->data_len < 1)
        return 1;
    struct info *info = &input->infos[0];
    switch (input->data[0]) {
    case 0:
        log_size(info->data_len);
        return 0;
    case 1:
        info->data[0] = 100;
        return 0;
    case 2:
        *input->infos[1].lamports += *info->lamports;
        *info->lamports = 0;
        return 0;
    case 3: {
        u64 len = 0;
        for (u32 i = 0; i < 8; i++)
            len |= (u64)input->data[1 + i] << (8 * i);
        *(u64 *)(info->data - 8) = len;
        return 0;
    }
    }
    return 1;
}
