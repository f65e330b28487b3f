;; Odd corners of calls: replies, rejects and traps in callbacks, environments of table callbacks,
;; cleanups that trap, calls that nobody sends, calls whose answer nobody wants.
;;
;; Arguments and replies are raw bytes. Methods that call take one byte with the length of a
;; principal, the principal, and the name of the method to call; its argument is `ping`. Four i32
;; from address 0 tell what stayed: sum of the environments of reply callbacks, of reject callbacks,
;; of cleanups, and what the start function left.
(module
  (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
  (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
  (import "ic0" "msg_reject_code" (func $reject_code (result i32)))
  (import "ic0" "msg_reject_msg_size" (func $reject_size (result i32)))
  (import "ic0" "msg_reject_msg_copy" (func $reject_copy (param i32 i32 i32)))
  (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
  (import "ic0" "msg_reply" (func $reply))
  (import "ic0" "msg_reject" (func $reject (param i32 i32)))
  (import "ic0" "call_new" (func $call_new (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "ic0" "call_on_cleanup" (func $call_on_cleanup (param i32 i32)))
  (import "ic0" "call_data_append" (func $call_data_append (param i32 i32)))
  (import "ic0" "call_perform" (func $call_perform (result i32)))
  (import "ic0" "trap" (func $trap (param i32 i32)))
  (memory (export "memory") 2)
  (table 9 9 funcref)
  (elem (i32.const 0) $on_reply $on_reject $on_cleanup $reject_it $trap_it $trap_cleanup $add_up
    $wrong_type)
  (data (i32.const 64) "ping")
  (data (i32.const 80) "sent")
  (data (i32.const 96) "trapped in a callback")
  (data (i32.const 128) "trapped in a cleanup")
  (start $begin)

  (func $begin (i32.store (i32.const 12) (i32.const 7)))

  (func $mark (param $address i32) (param $amount i32)
    (i32.store (local.get $address)
      (i32.add (i32.load (local.get $address)) (local.get $amount))))

  ;; Copies the argument to address 1024 and gives its size.
  (func $argument (result i32)
    (local $size i32)
    (local.set $size (call $arg_size))
    (call $arg_copy (i32.const 1024) (i32.const 0) (local.get $size))
    (local.get $size))

  (func $answer (param $address i32) (param $size i32)
    (call $append (local.get $address) (local.get $size))
    (call $reply))

  ;; Opens the call that the argument names.
  (func $open (param $on_reply i32) (param $env i32)
    (local $size i32) (local $id i32) (local $name i32)
    (local.set $size (call $argument))
    (local.set $id (i32.load8_u (i32.const 1024)))
    (local.set $name (i32.add (i32.const 1025) (local.get $id)))
    (call $call_new
      (i32.const 1025) (local.get $id)
      (local.get $name)
      (i32.sub (i32.sub (local.get $size) (i32.const 1)) (local.get $id))
      (local.get $on_reply) (local.get $env)
      (i32.const 1) (i32.const 22))
    (call $call_data_append (i32.const 64) (i32.const 4)))

  (func $send (if (call $call_perform) (then unreachable)))

  (func $ask (param $on_reply i32) (param $on_cleanup i32)
    (call $open (local.get $on_reply) (i32.const 11))
    (call $call_on_cleanup (local.get $on_cleanup) (i32.const 33))
    (call $send))

  ;; What is called.
  (func (export "canister_update echo") (call $answer (i32.const 1024) (call $argument)))
  (func (export "canister_update refuse") (call $reject (i32.const 1024) (call $argument)))
  (func (export "canister_update silent"))
  (func (export "canister_update boom") unreachable)
  (func (export "canister_update twice") (call $reply) (call $reply))
  (func (export "canister_update both") (call $reply) (call $reject (i32.const 64) (i32.const 4)))
  (func (export "canister_update late") (call $reply) (call $append (i32.const 64) (i32.const 4)))
  (func (export "canister_query look") (call $answer (i32.const 64) (i32.const 4)))
  (func (export "canister_query marks") (call $answer (i32.const 0) (i32.const 16)))

  ;; Replies from a callback: its environment, and the reply or code and message of the reject.
  (func (export "canister_update ask") (call $ask (i32.const 0) (i32.const 2)))
  ;; Rejects with what the callee replied.
  (func (export "canister_update ask_refuse") (call $ask (i32.const 3) (i32.const 2)))
  ;; Traps in the callback; then also in the cleanup.
  (func (export "canister_update ask_trap") (call $ask (i32.const 4) (i32.const 2)))
  (func (export "canister_update ask_trap_twice") (call $ask (i32.const 4) (i32.const 5)))
  ;; Calls whose callback is no function, or one of another type.
  (func (export "canister_update ask_null") (call $ask (i32.const 8) (i32.const 2)))
  (func (export "canister_update ask_wrong") (call $ask (i32.const 7) (i32.const 2)))
  (func (export "canister_update ask_outside") (call $ask (i32.const -1) (i32.const 2)))

  ;; Two calls with environments of their own; the second callback replies with their sum.
  (func (export "canister_update ask_both")
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 2))
    (call $open (i32.const 6) (i32.const 100))
    (call $send)
    (call $open (i32.const 6) (i32.const 1000))
    (call $send))

  ;; Opens calls and sends none of them: the first is given up for the second, the second at the end.
  (func (export "canister_update forget")
    (call $open (i32.const 0) (i32.const 11))
    (call $open (i32.const 0) (i32.const 11))
    (call $answer (i32.const 80) (i32.const 4)))

  ;; Sends without wanting an answer, as libraries do it: its callbacks are no functions.
  (func (export "canister_update oneway")
    (local $size i32) (local $id i32)
    (local.set $size (call $argument))
    (local.set $id (i32.load8_u (i32.const 1024)))
    (call $call_new
      (i32.const 1025) (local.get $id)
      (i32.add (i32.const 1025) (local.get $id))
      (i32.sub (i32.sub (local.get $size) (i32.const 1)) (local.get $id))
      (i32.const -1) (i32.const -1) (i32.const -1) (i32.const -1))
    (call $send)
    (call $answer (i32.const 80) (i32.const 4)))

  ;; Replies before the call is answered; the trap of the callback does not undo that.
  (func (export "canister_update reply_first")
    (call $ask (i32.const 4) (i32.const 2))
    (call $answer (i32.const 80) (i32.const 4)))

  (func $on_reply (param $env i32)
    (call $mark (i32.const 0) (local.get $env))
    (i32.store (i32.const 512) (local.get $env))
    (call $append (i32.const 512) (i32.const 4))
    (call $answer (i32.const 1024) (call $argument)))

  (func $on_reject (param $env i32)
    (local $size i32)
    (call $mark (i32.const 4) (local.get $env))
    (i32.store (i32.const 512) (local.get $env))
    (i32.store (i32.const 516) (call $reject_code))
    (local.set $size (call $reject_size))
    (call $reject_copy (i32.const 1024) (i32.const 0) (local.get $size))
    (call $append (i32.const 512) (i32.const 8))
    (call $answer (i32.const 1024) (local.get $size)))

  (func $on_cleanup (param $env i32) (call $mark (i32.const 8) (local.get $env)))

  (func $reject_it (param $env i32)
    (call $mark (i32.const 0) (local.get $env))
    (call $reject (i32.const 1024) (call $argument)))

  (func $trap_it (param $env i32)
    (call $mark (i32.const 0) (local.get $env))
    (call $trap (i32.const 96) (i32.const 21)))

  (func $trap_cleanup (param $env i32)
    (call $mark (i32.const 8) (local.get $env))
    (call $trap (i32.const 128) (i32.const 20)))

  (func $add_up (param $env i32)
    (call $mark (i32.const 16) (local.get $env))
    (call $mark (i32.const 20) (i32.const -1))
    (if (i32.eqz (i32.load (i32.const 20)))
      (then (call $answer (i32.const 16) (i32.const 4)))))

  (func $wrong_type (param $env i64)))
