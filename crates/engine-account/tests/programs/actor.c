/* Does what its instruction data says, action by action, so that one program can keep and break
 * every rule. See README.md for how it is built. Layout of the input: the loader's, aligned.
 *
 * An action is a byte and its operands, numbers little-endian:
 *
 *   1  account, i64            add to its lamports
 *   2  account, u32, u8        write a byte of its data
 *   3  account, u64            set the length of its data
 *   4  account, 32 bytes       set its owner
 *   5  account, u8             set its executable flag
 *   6  account, u64            set its rent epoch
 *   7                          log the units that remain
 *   8  u64                     log so many bytes of text, at most 1024
 *   9  u64                     spin so many times
 *  10  program account, count, count * (account, bit 0 signer bit 1 writable), u16, data
 *                              invoke a program with all accounts
 *  11  u64                     return this status
 *  12  u64                     log five numbers
 *  13  account                 log its key
 *  14  u8                      derive an address from a seed of one byte
 *  15  u64                     call itself to this depth
 *  16  u64, u64                write a number to an address of memory
 *  17  u64                     write to the heap at this offset
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

extern u64 sol_log_(const u8 *text, u64 len);
extern u64 sol_log_64_(u64, u64, u64, u64, u64);
extern u64 sol_log_pubkey(const u8 *key);
extern u64 sol_log_compute_units_(void);
extern u64 sol_create_program_address(const void *seeds, u64 count, const u8 *program, u8 *address);
extern u64 sol_invoke_signed_c(const void *instruction, const void *infos, u64 count,
                               const void *seeds, u64 seeds_count);

#define ACCOUNTS_MAX 16
#define SPARE 10240
#define HEAP 0x300000000ULL

struct info {
    u8 *key;
    u64 *lamports;
    u64 data_len;
    u8 *data;
    u8 *owner;
    u64 rent_epoch;
    u8 is_signer, is_writable, executable;
};

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

/* What the actions need, at the start of the heap. */
struct scratch {
    struct info infos[ACCOUNTS_MAX];
    u8 *heads[ACCOUNTS_MAX];
    struct meta metas[ACCOUNTS_MAX];
    struct instruction instruction;
    u64 count;
    u8 address[32];
    u8 seed[8];
    u64 seed_parts[2];
};

static const u8 text[1024] = {
    [0 ... 1023] = 'x',
};

static u64 number(const u8 *at, u32 bytes) {
    u64 value = 0;
    for (u32 i = 0; i < bytes; i++)
        value |= (u64)at[i] << (8 * i);
    return value;
}

/* Fills the scratch and gives where the length of the instruction data lies. */
static u8 *accounts(u8 *input, struct scratch *s) {
    u64 count = *(u64 *)input;
    u8 *at = input + 8;
    s->count = count;
    for (u64 i = 0; i < count && i < ACCOUNTS_MAX; i++) {
        if (*at != 0xff) {
            s->infos[i] = s->infos[*at];
            s->heads[i] = s->heads[*at];
            at += 8;
            continue;
        }
        struct info *info = &s->infos[i];
        s->heads[i] = at;
        info->is_signer = at[1];
        info->is_writable = at[2];
        info->executable = at[3];
        info->key = at + 8;
        info->owner = at + 40;
        info->lamports = (u64 *)(at + 72);
        info->data_len = *(u64 *)(at + 80);
        info->data = at + 88;
        at += 88 + info->data_len + SPARE;
        at = (u8 *)(((u64)at + 7) & ~7ULL);
        info->rent_epoch = *(u64 *)at;
        at += 8;
    }
    return at;
}

__attribute__((noinline)) static u64 descend(u64 depth) {
    if (depth == 0)
        return 1;
    u64 below = descend(depth - 1);
    __asm__ volatile("" : "+r"(below)); /* or the compiler makes a loop of it */
    return below + 1;
}

/* Invokes, and gives the length of the operands. */
__attribute__((noinline)) static u64 invoke(const u8 *at, struct scratch *s) {
    u8 program = at[0], count = at[1];
    const u8 *list = at + 2;
    for (u32 i = 0; i < count && i < ACCOUNTS_MAX; i++) {
        struct meta *meta = &s->metas[i];
        meta->key = s->infos[list[2 * i]].key;
        meta->is_signer = list[2 * i + 1] & 1;
        meta->is_writable = (list[2 * i + 1] >> 1) & 1;
    }
    u64 len = number(list + 2 * count, 2);
    struct instruction *instruction = &s->instruction;
    instruction->program = s->infos[program].key;
    instruction->metas = s->metas;
    instruction->metas_count = count;
    instruction->data = (u8 *)list + 2 * count + 2;
    instruction->data_len = len;
    sol_invoke_signed_c(instruction, s->infos, s->count, (void *)0, 0);
    return 2 + 2 * (u64)count + 2 + len;
}

__attribute__((noinline)) static void spin(u64 times) {
    for (u64 i = 0; i < times; i++)
        __asm__ volatile("" ::: "memory");
}

/* Derives an address; whether there is one does not matter. */
__attribute__((noinline)) static void derive(u8 seed, const u8 *program, struct scratch *s) {
    s->seed[0] = seed;
    s->seed_parts[0] = (u64)s->seed;
    s->seed_parts[1] = 1;
    sol_create_program_address(s->seed_parts, 1, program, s->address);
}

/* Does one action and gives the length of its operands. */
__attribute__((noinline)) static u64 act(u8 action, const u8 *at, struct scratch *s) {
    struct info *info = &s->infos[at[0] & 15];
    u8 *head = s->heads[at[0] & 15];
    switch (action) {
    case 1:
        *info->lamports += number(at + 1, 8);
        return 9;
    case 2:
        info->data[number(at + 1, 4)] = at[5];
        return 6;
    case 3:
        *(u64 *)(head + 80) = number(at + 1, 8);
        info->data_len = number(at + 1, 8);
        return 9;
    case 4:
        for (u32 i = 0; i < 32; i++)
            info->owner[i] = at[1 + i];
        return 33;
    case 5:
        head[3] = at[1];
        info->executable = at[1];
        return 2;
    case 6:
        *(u64 *)(((u64)info->data + info->data_len + SPARE + 7) & ~7ULL) = number(at + 1, 8);
        return 9;
    case 7:
        sol_log_compute_units_();
        return 0;
    case 8:
        sol_log_(text, number(at, 8) & 2047);
        return 8;
    case 9:
        spin(number(at, 8));
        return 8;
    case 10:
        return invoke(at, s);
    case 12:
        sol_log_64_(number(at, 8), 2, 3, 4, 5);
        return 8;
    case 13:
        sol_log_pubkey(info->key);
        return 1;
    case 15:
        descend(number(at, 8));
        return 8;
    case 16:
        *(volatile u64 *)number(at, 8) = number(at + 8, 8);
        return 16;
    case 17:
        *(volatile u8 *)(HEAP + number(at, 8)) = 1;
        return 8;
    }
    return 0;
}

u64 entrypoint(u8 *input) {
    struct scratch *s = (struct scratch *)HEAP;
    u8 *data = accounts(input, s);
    u64 len = *(u64 *)data;
    u8 *at = data + 8, *end = at + len;
    u8 *program = end;
    while (at < end) {
        u8 action = *at++;
        if (action == 11)
            return number(at, 8);
        if (action == 14) {
            derive(*at++, program, s);
            continue;
        }
        at += act(action, at, s);
    }
    return 0;
}
