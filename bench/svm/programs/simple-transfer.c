/* Has the system program send as many lamports as its data says, a big-endian number, from its first
 * account to its second. The third is the system program. */

#include "input.h"

struct meta {
    u8 *key;
    u8 is_writable, is_signer;
};

struct instruction {
    u8 *program;
    struct meta *metas;
    u64 metas_count;
    u8 *data;
    u64 data_len;
};

u64 entrypoint(u8 *at) {
    struct input *input = (struct input *)0x300000000ULL;
    read_input(at, input);
    if (input->count != 3 || input->data_len != 8)
        return 1;
    u8 data[12] = {2, 0, 0, 0};
    for (u32 i = 0; i < 8; i++)
        data[4 + i] = input->data[7 - i];
    struct meta metas[2] = {
        {input->infos[0].key, 1, 1},
        {input->infos[1].key, 1, 0},
    };
    struct instruction instruction = {input->infos[2].key, metas, 2, data, 12};
    return sol_invoke_signed_c(&instruction, input->infos, 3, (void *)0, 0);
}
