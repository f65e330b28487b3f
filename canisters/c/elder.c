/* An old canister: 32-bit stable memory, cycles of 64 bits, hooks that save the heap.
 *
 * Arguments and replies are raw bytes; numbers are little-endian. Stable memory holds the length of
 * the text and the text while an upgrade runs, and in its second page what `put` writes. */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define IC(name) __attribute__((import_module("ic0"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(name)))

IC(msg_arg_data_size) u32 ic0_msg_arg_data_size(void);
IC(msg_arg_data_copy) void ic0_msg_arg_data_copy(void *target, u32 offset, u32 size);
IC(msg_reply) void ic0_msg_reply(void);
IC(msg_reply_data_append) void ic0_msg_reply_data_append(const void *source, u32 size);
IC(msg_reject) void ic0_msg_reject(const void *source, u32 size);
IC(msg_reject_msg_size) u32 ic0_msg_reject_msg_size(void);
IC(msg_reject_msg_copy) void ic0_msg_reject_msg_copy(void *target, u32 offset, u32 size);
IC(msg_cycles_available) u64 ic0_msg_cycles_available(void);
IC(msg_cycles_accept) u64 ic0_msg_cycles_accept(u64 most);
IC(msg_cycles_refunded) u64 ic0_msg_cycles_refunded(void);
IC(canister_cycle_balance) u64 ic0_canister_cycle_balance(void);
IC(canister_self_size) u32 ic0_canister_self_size(void);
IC(canister_self_copy) void ic0_canister_self_copy(void *target, u32 offset, u32 size);
IC(stable_size) u32 ic0_stable_size(void);
IC(stable_grow) u32 ic0_stable_grow(u32 pages);
IC(stable_read) void ic0_stable_read(void *target, u32 offset, u32 size);
IC(stable_write) void ic0_stable_write(u32 offset, const void *source, u32 size);
IC(stable64_grow) u64 ic0_stable64_grow(u64 pages);
IC(call_new)
void ic0_call_new(const void *callee, u32 callee_size, const void *name, u32 name_size,
                  void (*on_reply)(u32), u32 reply_env, void (*on_reject)(u32), u32 reject_env);
IC(call_cycles_add) void ic0_call_cycles_add(u64 amount);
IC(call_perform) u32 ic0_call_perform(void);
IC(trap) void ic0_trap(const void *source, u32 size);

#define FAIL(text) ic0_trap(text, sizeof(text) - 1)

enum { TEXT_BYTES_MAX = 1024, PAGE_BYTES = 65536, BUFFER_BYTES = 4096 };

static u8 text[TEXT_BYTES_MAX];
static u32 text_bytes;
static u8 buffer[BUFFER_BYTES];

static void reply(const void *bytes, u32 size) {
  ic0_msg_reply_data_append(bytes, size);
  ic0_msg_reply();
}

/* The size of the argument, which lies in the buffer afterwards. */
static u32 argument(void) {
  u32 size = ic0_msg_arg_data_size();
  if (size > BUFFER_BYTES) FAIL("the argument is too long");
  ic0_msg_arg_data_copy(buffer, 0, size);
  return size;
}

/* The number that the argument begins with. */
static u32 first_number(void) {
  u32 number = 0;
  if (argument() < sizeof number) FAIL("the argument must begin with four bytes of a number");
  for (u32 i = 0; i < sizeof number; i++) number |= (u32)buffer[i] << (8 * i);
  return number;
}

EXPORT("canister_init") void init(void) {
  if (ic0_stable_grow(2) != 0) FAIL("stable memory was not empty");
}

EXPORT("canister_pre_upgrade") void pre_upgrade(void) {
  ic0_stable_write(0, &text_bytes, sizeof text_bytes);
  ic0_stable_write(sizeof text_bytes, text, text_bytes);
}

EXPORT("canister_post_upgrade") void post_upgrade(void) {
  ic0_stable_read(&text_bytes, 0, sizeof text_bytes);
  ic0_stable_read(text, sizeof text_bytes, text_bytes);
  if (ic0_msg_arg_data_size() > 0) FAIL("told to fail after the upgrade");
}

EXPORT("canister_update remember") void remember(void) {
  u32 size = argument();
  if (size > TEXT_BYTES_MAX) FAIL("the text is too long");
  for (u32 i = 0; i < size; i++) text[i] = buffer[i];
  text_bytes = size;
  reply(text, text_bytes);
}

EXPORT("canister_query recall") void recall(void) { reply(text, text_bytes); }

/* Writes what follows the number, so many bytes into the second page. */
EXPORT("canister_update put") void put(void) {
  u32 offset = first_number();
  ic0_stable_write(PAGE_BYTES + offset, buffer + 4, ic0_msg_arg_data_size() - 4);
  ic0_msg_reply();
}

/* Reads eight bytes from there. */
EXPORT("canister_query take") void take(void) {
  u8 found[8];
  ic0_stable_read(found, PAGE_BYTES + first_number(), sizeof found);
  reply(found, sizeof found);
}

EXPORT("canister_update grow") void grow(void) {
  u32 before = ic0_stable_grow(first_number());
  reply(&before, sizeof before);
}

EXPORT("canister_query size") void size(void) {
  u32 pages = ic0_stable_size();
  reply(&pages, sizeof pages);
}

/* Grows by so many pages with the 64-bit function; beyond 4 GiB the 32-bit ones trap. */
EXPORT("canister_update grow_wide") void grow_wide(void) {
  u64 before = ic0_stable64_grow(first_number());
  reply(&before, sizeof before);
}

EXPORT("canister_query balance") void balance(void) {
  u64 cycles = ic0_canister_cycle_balance();
  reply(&cycles, sizeof cycles);
}

EXPORT("canister_update take_half") void take_half(void) {
  u64 taken = ic0_msg_cycles_accept(ic0_msg_cycles_available() / 2);
  reply(&taken, sizeof taken);
}

/* Replies with what was taken and what came back. */
static void on_paid(u32 env) {
  u64 numbers[2] = {0, ic0_msg_cycles_refunded()};
  if (env != 7) FAIL("another environment");
  ic0_msg_arg_data_copy(numbers, 0, sizeof numbers[0]);
  reply(numbers, sizeof numbers);
}

static void on_refused(u32 env) {
  u32 size = ic0_msg_reject_msg_size();
  (void)env;
  if (size > BUFFER_BYTES) size = BUFFER_BYTES;
  ic0_msg_reject_msg_copy(buffer, 0, size);
  ic0_msg_reject(buffer, size);
}

/* Sends so many cycles to `take_half` of the principal that follows the number. */
EXPORT("canister_update pay") void pay(void) {
  static const char name[] = "take_half";
  u32 cycles = first_number();
  ic0_call_new(buffer + 4, ic0_msg_arg_data_size() - 4, name, sizeof name - 1, on_paid, 7,
               on_refused, 8);
  ic0_call_cycles_add(cycles);
  if (ic0_call_perform() != 0) FAIL("the call could not be sent");
}

EXPORT("canister_query self") void self(void) {
  u32 size = ic0_canister_self_size();
  ic0_canister_self_copy(buffer, 0, size);
  reply(buffer, size);
}
