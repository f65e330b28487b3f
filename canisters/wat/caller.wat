;; Calls another canister by hand, with reply, reject and cleanup callbacks in the table.
;;
;; Arguments and replies are raw bytes: the argument of each method is the callee's principal, as
;; bytes. The heap counts what happened, four i32 from address 0: calls made, replies, rejects,
;; cleanups. `counts` replies with these sixteen bytes.
(module
  (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
  (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
  (import "ic0" "msg_reject_code" (func $reject_code (result i32)))
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "msg_reject" (func $reject (param i32 i32)))
  (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "ic0" "call_on_cleanup" (func $call_on_cleanup (param i32 i32)))
  (import "ic0" "call_data_append" (func $call_data_append (param i32 i32)))
  (import "ic0" "call_perform" (func $call_perform (result i32)))
  (import "ic0" "trap" (func $trap (param i32 i32)))
  (memory (export "memory") 2 32)
  (table (export "table") 4 4 funcref)
  (elem (i32.const 0) $on_reply $on_reject $on_cleanup $on_reply_then_trap)
  (data (i32.const 64) "inc")
  (data (i32.const 80) "inc_then_trap")
  (data (i32.const 96) "DIDL\00\00")
  (data (i32.const 112) "the argument must be a principal of at most 29 bytes")
  (data (i32.const 176) "the call could not be sent")
  (data (i32.const 208) "deliberate trap in a callback")

  (func $bump (param $address i32)
    (i32.store (local.get $address)
      (i32.add (i32.load (local.get $address)) (i32.const 1))))

  ;; Calls the method named at `$name` on the canister given as argument, with the callback of table
  ;; index `$callback` for the reply.
  (func $send (param $name i32) (param $name_size i32) (param $callback i32)
    (local $size i32)
    (local.set $size (call $arg_size))
    (if (i32.gt_u (local.get $size) (i32.const 29))
      (then (call $trap (i32.const 112) (i32.const 52))))
    (call $arg_copy (i32.const 256) (i32.const 0) (local.get $size))
    (call $bump (i32.const 0))
    (call $call_new
      (i32.const 256) (local.get $size)
      (local.get $name) (local.get $name_size)
      (local.get $callback) (i32.const 0)
      (i32.const 1) (i32.const 0))
    (call $call_on_cleanup (i32.const 2) (i32.const 0))
    (call $call_data_append (i32.const 96) (i32.const 6))
    (if (call $call_perform)
      (then (call $reject (i32.const 176) (i32.const 26)))))

  ;; Calls `inc` and forwards its reply as it is.
  (func (export "canister_update call_inc")
    (call $send (i32.const 64) (i32.const 3) (i32.const 0)))

  ;; Calls `inc_then_trap`; replies with the reject code, one little-endian i32.
  (func (export "canister_update call_trap")
    (call $send (i32.const 80) (i32.const 13) (i32.const 0)))

  ;; Calls `inc` and traps in the reply callback: the callee keeps its change, this canister's
  ;; callback leaves no trace but that of its cleanup.
  (func (export "canister_update call_inc_trap_after")
    (call $send (i32.const 64) (i32.const 3) (i32.const 3)))

  (func $on_reply (param $env i32)
    (local $size i32)
    (call $bump (i32.const 4))
    (local.set $size (call $arg_size))
    (if (i32.gt_u (local.get $size) (i32.const 65536))
      (then (local.set $size (i32.const 65536))))
    (call $arg_copy (i32.const 1024) (i32.const 0) (local.get $size))
    (call $append (i32.const 1024) (local.get $size))
    (call $reply))

  (func $on_reject (param $env i32)
    (call $bump (i32.const 8))
    (i32.store (i32.const 256) (call $reject_code))
    (call $append (i32.const 256) (i32.const 4))
    (call $reply))

  (func $on_cleanup (param $env i32)
    (call $bump (i32.const 12)))

  (func $on_reply_then_trap (param $env i32)
    (call $bump (i32.const 4))
    (call $trap (i32.const 208) (i32.const 29)))

  (func (export "canister_query counts")
    (call $append (i32.const 0) (i32.const 16))
    (call $reply)))
