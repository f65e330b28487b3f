//! Genesis documents as JSON: lossless both ways, and an error that names the field for the rest.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use trilith_cli::genesis::{Beginning, developer_network, entity_key};
use trilith_cli::network::RUNTIMES;
use trilith_cli::root::document::{of_json, parse, to_json};
use trilith_node::NodeKeys;
use trilith_protocol::RootGenesis;
use trilith_protocol::root::governance::{
    ActivateFeatures, FeatureRecord, Proposal, ProposalContent, ProposalState, Vote, VoteEntry,
};
use trilith_protocol::root::staking::{
    Account, DebondingDelegation, Delegation, EpochSigning, RewardStep, Slash, SlashReason,
    StakeThreshold, ThresholdKind,
};
use trilith_protocol::root::{Address, FeatureId, Quantity, Standing};
use trilith_types::{Epoch, Hash, RuntimeId, SecretKey, TimeNanos};

fn developer() -> RootGenesis {
    let seed = [7; 32];
    developer_network(&Beginning {
        keys: &NodeKeys::for_developer_network(&seed),
        entity: &entity_key(&seed),
        time: TimeNanos(1_700_000_000_000_000_001),
        epoch_heights: 10,
        runtimes: &RUNTIMES,
    })
}

fn address(number: u8) -> Address {
    Address::of_key(&SecretKey::from_seed([number; 32]).public())
}

fn amount() -> impl Strategy<Value = Quantity> {
    prop_oneof![Just(0), any::<u128>(), any::<u64>().prop_map(u128::from)].prop_map(Quantity::new)
}

/// A number that readers of JSON may round, or not.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..1_000u64,
        any::<u64>(),
        Just((1 << 53) + 1),
        Just(u64::MAX)
    ]
}

fn account() -> impl Strategy<Value = Account> {
    let allowances = proptest::collection::btree_map(any::<u8>().prop_map(address), amount(), 0..3);
    let claims = proptest::collection::vec(
        prop_oneof![
            Just(StakeThreshold::global(ThresholdKind::Entity)),
            Just(StakeThreshold::global(ThresholdKind::NodeCompute)),
            amount().prop_map(StakeThreshold::constant),
        ],
        0..3,
    );
    (amount(), number(), allowances, claims, amount()).prop_map(
        |(balance, nonce, allowances, claims, stake)| {
            let mut account = Account::default();
            account.general.balance = balance;
            account.general.nonce = nonce;
            account.general.allowances = allowances;
            account.escrow.active.balance = stake;
            let accumulator = &mut account.escrow.stake_accumulator;
            accumulator
                .claims
                .insert("a name \"quoted\"".into(), claims);
            account
        },
    )
}

/// A document with something in most kinds of fields. It need not be sound.
fn documents() -> impl Strategy<Value = RootGenesis> {
    let ledger = proptest::collection::btree_map(any::<u8>().prop_map(address), account(), 0..3);
    let parts = (amount(), number(), any::<bool>(), any::<[u8; 32]>());
    (
        "[ -~]{1,20}",
        ledger,
        parts,
        number(),
        proptest::collection::vec(number(), 0..3),
    )
        .prop_map(
            |(chain, ledger, (amount, number, flag, bytes), epoch, numbers)| {
                let mut document = developer();
                document.chain = chain;
                document.epoch_interval = number;
                let services = &mut document.services;
                services.epoch = Epoch(epoch);
                let state_root = Hash::from_bytes(bytes);
                let standing = Standing {
                    round: number,
                    state_root,
                };
                services
                    .standings
                    .insert(RuntimeId::from_bytes(bytes), standing);
                let staking = &mut services.staking;
                staking.ledger = ledger;
                staking.total_supply = amount;
                let shares = Delegation { shares: amount };
                staking
                    .delegations
                    .insert(address(1), [(address(2), shares)].into());
                let debond_end = Epoch(number);
                let ending = DebondingDelegation {
                    shares: amount,
                    debond_end,
                };
                let ending = [(address(2), vec![ending; numbers.len()])].into();
                staking.debonding_delegations.insert(address(1), ending);
                staking.epoch_signing = EpochSigning {
                    total: number,
                    by_entity: numbers
                        .iter()
                        .map(|n| (entity_key(&[*n as u8; 32]).public(), *n))
                        .collect(),
                };
                let params = &mut staking.params;
                params.disable_transfers = flag;
                params.undisable_transfers_from.insert(address(3), flag);
                let penalty = Slash {
                    amount,
                    freeze_interval: number,
                };
                params
                    .slashing
                    .insert(SlashReason::RuntimeEquivocation, penalty);
                params.reward_schedule = vec![RewardStep {
                    until: Epoch(number),
                    scale: amount,
                }];
                let governance = &mut services.governance;
                governance.proposals = vec![proposal(number, amount)];
                let vote = VoteEntry {
                    voter: address(4),
                    vote: Vote::Abstain,
                };
                governance.vote_entries.insert(number, vec![vote]);
                governance.features = vec![FeatureRecord {
                    id: FeatureId(bytes),
                    proposal: number,
                    since: Epoch(epoch),
                }];
                document
            },
        )
}

fn proposal(number: u64, amount: Quantity) -> Proposal {
    let ids = vec![FeatureId([3; 32])];
    Proposal {
        id: number,
        submitter: address(1),
        state: ProposalState::Failed,
        deposit: amount,
        content: ProposalContent {
            activate_features: Some(ActivateFeatures { ids }),
            ..ProposalContent::default()
        },
        created_at: Epoch(1),
        closes_at: Epoch(number),
        results: [(Vote::No, amount)].into(),
        invalid_votes: number,
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::String),
        "[0-9a-f]{0,70}".prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::btree_map("[a-z_]{0,9}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Replaces the value at a place, counted through the whole document.
fn replace(value: &mut Value, place: &mut usize, with: &Value) {
    if *place == 0 {
        *value = with.clone();
    }
    *place = place.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, place, with)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|value| replace(value, place, with)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn documents_are_the_same_in_both_forms(document in documents()) {
        let shown = to_json(&document).unwrap();
        prop_assert_eq!(of_json(&shown).map_err(|fault| fault.to_string()), Ok(document.clone()));
        // Also through text, and through canonical bytes.
        let text = serde_json::to_string_pretty(&shown).unwrap();
        prop_assert_eq!(parse(text.as_bytes()).unwrap(), document.clone());
        prop_assert_eq!(parse(&document.encode()).unwrap(), document);
    }

    #[test]
    fn other_json_is_refused_by_name_or_means_itself(
        value in values(),
        place in any::<Index>(),
        whole in any::<bool>(),
    ) {
        let mut changed = to_json(&developer()).unwrap();
        if whole {
            changed = value;
        } else {
            replace(&mut changed, &mut place.index(400), &value);
        }
        match of_json(&changed) {
            Err(fault) => prop_assert!(!fault.path.is_empty() && !fault.what.is_empty()),
            Ok(document) => {
                let again = to_json(&document).unwrap();
                prop_assert_eq!(of_json(&again).map_err(|fault| fault.to_string()), Ok(document));
            }
        }
    }

    #[test]
    fn other_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse(&bytes).is_err());
    }
}

#[test]
fn numbers_that_readers_would_round_are_text() {
    let mut document = developer();
    document.epoch_interval = (1 << 53) + 1;
    let shown = to_json(&document).unwrap();
    assert_eq!(shown["epoch_interval"], "9007199254740993");
    assert_eq!(shown["services"]["staking"]["total_supply"], "2001000000");
    assert_eq!(of_json(&shown).unwrap(), document);
    // People write numbers where text is written.
    let mut shown = shown;
    shown["services"]["staking"]["total_supply"] = json!(2_001_000_000);
    shown["epoch_interval"] = json!(9_007_199_254_740_993u64);
    assert_eq!(of_json(&shown).unwrap(), document);
    // What is empty can be written or left out.
    shown["services"]["registry"]["suspended_runtimes"] = json!([]);
    assert_eq!(of_json(&shown).unwrap(), document);
    // The same key twice, written differently.
    let upper = RUNTIMES[0].to_string().to_uppercase();
    let standing = json!({ "round": 1, "state_root": "00".repeat(32) });
    let id = RuntimeId::from_bytes([0xab; 32]).to_string();
    let other = id.to_uppercase();
    shown["services"]["standings"] = json!({ id: standing.clone(), other: standing });
    let fault = of_json(&shown).unwrap_err();
    assert_eq!(fault.path, "services.standings");
    assert!(fault.what.contains("the same"), "{fault}");
    assert_eq!(upper.len(), 64);
}
