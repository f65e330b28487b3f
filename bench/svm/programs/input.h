/* What the programs of this folder share: the loader's input, aligned, and the calls they make. */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

extern u64 sol_log_(const u8 *text, u64 len);
extern u64 sol_get_clock_sysvar(void *clock);
extern u64 sol_set_return_data(const u8 *data, u64 len);
extern u64 sol_invoke_signed_c(const void *instruction, const void *infos, u64 count,
                               const void *seeds, u64 seeds_count);

#define ACCOUNTS_MAX 4
#define SPARE 10240

/* As the system takes it for a call. */
struct info {
    u8 *key;
    u64 *lamports;
    u64 data_len;
    u8 *data;
    u8 *owner;
    u64 rent_epoch;
    u8 is_signer, is_writable, executable;
};

struct input {
    struct info infos[ACCOUNTS_MAX];
    u64 count;
    u8 *data;
    u64 data_len;
};

/* Accounts that are named twice do not occur. */
static inline void read_input(u8 *at, struct input *input) {
    input->count = *(u64 *)at;
    at += 8;
    for (u64 i = 0; i < input->count && i < ACCOUNTS_MAX; i++) {
        struct info *info = &input->infos[i];
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
    input->data_len = *(u64 *)at;
    input->data = at + 8;
}
