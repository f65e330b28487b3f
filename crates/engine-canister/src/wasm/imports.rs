//! The functions of module `ic0`: names, signatures, contexts in which they may be called, and
//! fixed prices. Validation checks imports against this list and the executor provides exactly it.
//!
//! Source: Internet Computer interface specification, "Overview of imports"; prices from the
//! embedder's system API overheads.

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
    ($( $call:ident $name:literal ($parameters:literal) $result:literal $contexts:ident $price:literal $($narrow:ident)?; )*) => {
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
    MsgArgDataSize "msg_arg_data_size" ("") "I" ARGUMENT 500;
    MsgArgDataCopy "msg_arg_data_copy" ("III") "" ARGUMENT 500;
    MsgCallerSize "msg_caller_size" ("") "I" ANY 500;
    MsgCallerCopy "msg_caller_copy" ("III") "" ANY 500;
    MsgCallerInfoDataSize "msg_caller_info_data_size" ("") "I" CALLER_INFO 500;
    MsgCallerInfoDataCopy "msg_caller_info_data_copy" ("III") "" CALLER_INFO 500;
    MsgCallerInfoSignerSize "msg_caller_info_signer_size" ("") "I" CALLER_INFO 500;
    MsgCallerInfoSignerCopy "msg_caller_info_signer_copy" ("III") "" CALLER_INFO 500;
    MsgRejectCode "msg_reject_code" ("") "i" REJECT_CODE 500;
    MsgRejectMsgSize "msg_reject_msg_size" ("") "I" REJECT_MESSAGE 500;
    MsgRejectMsgCopy "msg_reject_msg_copy" ("III") "" REJECT_MESSAGE 500;
    MsgDeadline "msg_deadline" ("") "l" DEADLINE 500;
    MsgReplyDataAppend "msg_reply_data_append" ("II") "" REPLY 500;
    MsgReply "msg_reply" ("") "" REPLY 500;
    MsgReject "msg_reject" ("II") "" REPLY 500;
    MsgCyclesAvailable "msg_cycles_available" ("") "l" CYCLES 500 narrow;
    MsgCyclesAvailable128 "msg_cycles_available128" ("I") "" CYCLES 500;
    MsgCyclesRefunded "msg_cycles_refunded" ("") "l" REFUND 500 narrow;
    MsgCyclesRefunded128 "msg_cycles_refunded128" ("I") "" REFUND 500;
    MsgCyclesAccept "msg_cycles_accept" ("l") "l" CYCLES 500 narrow;
    MsgCyclesAccept128 "msg_cycles_accept128" ("llI") "" CYCLES 500;
    CyclesBurn128 "cycles_burn128" ("llI") "" BURN 500;
    CanisterSelfSize "canister_self_size" ("") "I" ANY 500;
    CanisterSelfCopy "canister_self_copy" ("III") "" ANY 500;
    CanisterCycleBalance "canister_cycle_balance" ("") "l" ANY 500 narrow;
    CanisterCycleBalance128 "canister_cycle_balance128" ("I") "" ANY 500;
    CanisterLiquidCycleBalance128 "canister_liquid_cycle_balance128" ("I") "" ANY 500;
    CanisterStatus "canister_status" ("") "i" ANY 500;
    CanisterVersion "canister_version" ("") "l" ANY 500;
    SubnetSelfSize "subnet_self_size" ("") "I" ANY 500;
    SubnetSelfCopy "subnet_self_copy" ("III") "" ANY 500;
    SubnetSelfNodeCount "subnet_self_node_count" ("") "I" ANY 500;
    Time "time" ("") "l" ANY 500;
    DataCertificatePresent "data_certificate_present" ("") "i" ANY 500;
    DataCertificateSize "data_certificate_size" ("") "I" CERTIFICATE 500;
    DataCertificateCopy "data_certificate_copy" ("III") "" CERTIFICATE 500;
    EnvVarCount "env_var_count" ("") "I" ANY 500;
    EnvVarNameSize "env_var_name_size" ("I") "I" ANY 500;
    EnvVarNameCopy "env_var_name_copy" ("IIII") "" ANY 500;
    EnvVarNameExists "env_var_name_exists" ("II") "i" ANY 500;
    EnvVarValueSize "env_var_value_size" ("II") "I" ANY 500;
    EnvVarValueCopy "env_var_value_copy" ("IIIII") "" ANY 500;
    MsgMethodNameSize "msg_method_name_size" ("") "I" INSPECT 500;
    MsgMethodNameCopy "msg_method_name_copy" ("III") "" INSPECT 500;
    AcceptMessage "accept_message" ("") "" INSPECT 500;
    CallNew "call_new" ("IIIIIIII") "" CALL 1500;
    CallOnCleanup "call_on_cleanup" ("II") "" CALL 500;
    CallDataAppend "call_data_append" ("II") "" CALL 500;
    CallWithBestEffortResponse "call_with_best_effort_response" ("i") "" CALL 500;
    CallCyclesAdd "call_cycles_add" ("l") "" CALL_CYCLES 500 narrow;
    CallCyclesAdd128 "call_cycles_add128" ("ll") "" CALL_CYCLES 500;
    CallPerform "call_perform" ("") "i" CALL 5000;
    StableSize "stable_size" ("") "i" ALWAYS 20 narrow;
    StableGrow "stable_grow" ("i") "i" ALWAYS 500 narrow;
    StableWrite "stable_write" ("iii") "" ALWAYS 20 narrow;
    StableRead "stable_read" ("iii") "" ALWAYS 20 narrow;
    Stable64Size "stable64_size" ("") "l" ALWAYS 20;
    Stable64Grow "stable64_grow" ("l") "l" ALWAYS 500;
    Stable64Write "stable64_write" ("lll") "" ALWAYS 20;
    Stable64Read "stable64_read" ("lll") "" ALWAYS 20;
    RootKeySize "root_key_size" ("") "I" BURN 500;
    RootKeyCopy "root_key_copy" ("III") "" BURN 500;
    CertifiedDataSet "certified_data_set" ("II") "" CERTIFY 500;
    GlobalTimerSet "global_timer_set" ("l") "l" TIMER 500;
    PerformanceCounter "performance_counter" ("i") "l" ALWAYS 200;
    IsController "is_controller" ("II") "i" ALWAYS 1000;
    InReplicatedExecution "in_replicated_execution" ("") "i" ALWAYS 500;
    CostCall "cost_call" ("llI") "" ALWAYS 500;
    CostCreateCanister "cost_create_canister" ("I") "" ALWAYS 500;
    CostHttpRequest "cost_http_request" ("llI") "" ALWAYS 500;
    CostSignWithEcdsa "cost_sign_with_ecdsa" ("IIiI") "i" ALWAYS 500;
    CostSignWithSchnorr "cost_sign_with_schnorr" ("IIiI") "i" ALWAYS 500;
    CostVetkdDeriveKey "cost_vetkd_derive_key" ("IIiI") "i" ALWAYS 500;
    DebugPrint "debug_print" ("II") "" ALWAYS 100;
    Trap "trap" ("II") "" ALWAYS 500;
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
