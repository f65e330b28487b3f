/* Keeps lamports for their owner at addresses that only this program can sign for. See README.md
 * for how it is built. Layout of the input: the loader's, aligned; no account may come twice.
 *
 * Accounts: the owner (signs), an address derived for the owner, the system program; and for
 * action 2 who is paid. Instruction data: the action, the seed that ends the address (its bump),
 * and a number of lamports, little-endian.
 *
 *   1  opens the vault at ("vault", owner, bump): an account of this program with these lamports
 *      and 8 zero bytes of data; the system program makes it, and the address signs
 *   2  pays lamports from the purse at ("purse", owner, bump), an account of the system program;
 *      the address signs
 */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

extern u64 sol_invoke_signed_c(const void *instruction, const void *infos, u64 count,
                               const void *signers, u64 signers_count);

#define ACCOUNTS_MAX 4
#define SPARE 10240
#define HEAP 0x300000000ULL
#define CREATE_BYTES 52
#define TRANSFER_BYTES 12
#define VAULT_BYTES 8

/* What the program answers to what it cannot do. */
#define BAD_INPUT 1
#define NOT_THE_OWNER 2

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

struct part {
    const u8 *bytes;
    u64 len;
};

/* What a call needs, at the start of the heap. */
struct scratch {
    struct info infos[ACCOUNTS_MAX];
    struct meta metas[2];
    struct instruction instruction;
    struct part seeds[3];
    struct part signer;
    u8 data[CREATE_BYTES];
};

static const u8 vault[5] = {'v', 'a', 'u', 'l', 't'};
static const u8 purse[5] = {'p', 'u', 'r', 's', 'e'};

/* Fills the scratch and gives where the length of the instruction data lies, or nothing. */
static u8 *accounts(u8 *input, struct scratch *s, u64 count) {
    u8 *at = input + 8;
    for (u64 i = 0; i < count; i++) {
        if (*at != 0xff)
            return (u8 *)0;
        struct info *info = &s->infos[i];
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

static void put(u8 *at, u64 number, u32 bytes) {
    for (u32 i = 0; i < bytes; i++)
        at[i] = (u8)(number >> (8 * i));
}

/* Asks the system program to move lamports between two accounts; the derived address signs. */
__attribute__((noinline)) static u64 ask(struct scratch *s, u64 from, u64 to, u64 len) {
    s->metas[0].key = s->infos[from].key;
    s->metas[0].is_writable = 1;
    s->metas[0].is_signer = 1;
    s->metas[1].key = s->infos[to].key;
    s->metas[1].is_writable = 1;
    s->metas[1].is_signer = to == 1;
    s->instruction.program = s->infos[2].key;
    s->instruction.metas = s->metas;
    s->instruction.metas_count = 2;
    s->instruction.data = s->data;
    s->instruction.data_len = len;
    s->signer.bytes = (const u8 *)s->seeds;
    s->signer.len = 3;
    return sol_invoke_signed_c(&s->instruction, s->infos, to == 1 ? 3 : 4, &s->signer, 1);
}

u64 entrypoint(u8 *input) {
    struct scratch *s = (struct scratch *)HEAP;
    u64 count = *(u64 *)input;
    if (count != 3 && count != 4)
        return BAD_INPUT;
    u8 *data = accounts(input, s, count);
    if (!data || *(u64 *)data != 10)
        return BAD_INPUT;
    u8 action = data[8];
    const u8 *bump = data + 9;
    u8 *program = data + 18;
    if (!s->infos[0].is_signer)
        return NOT_THE_OWNER;
    u64 lamports = 0;
    for (u32 i = 0; i < 8; i++)
        lamports |= (u64)data[10 + i] << (8 * i);
    s->seeds[0].bytes = action == 1 ? vault : purse;
    s->seeds[0].len = 5;
    s->seeds[1].bytes = s->infos[0].key;
    s->seeds[1].len = 32;
    s->seeds[2].bytes = bump;
    s->seeds[2].len = 1;
    if (action == 1 && count == 3) {
        put(s->data, 0, 4);
        put(s->data + 4, lamports, 8);
        put(s->data + 12, VAULT_BYTES, 8);
        for (u32 i = 0; i < 32; i++)
            s->data[20 + i] = program[i];
        return ask(s, 0, 1, CREATE_BYTES);
    }
    if (action == 2 && count == 4) {
        put(s->data, 2, 4);
        put(s->data + 4, lamports, 8);
        return ask(s, 1, 3, TRANSFER_BYTES);
    }
    return BAD_INPUT;
}
