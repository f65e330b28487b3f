//! Descriptors of runtimes, version 3.

use std::collections::BTreeMap;

use trilith_params::root::TRANSACTION_BYTES_MAX;
use trilith_types::{Epoch, Hash, PublicKey, RuntimeId};

use super::super::staking::{Slash, SlashReason, ThresholdKind};
use super::super::{
    BackupRule, ExecutorParameters, Quantity, RuntimeDescriptor, SchedulerParameters,
};
use super::{AdmissionPolicy, Marker, Version};
use crate::wire::{Blob, wire_struct};

/// The version of runtime descriptors that can be registered.
///
/// Source: Oasis Core `registry/api` (`LatestRuntimeDescriptorVersion`).
pub const RUNTIME_VERSION: u16 = 3;

/// A runtime that executes transactions.
pub const KIND_COMPUTE: u32 = 1;
/// A runtime that keeps secrets for others.
pub const KIND_KEY_MANAGER: u32 = 2;

/// The runtime needs no trusted execution environment.
pub const TEE_NONE: u8 = 0;
/// The runtime needs Intel SGX or TDX.
pub const TEE_SGX: u8 = 1;

/// The entity changes the runtime.
pub const GOVERNANCE_ENTITY: u8 = 1;
/// The runtime changes itself.
pub const GOVERNANCE_RUNTIME: u8 = 2;
/// The network's governance changes the runtime.
pub const GOVERNANCE_CONSENSUS: u8 = 3;

wire_struct! {
    /// What the runtime starts from.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RuntimeGenesis as "genesis", at most 256, {
        /// Root of its state; that of no state if it starts empty.
        state_root: Hash = always "state_root",
        /// Its first round.
        round: u64 = always "round",
    }
}

wire_struct! {
    /// How rounds are executed, and when an executor counts as live.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Executor as "executor", at most 1024, {
        /// How many primaries execute every round.
        group_size: u16 = always "group_size",
        /// How many backups settle discrepancies.
        group_backup_size: u16 = always "group_backup_size",
        /// How many primaries may be missing or fail without a discrepancy.
        allowed_stragglers: u16 = always "allowed_stragglers",
        /// How long to wait for commitments after a scheduler's, in heights.
        round_timeout: u64 = always "round_timeout",
        /// Most messages to the root in one round.
        max_messages: u32 = always "max_messages",
        /// Least part of an epoch's rounds with a commitment like the result, in percent.
        min_live_rounds_percent: u8 = unless_empty "min_live_rounds_percent",
        /// Most part of the rounds to schedule that may be missed, in percent; 0 is all.
        max_missed_proposals_percent: u8 = unless_empty "max_missed_proposals_percent",
        /// Least rounds of an epoch for liveness to be judged.
        min_live_rounds_eval: u64 = unless_empty "min_live_rounds_eval",
        /// How often a node may be judged not to be live; 0 is any number.
        max_liveness_fails: u8 = unless_empty "max_liveness_fails",
        /// Where backups come from: 0 from nodes that are not primaries, 1 from all. Not in Oasis
        /// Core, whose rule is 1.
        backup_rule: u8 = unless_empty "backup_rule",
    }
}

wire_struct! {
    /// How batches are cut.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct TxnScheduler as "txn_scheduler", at most 1024, {
        /// Longest wait before a batch that is not full is cut, in nanoseconds.
        batch_flush_timeout: u64 = unless_empty "batch_flush_timeout",
        /// Most inputs of a batch.
        max_batch_size: u64 = unless_empty "max_batch_size",
        /// Most bytes of all inputs of a batch.
        max_batch_size_bytes: u64 = unless_empty "max_batch_size_bytes",
        /// Most incoming messages that may wait.
        max_in_messages: u32 = unless_empty "max_in_messages",
        /// How long the scheduler of one rank is waited for, in nanoseconds.
        propose_batch_timeout: u64 = unless_empty "propose_batch_timeout",
    }
}

wire_struct! {
    /// How state is kept.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Storage as "storage", at most 1024, {
        /// Rounds between two checkpoints; 0 makes none.
        checkpoint_interval: u64 = always "checkpoint_interval",
        /// Checkpoints that are kept at least.
        checkpoint_num_kept: u64 = always "checkpoint_num_kept",
        /// Bytes of a chunk of a checkpoint.
        checkpoint_chunk_size: u64 = always "checkpoint_chunk_size",
        /// How many storage nodes must sign for a round's roots; 0 asks for none. In Oasis Core
        /// until release 22.0.
        min_write_replication: u32 = unless_empty "min_write_replication",
        /// How many storage nodes are elected, where signatures are asked for; 0 elects all that
        /// can be. In Oasis Core until release 22.0.
        group_size: u16 = unless_empty "group_size",
    }
}

wire_struct! {
    /// A limit of nodes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Limit as "limit", at most 64, {
        /// The limit.
        limit: u16 = always "limit",
    }
}

wire_struct! {
    /// What must hold of the nodes of a role; all that is given.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SchedulingConstraints as "constraints", at most 256, {
        /// The node's entity has a validator.
        validator_set: Option<Marker> = unless_empty "validator_set",
        /// Most nodes of one entity.
        max_nodes: Option<Limit> = unless_empty "max_nodes",
        /// Least nodes to choose from.
        min_pool_size: Option<Limit> = unless_empty "min_pool_size",
    }
}

wire_struct! {
    /// Stake of the runtime's nodes, and what faults cost.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RuntimeStaking as "runtime staking", at most TRANSACTION_BYTES_MAX, {
        /// Stake that a node needs in addition to the network's thresholds.
        thresholds: BTreeMap<ThresholdKind, Quantity> = unless_empty "thresholds",
        /// What faults cost.
        slashing: BTreeMap<SlashReason, Slash> = unless_empty "slashing",
        /// Part of a slash for equivocation that the runtime gets, in percent.
        reward_equivocation: u8 = unless_empty "reward_equivocation",
        /// Part of a slash for incorrect results that the runtime gets, in percent.
        reward_bad_results: u8 = unless_empty "reward_bad_results",
        /// The least fee of an incoming message.
        min_in_message_fee: Quantity = unless_empty "min_in_message_fee",
    }
}

wire_struct! {
    /// A version of the runtime.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Deployment as "deployment", at most TRANSACTION_BYTES_MAX, {
        /// The version.
        version: Version = always "version",
        /// The first epoch it runs in.
        valid_from: Epoch = always "valid_from",
        /// What the trusted execution environment must be like.
        tee: Blob = unless_empty "tee",
        /// SHA-256 of the manifest of its bundle.
        bundle_checksum: Blob = unless_empty "bundle_checksum",
    }
}

wire_struct! {
    /// A runtime.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Runtime as "runtime", at most TRANSACTION_BYTES_MAX, {
        /// Version of the descriptor.
        v: u16 = always "v",
        /// Its identifier.
        id: RuntimeId = always "id",
        /// Whose it is.
        entity_id: PublicKey = always "entity_id",
        /// What it starts from.
        genesis: RuntimeGenesis = always "genesis",
        /// What it does.
        kind: u32 = always "kind",
        /// The trusted execution environment that it needs.
        tee_hardware: u8 = always "tee_hardware",
        /// The key manager that keeps its secrets.
        key_manager: Option<RuntimeId> = unless_empty "key_manager",
        /// How rounds are executed.
        executor: Executor = always "executor",
        /// How batches are cut.
        txn_scheduler: TxnScheduler = unless_empty "txn_scheduler",
        /// How state is kept.
        storage: Storage = always "storage",
        /// Which nodes may register.
        admission_policy: AdmissionPolicy = always "admission_policy",
        /// By kind of committee and role, what must hold of nodes.
        constraints: BTreeMap<u8, BTreeMap<u8, SchedulingConstraints>> =
            unless_empty "constraints",
        /// Stake and faults.
        staking: RuntimeStaking = unless_empty "staking",
        /// Who may change it.
        governance_model: u8 = always "governance_model",
        /// Its versions.
        deployments: Vec<Deployment> = unless_empty "deployments",
    }
}

/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000_000;

impl Runtime {
    /// Whether it executes transactions.
    pub const fn is_compute(&self) -> bool {
        self.kind == KIND_COMPUTE
    }

    /// The version that runs in an epoch: that which became valid last.
    pub fn active_deployment(&self, epoch: Epoch) -> Option<&Deployment> {
        self.deployments
            .iter()
            .filter(|deployment| deployment.valid_from <= epoch)
            .max_by_key(|deployment| deployment.valid_from)
    }

    /// What scheduler and roothash need of it. Durations are rounded down to milliseconds.
    pub fn descriptor(&self) -> RuntimeDescriptor {
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let backup_rule = match self.executor.backup_rule {
            0 => BackupRule::Separate,
            _ => BackupRule::Shared,
        };
        RuntimeDescriptor {
            id: self.id,
            genesis_state_root: self.genesis.state_root,
            executor: ExecutorParameters {
                group_size: self.executor.group_size.into(),
                backup_size: self.executor.group_backup_size.into(),
                allowed_stragglers: self.executor.allowed_stragglers.into(),
                round_timeout: self.executor.round_timeout,
                max_messages: self.executor.max_messages,
                backup_rule,
            },
            txn_scheduler: SchedulerParameters {
                max_batch_size: narrow(self.txn_scheduler.max_batch_size),
                max_batch_size_bytes: self.txn_scheduler.max_batch_size_bytes,
                batch_flush_timeout_ms: self.txn_scheduler.batch_flush_timeout / MILLISECOND,
                propose_batch_timeout_ms: self.txn_scheduler.propose_batch_timeout / MILLISECOND,
            },
            storage_receipts_min: self.storage.min_write_replication,
            storage_group_size: self.storage.group_size.into(),
        }
    }
}
