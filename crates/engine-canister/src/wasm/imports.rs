//! The functions of module `ic0`: names, signatures, contexts in which they may be called, and
//! fixed prices. Validation checks imports against this list and the executor provides exactly it.
//!
//! Source: Internet Computer interface specification, "Overview of imports"; prices from the
//! embedder's system API overheads.

use trilith_params::wasm::{
    HOST_CALL, HOST_CALL_NEW, HOST_CALL_PERFORM, HOST_DEBUG_PRINT, HOST_IS_CONTROLLER,
    HOST_PERFORMANCE_COUNTER, HOST_STABLE_ACCESS,
};

use crate::api::CallMode;

/// A set of contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contexts(u16);

impl Contexts {
    const fn of(modes: &[CallMode]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < modes.len() {
            bits |= 1 << modes[index] as u16;
            index += 1;
        }
        Self(bits)
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `mode` is in the set.
    pub const fn contains(self, mode: CallMode) -> bool {
        self.0 & (1 << mode as u16) != 0
    }
}

/// One imported function.
#[derive(Clone, Copy, Debug)]
pub struct Import {
    /// Which function.
    pub call: Call,
    /// Its name in `ic0`.
    pub name: &'static str,
    /// Types of its parameters: `I` as wide as addresses, `i` i32, `l` i64.
    pub parameters: &'static str,
    /// Type of its result, in the same letters; empty if it has none.
    pub result: &'static str,
    /// Whether it exists for 32-bit memories only.
    pub narrow: bool,
    /// Where it may be called.
    pub contexts: Contexts,
    /// Instructions charged for a call, beside the `call` operator and what it copies.
    pub price: u64,
}

use CallMode::{
    Cleanup as C, CompositeCleanup as CC, CompositeQuery as CQ, CompositeRejectCallback as CRt,
    CompositeReplyCallback as CRy, Init as I, InspectMessage as F, NonReplicatedQuery as NRQ,
    PreUpgrade as G, RejectCallback as Rt, ReplicatedQuery as RQ, ReplyCallback as Ry, Start as S,
    SystemTask as T, Update as U,
};

/// `*` of the specification: everywhere but in the start function.
const ANY: Contexts = Contexts::of(&[I, G, U, RQ, NRQ, CQ, Ry, Rt, CRy, CRt, C, CC, F, T]);
/// Everywhere.
const ALWAYS: Contexts = ANY.and(Contexts::of(&[S]));
const ARGUMENT: Contexts = Contexts::of(&[I, U, RQ, NRQ, CQ, Ry, CRy, F]);
const CALLER_INFO: Contexts = Contexts::of(&[U, RQ, NRQ, CQ, Ry, Rt, CRy, CRt, C, CC, F]);
const REJECT_CODE: Contexts = Contexts::of(&[Ry, Rt, CRy, CRt, C]);
const REJECT_MESSAGE: Contexts = Contexts::of(&[Rt, CRt]);
const DEADLINE: Contexts = Contexts::of(&[U, RQ, NRQ, CQ, Ry, Rt, CRy, CRt]);
const REPLY: Contexts = DEADLINE;
const CYCLES: Contexts = Contexts::of(&[U, RQ, Ry, Rt]);
const REFUND: Contexts = Contexts::of(&[Ry, Rt]);
const BURN: Contexts = Contexts::of(&[I, G, U, RQ, Ry, Rt, C, T]);
const INSPECT: Contexts = Contexts::of(&[F]);
const CALL: Contexts = Contexts::of(&[U, CQ, Ry, Rt, CRy, CRt, T]);
const CALL_CYCLES: Contexts = Contexts::of(&[U, Ry, Rt, T]);
const CERTIFY: Contexts = Contexts::of(&[I, G, U, Ry, Rt, T]);
const CERTIFICATE: Contexts = Contexts::of(&[NRQ, CQ]);
const TIMER: Contexts = Contexts::of(&[I, G, U, Ry, Rt, C, T]);

macro_rules! imports {
    ($( $call:ident $name:literal ($parameters:literal) $result:literal $contexts:ident $price:ident $($narrow:ident)?; )*) => {
        /// The functions of `ic0`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is named after its function, described by the specification")]
        pub enum Call { $( $call, )* }

        /// All functions of `ic0`.
        pub const IMPORTS: &[Import] = &[ $( Import {
            call: Call::$call,
            name: $name,
            parameters: $parameters,
            result: $result,
            narrow: imports!(@ $($narrow)?),
            contexts: $contexts,
            price: $price,
        }, )* ];
    };
    (@) => { false };
    (@ narrow) => { true };
}

imports! {
    MsgArgDataSize "msg_arg_data_size" ("") "I" ARGUMENT HOST_CALL;
    MsgArgDataCopy "msg_arg_data_copy" ("III") "" ARGUMENT HOST_CALL;
    MsgCallerSize "msg_caller_size" ("") "I" ANY HOST_CALL;
    MsgCallerCopy "msg_caller_copy" ("III") "" ANY HOST_CALL;
    MsgCallerInfoDataSize "msg_caller_info_data_size" ("") "I" CALLER_INFO HOST_CALL;
    MsgCallerInfoDataCopy "msg_caller_info_data_copy" ("III") "" CALLER_INFO HOST_CALL;
    MsgCallerInfoSignerSize "msg_caller_info_signer_size" ("") "I" CALLER_INFO HOST_CALL;
    MsgCallerInfoSignerCopy "msg_caller_info_signer_copy" ("III") "" CALLER_INFO HOST_CALL;
    MsgRejectCode "msg_reject_code" ("") "i" REJECT_CODE HOST_CALL;
    MsgRejectMsgSize "msg_reject_msg_size" ("") "I" REJECT_MESSAGE HOST_CALL;
    MsgRejectMsgCopy "msg_reject_msg_copy" ("III") "" REJECT_MESSAGE HOST_CALL;
    MsgDeadline "msg_deadline" ("") "l" DEADLINE HOST_CALL;
    MsgReplyDataAppend "msg_reply_data_append" ("II") "" REPLY HOST_CALL;
    MsgReply "msg_reply" ("") "" REPLY HOST_CALL;
    MsgReject "msg_reject" ("II") "" REPLY HOST_CALL;
    MsgCyclesAvailable "msg_cycles_available" ("") "l" CYCLES HOST_CALL narrow;
    MsgCyclesAvailable128 "msg_cycles_available128" ("I") "" CYCLES HOST_CALL;
    MsgCyclesRefunded "msg_cycles_refunded" ("") "l" REFUND HOST_CALL narrow;
    MsgCyclesRefunded128 "msg_cycles_refunded128" ("I") "" REFUND HOST_CALL;
    MsgCyclesAccept "msg_cycles_accept" ("l") "l" CYCLES HOST_CALL narrow;
    MsgCyclesAccept128 "msg_cycles_accept128" ("llI") "" CYCLES HOST_CALL;
    CyclesBurn128 "cycles_burn128" ("llI") "" BURN HOST_CALL;
    CanisterSelfSize "canister_self_size" ("") "I" ANY HOST_CALL;
    CanisterSelfCopy "canister_self_copy" ("III") "" ANY HOST_CALL;
    CanisterCycleBalance "canister_cycle_balance" ("") "l" ANY HOST_CALL narrow;
    CanisterCycleBalance128 "canister_cycle_balance128" ("I") "" ANY HOST_CALL;
    CanisterLiquidCycleBalance128 "canister_liquid_cycle_balance128" ("I") "" ANY HOST_CALL;
    CanisterStatus "canister_status" ("") "i" ANY HOST_CALL;
    CanisterVersion "canister_version" ("") "l" ANY HOST_CALL;
    SubnetSelfSize "subnet_self_size" ("") "I" ANY HOST_CALL;
    SubnetSelfCopy "subnet_self_copy" ("III") "" ANY HOST_CALL;
    SubnetSelfNodeCount "subnet_self_node_count" ("") "I" ANY HOST_CALL;
    Time "time" ("") "l" ANY HOST_CALL;
    DataCertificatePresent "data_certificate_present" ("") "i" ANY HOST_CALL;
    DataCertificateSize "data_certificate_size" ("") "I" CERTIFICATE HOST_CALL;
    DataCertificateCopy "data_certificate_copy" ("III") "" CERTIFICATE HOST_CALL;
    EnvVarCount "env_var_count" ("") "I" ANY HOST_CALL;
    EnvVarNameSize "env_var_name_size" ("I") "I" ANY HOST_CALL;
    EnvVarNameCopy "env_var_name_copy" ("IIII") "" ANY HOST_CALL;
    EnvVarNameExists "env_var_name_exists" ("II") "i" ANY HOST_CALL;
    EnvVarValueSize "env_var_value_size" ("II") "I" ANY HOST_CALL;
    EnvVarValueCopy "env_var_value_copy" ("IIIII") "" ANY HOST_CALL;
    MsgMethodNameSize "msg_method_name_size" ("") "I" INSPECT HOST_CALL;
    MsgMethodNameCopy "msg_method_name_copy" ("III") "" INSPECT HOST_CALL;
    AcceptMessage "accept_message" ("") "" INSPECT HOST_CALL;
    CallNew "call_new" ("IIIIIIII") "" CALL HOST_CALL_NEW;
    CallOnCleanup "call_on_cleanup" ("II") "" CALL HOST_CALL;
    CallDataAppend "call_data_append" ("II") "" CALL HOST_CALL;
    CallWithBestEffortResponse "call_with_best_effort_response" ("i") "" CALL HOST_CALL;
    CallCyclesAdd "call_cycles_add" ("l") "" CALL_CYCLES HOST_CALL narrow;
    CallCyclesAdd128 "call_cycles_add128" ("ll") "" CALL_CYCLES HOST_CALL;
    CallPerform "call_perform" ("") "i" CALL HOST_CALL_PERFORM;
    StableSize "stable_size" ("") "i" ALWAYS HOST_STABLE_ACCESS narrow;
    StableGrow "stable_grow" ("i") "i" ALWAYS HOST_CALL narrow;
    StableWrite "stable_write" ("iii") "" ALWAYS HOST_STABLE_ACCESS narrow;
    StableRead "stable_read" ("iii") "" ALWAYS HOST_STABLE_ACCESS narrow;
    Stable64Size "stable64_size" ("") "l" ALWAYS HOST_STABLE_ACCESS;
    Stable64Grow "stable64_grow" ("l") "l" ALWAYS HOST_CALL;
    Stable64Write "stable64_write" ("lll") "" ALWAYS HOST_STABLE_ACCESS;
    Stable64Read "stable64_read" ("lll") "" ALWAYS HOST_STABLE_ACCESS;
    RootKeySize "root_key_size" ("") "I" BURN HOST_CALL;
    RootKeyCopy "root_key_copy" ("III") "" BURN HOST_CALL;
    CertifiedDataSet "certified_data_set" ("II") "" CERTIFY HOST_CALL;
    GlobalTimerSet "global_timer_set" ("l") "l" TIMER HOST_CALL;
    PerformanceCounter "performance_counter" ("i") "l" ALWAYS HOST_PERFORMANCE_COUNTER;
    IsController "is_controller" ("II") "i" ALWAYS HOST_IS_CONTROLLER;
    InReplicatedExecution "in_replicated_execution" ("") "i" ALWAYS HOST_CALL;
    CostCall "cost_call" ("llI") "" ALWAYS HOST_CALL;
    CostCreateCanister "cost_create_canister" ("I") "" ALWAYS HOST_CALL;
    CostHttpRequest "cost_http_request" ("llI") "" ALWAYS HOST_CALL;
    CostSignWithEcdsa "cost_sign_with_ecdsa" ("IIiI") "i" ALWAYS HOST_CALL;
    CostSignWithSchnorr "cost_sign_with_schnorr" ("IIiI") "i" ALWAYS HOST_CALL;
    CostVetkdDeriveKey "cost_vetkd_derive_key" ("IIiI") "i" ALWAYS HOST_CALL;
    DebugPrint "debug_print" ("II") "" ALWAYS HOST_DEBUG_PRINT;
    Trap "trap" ("II") "" ALWAYS HOST_CALL;
}

impl Import {
    /// The function of that name, if there is one.
    pub fn named(name: &str) -> Option<&'static Import> {
        IMPORTS.iter().find(|import| import.name == name)
    }

    /// Types of the parameters (or of the result) by width of the memory: `false` i32, `true` i64.
    pub fn widths(letters: &str, memory64: bool) -> Vec<bool> {
        letters
            .chars()
            .map(|letter| letter == 'l' || (letter == 'I' && memory64))
            .collect()
    }
}
