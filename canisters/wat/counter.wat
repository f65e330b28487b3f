;; A counter in ordinary (heap) memory with a one-shot timer. No libraries, no upgrade hooks: an
;; upgrade starts from zero again, which the tests use to tell kept state from lost state.
;;
;; Memory: 0 the counter (i32); 4 how often the timer fired (i32); 16 the Candid header of one nat32,
;; `DIDL 00 01 79`; 23 the value that follows it; 32 the Candid bytes of no value; 48 the message of
;; the deliberate trap; 64 the message for a wrong argument; 256 a buffer for arguments.
(module
  (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
  (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "time" (func $time (result i64)))
  (import "ic0" "global_timer_set" (func $timer_set (param i64) (result i64)))
  (import "ic0" "trap" (func $trap (param i32 i32)))
  (memory (export "memory") 1 32)
  (data (i32.const 16) "DIDL\00\01\79")
  (data (i32.const 32) "DIDL\00\00")
  (data (i32.const 48) "deliberate trap")
  (data (i32.const 64) "the argument must be one nat32")

  (func $reply_nat32 (param $value i32)
    (i32.store align=1 (i32.const 23) (local.get $value))
    (call $append (i32.const 16) (i32.const 11))
    (call $reply))

  (func $reply_empty
    (call $append (i32.const 32) (i32.const 6))
    (call $reply))

  (func $fail_argument
    (call $trap (i32.const 64) (i32.const 30)))

  ;; Reads the single nat32 argument; traps on anything else.
  (func $argument (result i32)
    (if (i32.ne (call $arg_size) (i32.const 11)) (then (call $fail_argument)))
    (call $arg_copy (i32.const 256) (i32.const 0) (i32.const 11))
    (if (i64.ne
          (i64.and (i64.load (i32.const 256)) (i64.const 0x00ffffffffffffff))
          (i64.and (i64.load (i32.const 16)) (i64.const 0x00ffffffffffffff)))
      (then (call $fail_argument)))
    (i32.load align=1 (i32.const 263)))

  (func (export "canister_update inc")
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
    (call $reply_nat32 (i32.load (i32.const 0))))

  (func (export "canister_update add")
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (call $argument)))
    (call $reply_nat32 (i32.load (i32.const 0))))

  (func (export "canister_query get")
    (call $reply_nat32 (i32.load (i32.const 0))))

  ;; Replies with the argument as it came, whatever it is.
  (func (export "canister_query echo")
    (local $size i32)
    (local.set $size (call $arg_size))
    (if (i32.gt_u (local.get $size) (i32.const 65280)) (then (call $fail_argument)))
    (call $arg_copy (i32.const 256) (i32.const 0) (local.get $size))
    (call $append (i32.const 256) (local.get $size))
    (call $reply))

  ;; Changes the state and traps: the change must not be seen afterwards.
  (func (export "canister_update inc_then_trap")
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1000)))
    (call $trap (i32.const 48) (i32.const 15)))

  ;; Sets the timer to the present round's time, so that it fires in a later round.
  (func (export "canister_update arm")
    (drop (call $timer_set (call $time)))
    (call $reply_empty))

  (func (export "canister_query fired")
    (call $reply_nat32 (i32.load (i32.const 4))))

  (func (export "canister_global_timer")
    (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.const 1)))))
