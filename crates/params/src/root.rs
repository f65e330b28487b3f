//! Numbers of the root ledger.

use crate::params;

params! {
    "root";

    /// Most bytes of an encoded root transaction.
    TRANSACTION_BYTES_MAX: usize = 128 * 1024, Bytes, v 1,
        "own choice: the commitments of a committee of 64, or one with the most messages, fit";

    /// Most commitments one transaction may deliver.
    COMMITMENTS_MAX: usize = 64, Count, v 1,
        "own choice: a committee of 64 reports in one transaction";

    /// Most transactions of a root block.
    BLOCK_TRANSACTIONS_MAX: usize = 1_024, Count, v 1,
        "own choice: bounds the executors' signatures of a block to 65,536, two seconds at 33 us each";

    /// Most bytes of all transactions of a root block together.
    BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024, Bytes, v 1,
        "own choice: 32 of the largest transactions";

    /// Most members of a committee, primaries and backups each.
    COMMITTEE_MEMBERS_MAX: usize = 100, Count, v 1,
        "own choice: every member voting on every rank then takes 1.4 MiB of state";

    /// Most nodes of a genesis document.
    GENESIS_NODES_MAX: usize = 4_096, Count, v 1,
        "own choice: four times the largest committee";

    /// Most runtimes of a genesis document.
    GENESIS_RUNTIMES_MAX: usize = 1_024, Count, v 1,
        "own choice: the root looks at every runtime at every height";

    /// Most bytes of an encoded genesis document.
    GENESIS_BYTES_MAX: usize = 64 * 1024 * 1024, Bytes, v 2,
        "own choice: 10,000 nodes with signed descriptors of 2 KiB, and 100,000 accounts";

    /// Most bytes of the name of a network.
    CHAIN_NAME_BYTES_MAX: usize = 64, Bytes, v 1,
        "own choice: a name is for people";

    /// Most storage receipts in one commitment.
    STORAGE_RECEIPTS_MAX: usize = 64, Count, v 1,
        "own choice: bounds the signatures of a commitment to 65";

    /// How long the events of a height stay in the root's state.
    EVENTS_KEPT: u64 = 1_000, Heights, v 1,
        "own choice: a node that follows the root reads them at once; 1,000 cover a slow reader";

    /// The wait for backups after a discrepancy is the runtime's round timeout times this number,
    /// divided by [`RESOLUTION_TIMEOUT_DENOMINATOR`].
    RESOLUTION_TIMEOUT_NUMERATOR: u64 = 15, Count, v 1,
        "Oasis Core go/consensus/cometbft/apps/roothash, round timeout x 15 / 10 for backups";

    /// See [`RESOLUTION_TIMEOUT_NUMERATOR`].
    RESOLUTION_TIMEOUT_DENOMINATOR: u64 = 10, Count, v 1,
        "Oasis Core go/consensus/cometbft/apps/roothash, round timeout x 15 / 10 for backups";

    /// After this much agreed time the root asks for a block although there is no transaction,
    /// while a round waits for a timeout counted in heights.
    HEARTBEAT: u64 = 1_000_000_000, Nanoseconds, v 1,
        "own choice: round timeouts of 5 to 20 heights then take 5 to 20 s, as on Oasis networks";

    /// Most bytes of the name of a method: `service.Method`.
    METHOD_BYTES_MAX: usize = 64, Bytes, v 1,
        "own choice: twice the longest of Oasis Core's names, staking.AmendCommissionSchedule";

    /// Most bytes of the parameters of a service.
    PARAMETERS_BYTES_MAX: usize = 1024 * 1024, Bytes, v 1,
        "own choice: a reward schedule of 100 years of weekly steps fits ten times";

    /// Most bytes of a staking account in the root's state.
    ACCOUNT_BYTES_MAX: usize = 512 * 1024, Bytes, v 1,
        "own choice: the claims of an entity of 4,096 nodes fit; reading it takes 5 ms";

    /// Most events of one height that no transaction caused. Later ones are not kept.
    EVENTS_HEIGHT_MAX: usize = 65_536, Count, v 1,
        "own choice: 10,000 nodes that expire and 50,000 delegations that end at one epoch";

    /// Gas a block of the root may use where the genesis document says nothing; 0 is unlimited.
    BLOCK_GAS_MAX: u64 = 0, Gas, v 1,
        "own choice: BLOCK_TRANSACTIONS_MAX and BLOCK_BYTES_MAX bound a block already";

    /// Base units a unit of gas costs at least where the genesis document says nothing.
    GAS_PRICE_MIN: u64 = 0, Count, v 1,
        "own choice: a network without stake cannot ask for fees";

    /// Gas of each byte of a signed transaction.
    GAS_TRANSACTION_BYTE: u64 = 1, Gas, v 1,
        "Oasis Core go/consensus/genesis, tx_byte 1 on its networks";

    /// Gas of `staking.Transfer`.
    GAS_TRANSFER: u64 = 1_000, Gas, v 1, "own choice: as the operations of Oasis Core's registry";

    /// Gas of `staking.Burn`.
    GAS_BURN: u64 = 1_000, Gas, v 1, "own choice: as the operations of Oasis Core's registry";

    /// Gas of `staking.AddEscrow`.
    GAS_ADD_ESCROW: u64 = 1_000, Gas, v 1, "own choice: as the operations of Oasis Core's registry";

    /// Gas of `staking.ReclaimEscrow`.
    GAS_RECLAIM_ESCROW: u64 = 1_000, Gas, v 1,
        "own choice: as the operations of Oasis Core's registry";

    /// Gas of `staking.AmendCommissionSchedule`.
    GAS_AMEND_COMMISSION_SCHEDULE: u64 = 1_000, Gas, v 1,
        "own choice: as the operations of Oasis Core's registry";

    /// Gas of `staking.Allow`.
    GAS_ALLOW: u64 = 1_000, Gas, v 1, "own choice: as the operations of Oasis Core's registry";

    /// Gas of `staking.Withdraw`.
    GAS_WITHDRAW: u64 = 1_000, Gas, v 1, "own choice: as the operations of Oasis Core's registry";

    /// How long stake stays slashable after it is taken back, where the genesis document says
    /// nothing.
    DEBONDING_INTERVAL: u64 = 336, Epochs, v 1,
        "Oasis mainnet genesis, staking.params.debonding_interval: two weeks of hours";

    /// Signing rewards go to who signed this part of an epoch's heights.
    SIGNING_REWARD_THRESHOLD_NUMERATOR: u64 = 3, Count, v 1,
        "Oasis mainnet genesis, staking.params.signing_reward_threshold: 3 of 4";

    /// See [`SIGNING_REWARD_THRESHOLD_NUMERATOR`].
    SIGNING_REWARD_THRESHOLD_DENOMINATOR: u64 = 4, Count, v 1,
        "Oasis mainnet genesis, staking.params.signing_reward_threshold: 3 of 4";

    /// What a reward's scale of 1 is a part of: a millionth of a percent.
    REWARD_DENOMINATOR: u64 = 100_000_000, Count, v 1,
        "Oasis Core go/staking/api/rewards.go, RewardAmountDenominator";

    /// Factor of the reward for signing through an epoch.
    REWARD_FACTOR_EPOCH_SIGNED: u64 = 1, Count, v 1,
        "Oasis mainnet genesis, staking.params.reward_factor_epoch_signed";

    /// What a commission rate is a part of: a thousandth of a percent.
    COMMISSION_RATE_DENOMINATOR: u64 = 100_000, Count, v 1,
        "Oasis Core go/staking/api/commission.go, CommissionRateDenominator";

    /// Rates and bounds of commissions start at multiples of this.
    COMMISSION_RATE_CHANGE_INTERVAL: u64 = 1, Epochs, v 1,
        "Oasis mainnet genesis, staking.params.commission_schedule_rules";

    /// How long in advance a bound of commissions must be announced.
    COMMISSION_RATE_BOUND_LEAD: u64 = 336, Epochs, v 1,
        "Oasis mainnet genesis, staking.params.commission_schedule_rules: two weeks of hours";

    /// Most rate steps of a commission schedule.
    COMMISSION_RATE_STEPS_MAX: u16 = 10, Count, v 1,
        "Oasis mainnet genesis, staking.params.commission_schedule_rules";

    /// Most bound steps of a commission schedule.
    COMMISSION_BOUND_STEPS_MAX: u16 = 10, Count, v 1,
        "Oasis mainnet genesis, staking.params.commission_schedule_rules";

    /// Most allowances of an account.
    ALLOWANCES_MAX: u32 = 16, Count, v 1,
        "Oasis mainnet genesis, staking.params.max_allowances";

    /// Weight of a height's proposer among those who get its fees.
    FEE_SPLIT_WEIGHT_PROPOSE: u64 = 2, Count, v 1,
        "Oasis mainnet genesis, staking.params.fee_split_weight_propose";

    /// Weight of a height's voters among those who get its fees.
    FEE_SPLIT_WEIGHT_VOTE: u64 = 1, Count, v 1,
        "Oasis mainnet genesis, staking.params.fee_split_weight_vote";

    /// Weight of the next height's proposer among those who get the fees.
    FEE_SPLIT_WEIGHT_NEXT_PROPOSE: u64 = 1, Count, v 1,
        "Oasis mainnet genesis, staking.params.fee_split_weight_next_propose";

    /// Gas of `registry.RegisterEntity`.
    GAS_REGISTER_ENTITY: u64 = 1_000, Gas, v 1, "Oasis Core go/registry/api, DefaultGasCosts";

    /// Gas of `registry.DeregisterEntity`.
    GAS_DEREGISTER_ENTITY: u64 = 1_000, Gas, v 1, "Oasis Core go/registry/api, DefaultGasCosts";

    /// Gas of each node that an entity lists when it is registered.
    GAS_REGISTER_NODE: u64 = 1_000, Gas, v 1, "Oasis Core go/registry/api, DefaultGasCosts";

    /// Gas of `registry.UnfreezeNode`.
    GAS_UNFREEZE_NODE: u64 = 1_000, Gas, v 1, "Oasis Core go/registry/api, DefaultGasCosts";

    /// Gas of `registry.RegisterRuntime`.
    GAS_REGISTER_RUNTIME: u64 = 1_000, Gas, v 1, "Oasis Core go/registry/api, DefaultGasCosts";

    /// Gas of `registry.RegisterNode` for each runtime and epoch the registration is extended by.
    GAS_RUNTIME_EPOCH_MAINTENANCE: u64 = 1_000, Gas, v 1,
        "Oasis Core go/registry/api, DefaultGasCosts";

    /// Gas of `roothash.ExecutorCommit` in a signed transaction.
    GAS_EXECUTOR_COMMIT: u64 = 1_000, Gas, v 1,
        "Oasis Core go/roothash/api, GasOpComputeCommit in DefaultGasCosts";

    /// For how many epochs a node can be registered at most.
    NODE_EXPIRATION_MAX: u64 = 2, Epochs, v 1,
        "Oasis mainnet genesis, registry.params.max_node_expiration";

    /// Most deployments of a runtime.
    RUNTIME_DEPLOYMENTS_MAX: u8 = 5, Count, v 1,
        "Oasis mainnet genesis, registry.params.max_runtime_deployments";

    /// Deployments a runtime may have whatever the parameters say.
    RUNTIME_DEPLOYMENTS_MIN: u8 = 2, Count, v 1,
        "Oasis Core go/registry/api/runtime.go, ValidateDeployments";

    /// Most bytes of what a node says it runs.
    SOFTWARE_VERSION_BYTES_MAX: usize = 128, Bytes, v 1,
        "Oasis Core go/common/node, nodeSoftwareVersionMaxLength";

    /// Most runtimes of the registry, suspended ones included.
    RUNTIMES_MAX: usize = 1_024, Count, v 1,
        "own choice: the root looks at every runtime at every height";

    /// Rounds between two checkpoints at least, where there are any.
    CHECKPOINT_INTERVAL_MIN: u64 = 10, Count, v 1,
        "Oasis Core go/registry/api/runtime.go, StorageParameters";

    /// Bytes of a chunk of a checkpoint at least.
    CHECKPOINT_CHUNK_BYTES_MIN: u64 = 1_048_576, Bytes, v 1,
        "Oasis Core go/registry/api/runtime.go, StorageParameters";

    /// Latest round a runtime may start from.
    GENESIS_ROUND_MAX: u64 = 1 << 62, Count, v 1,
        "own choice: as many rounds are left, which no network reaches";

    /// Most incoming messages of a runtime that may wait.
    INCOMING_MESSAGES_MAX: u32 = 1_024, Count, v 1,
        "own choice: a queue of 128 MiB with the largest messages";

    /// Gas of `governance.SubmitProposal`.
    GAS_SUBMIT_PROPOSAL: u64 = 1_000, Gas, v 1, "Oasis Core go/governance/api, DefaultGasCosts";

    /// Gas of `governance.CastVote`.
    GAS_CAST_VOTE: u64 = 1_000, Gas, v 1, "Oasis Core go/governance/api, DefaultGasCosts";

    /// Base units deposited for a proposal where the genesis document says nothing.
    PROPOSAL_DEPOSIT: u64 = 0, Count, v 1,
        "own choice: a network without stake cannot ask for deposits";

    /// Epochs after which the votes for a proposal are counted.
    VOTING_PERIOD: u64 = 168, Epochs, v 1,
        "Oasis mainnet genesis, governance.params.voting_period: a week of hours";

    /// Part of the voters' stake that must vote yes, where the genesis document says nothing.
    STAKE_THRESHOLD: u8 = 68, Percent, v 1,
        "Oasis mainnet genesis, governance.params.stake_threshold";

    /// The least a stake threshold can be.
    STAKE_THRESHOLD_MIN: u8 = 67, Percent, v 1,
        "Oasis Core go/governance/api/sanity_check.go: more than two thirds";

    /// Epochs between a proposal of an upgrade and the upgrade, and between two upgrades.
    UPGRADE_EPOCH_DIFF_MIN: u64 = 336, Epochs, v 1,
        "Oasis mainnet genesis, governance.params.upgrade_min_epoch_diff: two weeks of hours";

    /// Epochs between a proposal to cancel an upgrade and the upgrade.
    UPGRADE_CANCEL_EPOCH_DIFF_MIN: u64 = 192, Epochs, v 1,
        "Oasis mainnet genesis, governance.params.upgrade_cancel_min_epoch_diff: 8 days of hours";

    /// Least bytes of a proposal's title.
    PROPOSAL_TITLE_BYTES_MIN: usize = 3, Bytes, v 1,
        "Oasis Core go/governance/api, MinProposalTitleLength";

    /// Most bytes of a proposal's title.
    PROPOSAL_TITLE_BYTES_MAX: usize = 100, Bytes, v 1,
        "Oasis Core go/governance/api, MaxProposalTitleLength";

    /// Least bytes of the name of an upgrade's handler.
    UPGRADE_HANDLER_BYTES_MIN: usize = 3, Bytes, v 1,
        "Oasis Core go/upgrade/api, MinUpgradeHandlerLength";

    /// Most bytes of the name of an upgrade's handler.
    UPGRADE_HANDLER_BYTES_MAX: usize = 32, Bytes, v 1,
        "Oasis Core go/upgrade/api, MaxUpgradeHandlerLength";

    /// Most bytes of a proposal with what became of it.
    PROPOSAL_BYTES_MAX: usize = 129 * 1024, Bytes, v 1,
        "own choice: the largest transaction and 1 KiB for the rest";

    /// Most proposals that can be voted on at a time.
    ACTIVE_PROPOSALS_MAX: usize = 256, Count, v 1,
        "own choice: all that close at one epoch are counted in one block; a deposit may be 0";

    /// Most votes for one proposal.
    PROPOSAL_VOTES_MAX: u64 = 65_536, Count, v 1,
        "own choice: the block that counts them looks each of them up";

    /// Most proposals in an answer.
    PROPOSALS_PAGE: usize = 64, Count, v 1,
        "own choice: 64 of the largest take 8 MiB, half of the largest answer";

    /// Most votes in an answer.
    VOTES_PAGE: usize = 4_096, Count, v 1, "own choice: an answer of 150 KiB";

    /// Most features that one proposal can activate.
    PROPOSAL_FEATURES_MAX: usize = 64, Count, v 1,
        "own choice: a release of the account engine brings fewer";

    /// Most features that can be approved over the life of a network.
    FEATURES_MAX: usize = 4_096, Count, v 1,
        "own choice: ten times those of Solana's first six years; 200 KiB in what a round sees";

    /// The version of the root's own rules: an upgrade to another one stops this build.
    ROOT_PROTOCOL: u64 = 1, Count, v 1,
        "own choice: counts up with every change of rules that is no feature";

    /// Gas of `keymanager.UpdatePolicy`.
    GAS_UPDATE_POLICY: u64 = 1_000, Gas, v 1, "Oasis Core go/keymanager/secrets, DefaultGasCosts";

    /// Gas of `keymanager.PublishMasterSecret`.
    GAS_PUBLISH_MASTER_SECRET: u64 = 1_000, Gas, v 1,
        "Oasis Core go/keymanager/secrets, DefaultGasCosts";

    /// Gas of `keymanager.PublishEphemeralSecret`.
    GAS_PUBLISH_EPHEMERAL_SECRET: u64 = 1_000, Gas, v 1,
        "Oasis Core go/keymanager/secrets, DefaultGasCosts";

    /// Part of a key manager's nodes that a secret must be encrypted for.
    SECRET_ENCLAVES_MIN: u64 = 66, Percent, v 1,
        "Oasis Core go/keymanager/secrets/secret.go, minEnclavesPercent";

    /// Part of a key manager's nodes that must have replicated a master secret.
    SECRET_REPLICATION_MIN: u64 = 66, Percent, v 1,
        "Oasis Core apps/keymanager/secrets/status.go, minProposalReplicationPercent";

    /// Most nodes of a key manager's committee.
    KEY_MANAGER_NODES_MAX: usize = 1_024, Count, v 1,
        "own choice: a secret encrypted for all of them fits a transaction";

    /// Most signatures of a key manager's policy.
    POLICY_SIGNATURES_MAX: usize = 64, Count, v 1,
        "own choice: bounds the work of a transaction to 65 signatures";

    /// Most bytes of a key manager's status: two policies, and its nodes.
    KEY_MANAGER_STATUS_BYTES_MAX: usize = 512 * 1024, Bytes, v 1,
        "own choice: two policies of the largest transactions and 1,024 nodes fit";
}

const _: () = assert!(COMMITTEE_MEMBERS_MAX <= GENESIS_NODES_MAX);
const _: () = assert!(TRANSACTION_BYTES_MAX <= BLOCK_BYTES_MAX);
const _: () = assert!(RESOLUTION_TIMEOUT_NUMERATOR >= RESOLUTION_TIMEOUT_DENOMINATOR);
const _: () = assert!(EVENTS_KEPT >= 1);
// A commitment without messages and receipts takes less than 700 bytes.
const _: () = assert!(COMMITMENTS_MAX * 700 <= TRANSACTION_BYTES_MAX);
// A commitment with the most messages and receipts (some 130 bytes each) fits a transaction.
const _: () = assert!(
    crate::host::MESSAGES_BYTES_MAX + STORAGE_RECEIPTS_MAX * 130 + 1024 <= TRANSACTION_BYTES_MAX
);
const _: () = assert!(ACCOUNT_BYTES_MAX >= TRANSACTION_BYTES_MAX);
const _: () = assert!(SIGNING_REWARD_THRESHOLD_NUMERATOR <= SIGNING_REWARD_THRESHOLD_DENOMINATOR);
const _: () = assert!(RUNTIMES_MAX >= GENESIS_RUNTIMES_MAX);
const _: () = assert!(TRANSACTION_BYTES_MAX + 1024 <= PROPOSAL_BYTES_MAX);
const _: () = assert!(PROPOSALS_PAGE * PROPOSAL_BYTES_MAX <= 9 * 1024 * 1024);
const _: () = assert!(STAKE_THRESHOLD >= STAKE_THRESHOLD_MIN && STAKE_THRESHOLD <= 100);
const _: () = assert!(VOTING_PERIOD < UPGRADE_CANCEL_EPOCH_DIFF_MIN);
const _: () = assert!(VOTING_PERIOD < UPGRADE_EPOCH_DIFF_MIN);
// A ciphertext of a secret of 32 bytes takes less than 100 bytes with its key.
const _: () = assert!(KEY_MANAGER_NODES_MAX * 100 + 1024 <= TRANSACTION_BYTES_MAX);
const _: () = assert!(
    2 * TRANSACTION_BYTES_MAX + KEY_MANAGER_NODES_MAX * 34 + 1024 <= KEY_MANAGER_STATUS_BYTES_MAX
);
