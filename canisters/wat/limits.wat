;; Runs up against the limits of an execution: long loops, which the engine slices, and deep
;; recursion, which it bounds.
;;
;; Memory: 0 how many calls ended (i32); 16 the Candid header of one nat64, `DIDL 00 01 78`; 23 the
;; value that follows it; 64 the message for a wrong argument; 256 a buffer for arguments.
(module
  (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
  (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "performance_counter" (func $performance_counter (param i32) (result i64)))
  (import "ic0" "trap" (func $trap (param i32 i32)))
  (memory (export "memory") 1 32)
  (data (i32.const 16) "DIDL\00\01\78")
  (data (i32.const 64) "the argument must be one nat64")

  (func $reply_nat64 (param $value i64)
    (i64.store align=1 (i32.const 23) (local.get $value))
    (call $append (i32.const 16) (i32.const 15))
    (call $reply))

  (func $fail_argument
    (call $trap (i32.const 64) (i32.const 30)))

  ;; Reads the single nat64 argument; traps on anything else.
  (func $argument (result i64)
    (if (i32.ne (call $arg_size) (i32.const 15)) (then (call $fail_argument)))
    (call $arg_copy (i32.const 256) (i32.const 0) (i32.const 15))
    (if (i64.ne
          (i64.and (i64.load (i32.const 256)) (i64.const 0x00ffffffffffffff))
          (i64.and (i64.load (i32.const 16)) (i64.const 0x00ffffffffffffff)))
      (then (call $fail_argument)))
    (i64.load align=1 (i32.const 263)))

  (func $count_end
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))))

  ;; Loops until the message's instruction counter has grown by `amount`.
  (func $spin (param $amount i64)
    (local $end i64) (local $inner i32)
    (local.set $end (i64.add (call $performance_counter (i32.const 0)) (local.get $amount)))
    (loop $outer
      (local.set $inner (i32.const 10000))
      (loop $again
        (local.set $inner (i32.sub (local.get $inner) (i32.const 1)))
        (br_if $again (local.get $inner)))
      (br_if $outer
        (i64.lt_u (call $performance_counter (i32.const 0)) (local.get $end)))))

  ;; Uses at least that many instructions and replies with the counter's reading at the end.
  (func (export "canister_update spin")
    (call $spin (call $argument))
    (call $count_end)
    (call $reply_nat64 (call $performance_counter (i32.const 0))))

  ;; The same as a query.
  (func (export "canister_query spin_query")
    (call $spin (call $argument))
    (call $reply_nat64 (call $performance_counter (i32.const 0))))

  ;; Never ends: the instruction limit must stop it.
  (func (export "canister_update spin_forever")
    (loop $again (br $again)))

  ;; Calls itself `depth` times, and adds one on the way back, so that it is no tail call.
  (func $descend (param $depth i64) (result i64)
    (if (result i64) (i64.eqz (local.get $depth))
      (then (i64.const 0))
      (else
        (i64.add
          (call $descend (i64.sub (local.get $depth) (i64.const 1)))
          (i64.const 1)))))

  ;; Replies with the depth reached; traps when the engine's bound is lower.
  (func (export "canister_update recurse")
    (local $depth i64)
    (local.set $depth (call $descend (call $argument)))
    (call $count_end)
    (call $reply_nat64 (local.get $depth)))

  ;; How many calls of `spin` and `recurse` ended without a trap.
  (func (export "canister_query ended")
    (call $reply_nat64 (i64.extend_i32_u (i32.load (i32.const 0))))))
