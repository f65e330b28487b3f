/* A counter in stable memory, without a C library.
 *
 * Every method speaks Candid by hand, because the two shapes it needs are short: no value is
 * `DIDL 00 00`, and one nat64 is `DIDL 00 01 78` followed by eight little-endian bytes. The counter
 * lives in the first eight bytes of stable memory, so that an upgrade keeps it without hooks. */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define IC(name) __attribute__((import_module("ic0"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(name)))

IC(msg_reply) void ic0_msg_reply(void);
IC(msg_reply_data_append) void ic0_msg_reply_data_append(const void *source, u32 size);
IC(msg_arg_data_size) u32 ic0_msg_arg_data_size(void);
IC(msg_arg_data_copy) void ic0_msg_arg_data_copy(void *target, u32 offset, u32 size);
IC(stable64_size) u64 ic0_stable64_size(void);
IC(stable64_grow) u64 ic0_stable64_grow(u64 pages);
IC(stable64_read) void ic0_stable64_read(u64 target, u64 offset, u64 size);
IC(stable64_write) void ic0_stable64_write(u64 offset, u64 source, u64 size);
IC(trap) void ic0_trap(const void *source, u32 size);

enum { PREFIX_BYTES = 7, VALUE_BYTES = 8 };

static const u8 NAT64_PREFIX[PREFIX_BYTES] = {'D', 'I', 'D', 'L', 0, 1, 0x78};
static const u8 EMPTY_REPLY[6] = {'D', 'I', 'D', 'L', 0, 0};

static void fail(const char *message, u32 size) { ic0_trap(message, size); }
#define FAIL(text) fail(text, sizeof(text) - 1)

static u64 load(void) {
  u64 value = 0;
  ic0_stable64_read((u64)(u32)&value, 0, sizeof value);
  return value;
}

static void save(u64 value) { ic0_stable64_write(0, (u64)(u32)&value, sizeof value); }

static void reply_nat64(u64 value) {
  ic0_msg_reply_data_append(NAT64_PREFIX, PREFIX_BYTES);
  ic0_msg_reply_data_append(&value, VALUE_BYTES);
  ic0_msg_reply();
}

/* Reads the single nat64 argument, and traps on anything else. */
static u64 argument_nat64(void) {
  u8 bytes[PREFIX_BYTES + VALUE_BYTES];
  u64 value = 0;
  if (ic0_msg_arg_data_size() != sizeof bytes) FAIL("the argument must be one nat64");
  ic0_msg_arg_data_copy(bytes, 0, sizeof bytes);
  for (u32 i = 0; i < PREFIX_BYTES; i++)
    if (bytes[i] != NAT64_PREFIX[i]) FAIL("the argument must be one nat64");
  for (u32 i = 0; i < VALUE_BYTES; i++) value |= (u64)bytes[PREFIX_BYTES + i] << (8 * i);
  return value;
}

EXPORT("canister_init") void init(void) {
  if (ic0_stable64_grow(1) == ~0ULL) FAIL("stable memory did not grow");
  save(0);
}

EXPORT("canister_update inc") void inc(void) {
  u64 value = load() + 1;
  save(value);
  reply_nat64(value);
}

EXPORT("canister_update add") void add(void) {
  u64 value = load() + argument_nat64();
  save(value);
  reply_nat64(value);
}

EXPORT("canister_query get") void get(void) { reply_nat64(load()); }

EXPORT("canister_query stable_pages") void stable_pages(void) { reply_nat64(ic0_stable64_size()); }

/* Changes stable memory and traps: the change must not be seen afterwards. */
EXPORT("canister_update inc_then_trap") void inc_then_trap(void) {
  save(load() + 1000);
  FAIL("deliberate trap");
}

EXPORT("canister_update reset") void reset(void) {
  save(0);
  ic0_msg_reply_data_append(EMPTY_REPLY, sizeof EMPTY_REPLY);
  ic0_msg_reply();
}
