//! Gates: feature accounts that anyone creates and the root's approval puts into force.

use agave_feature_set as known;
use ed25519_dalek::SigningKey;
use solana_account::Account as Given;
use solana_instruction::error::InstructionError as Error;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{feature, system_program};
use trilith_engine_account::Profile;
use trilith_engine_account::gates::{self, FeatureState};
use trilith_engine_account::query::{Answer, Question, Simulate};

use super::actor::{ACTOR, Script, bare, failed, program, remaining, stage};
use super::harness::{self, Network, SLOT};
use super::sbpf::{HEAP, Program};
use super::wire::{key, keypair, transaction, transfer};

/// Lamports that exempt 9 bytes from rent.
const RENT: u64 = (128 + 9) * 5_080;
/// Slots of an epoch of these networks.
const EPOCH: u64 = 64;

/// Creates a feature account as the ecosystem's tools do; whoever holds the key of its id can.
fn create(network: &mut Network, gate: &SigningKey) {
    let id = key(gate);
    let own = |tag: u32, rest: &[u8]| {
        let data = [&tag.to_le_bytes()[..], rest].concat();
        let accounts = vec![AccountMeta::new(id, true)];
        Instruction::new_with_bytes(system_program::ID, &data, accounts)
    };
    let alice = keypair(10);
    network.succeed(
        &[
            transfer(&key(&alice), &id, RENT),
            own(8, &9u64.to_le_bytes()),
            own(1, feature::ID.as_ref()),
        ],
        &[&alice, gate],
    );
}

/// The key of one of our gates, which everyone can derive.
fn own(name: &str) -> SigningKey {
    SigningKey::from_bytes(&gates::seed(name))
}

fn state(network: &Network, id: &Pubkey) -> Option<FeatureState> {
    let account = network.account(id)?;
    assert_eq!(account.owner, feature::ID);
    FeatureState::decode(&account.data)
}

/// Executes the first round of the next epoch and gives its slot.
fn next_epoch(network: &mut Network) -> u64 {
    let slot = network.chain().slot;
    network.pass(EPOCH - slot % EPOCH);
    let slot = network.chain().slot;
    assert_eq!(slot % EPOCH, 0);
    slot
}

/// The profile a network shows by what it does: how many units two spinning instructions may use.
fn profile(network: &mut Network) -> Profile {
    let alice = keypair(10);
    let work = Script::default().spin(60_000).on(&[]);
    let record = network.send(&[work.clone(), work], &[&alice]);
    let size = Script::default().log_remaining().on(&[]);
    let first = remaining(&network.succeed(&[size.clone(), size], &[&alice]))[0];
    match (record.status.is_ok(), first) {
        (true, ..200_000) => Profile::Classic,
        (false, ..200_000) => Profile::TransactionWide,
        (true, 200_000..400_000) => Profile::Today,
        other => panic!("no profile: {other:?}"),
    }
}

#[test]
fn our_gates_have_ids_that_never_change() {
    let ids: Vec<String> = gates::own()
        .iter()
        .map(|gate| gate.id.to_string())
        .collect();
    assert_eq!(
        ids,
        [
            "D6TobL2DSPJK4jbdECBxj56yvHt1RhhZeBZEPEMvCk62",
            "9jPaxwKoFWW2uMpM9J5mR48tZh5Y6hu2Y5TbzmLHVzkq"
        ]
    );
    assert_eq!(gates::find(&gates::rules_of_today()), Some(gates::own()[1]));
    assert_eq!(key(&own(gates::RULES_OF_TODAY)), gates::rules_of_today());
}

#[test]
fn gates_lead_from_the_classic_rules_to_those_of_today() {
    let mut network = stage(Profile::Classic, Vec::new());
    let [wide, today] = [gates::transaction_wide_budget(), gates::rules_of_today()];
    assert_eq!(profile(&mut network), Profile::Classic);
    create(&mut network, &own(gates::TRANSACTION_WIDE_BUDGET));
    create(&mut network, &own(gates::RULES_OF_TODAY));
    // Without the root's approval an epoch changes nothing.
    next_epoch(&mut network);
    assert_eq!(state(&network, &wide), Some(FeatureState::Pending));
    assert_eq!(profile(&mut network), Profile::Classic);
    // With it nothing changes before the next epoch.
    network.approved.push(wide);
    network.pass(3);
    assert_eq!(state(&network, &wide), Some(FeatureState::Pending));
    assert_eq!(profile(&mut network), Profile::Classic);
    let slot = next_epoch(&mut network);
    assert_eq!(state(&network, &wide), Some(FeatureState::Active(slot)));
    assert_eq!(state(&network, &today), Some(FeatureState::Pending));
    assert_eq!(profile(&mut network), Profile::TransactionWide);
    network.approved.push(today);
    let slot = next_epoch(&mut network);
    assert_eq!(state(&network, &today), Some(FeatureState::Active(slot)));
    assert_eq!(profile(&mut network), Profile::Today);
    // A gate in force stays, whatever is approved later.
    network.approved.clear();
    next_epoch(&mut network);
    assert_eq!(state(&network, &today), Some(FeatureState::Active(slot)));
    assert_eq!(profile(&mut network), Profile::Today);
}

#[test]
fn the_round_that_begins_an_epoch_follows_its_rules() {
    let mut network = stage(Profile::Classic, Vec::new());
    create(&mut network, &own(gates::TRANSACTION_WIDE_BUDGET));
    network.approved.push(gates::transaction_wide_budget());
    let slot = network.chain().slot;
    network.elapsed += (EPOCH - slot % EPOCH - 1) * SLOT;
    let work = || Script::default().spin(60_000).on(&[]);
    let alice = keypair(10);
    // The last slot of the epoch, and the first of the next, without a round between them.
    network.succeed(&[work(), work()], &[&alice]);
    network.elapsed += SLOT;
    let record = network.send(&[work(), work()], &[&alice]);
    assert_eq!(record.slot % EPOCH, 0);
    assert_eq!(record.status, failed(1, Error::ProgramFailedToComplete));
}

#[test]
fn simulations_follow_the_rules_in_force() {
    let mut network = stage(Profile::Classic, Vec::new());
    let simulate = |network: &Network| {
        let work = Script::default().spin(60_000).on(&[]);
        let bytes = transaction(&[work.clone(), work], &[&keypair(10)], network.blockhash());
        let question = Question::Simulate(Simulate {
            transaction: bytes,
            verify_signatures: true,
            replace_blockhash: false,
            accounts: Vec::new(),
        });
        match network.ask(&question) {
            Answer::Simulated(simulated) => simulated.record.status,
            other => panic!("not a simulation: {other:?}"),
        }
    };
    assert_eq!(simulate(&network), Ok(()));
    create(&mut network, &own(gates::TRANSACTION_WIDE_BUDGET));
    network.approved.push(gates::transaction_wide_budget());
    next_epoch(&mut network);
    assert_eq!(
        simulate(&network),
        failed(1, Error::ProgramFailedToComplete)
    );
}

#[test]
fn an_approved_gate_nobody_created_waits() {
    let mut network = stage(Profile::Classic, Vec::new());
    network.approved.push(gates::transaction_wide_budget());
    next_epoch(&mut network);
    assert_eq!(network.account(&gates::transaction_wide_budget()), None);
    create(&mut network, &own(gates::TRANSACTION_WIDE_BUDGET));
    assert_eq!(profile(&mut network), Profile::Classic);
    next_epoch(&mut network);
    assert_eq!(profile(&mut network), Profile::TransactionWide);
}

#[test]
fn an_approved_gate_that_is_not_known_stops_the_node() {
    let mut network = stage(Profile::Today, Vec::new());
    let unknown = keypair(77);
    let id = key(&unknown);
    create(&mut network, &unknown);
    next_epoch(&mut network);
    assert_eq!(state(&network, &id), Some(FeatureState::Pending));
    network.approved.push(id);
    // Not before it would come into force.
    network.pass(1);
    let slot = network.chain().slot;
    network.elapsed += (EPOCH - slot % EPOCH) * SLOT;
    let fault = network.fault();
    let told = format!(
        "fault of this node: feature {id} was approved from root epoch 3 on and comes into force in epoch 2 of the \
         account runtime, at slot 128, but this build does not know what it changes: install a \
         version that does"
    );
    assert_eq!(fault, told);
    // The same node goes on where it is not approved.
    network.approved.clear();
    network.round(&[]);
    assert_eq!(state(&network, &id), Some(FeatureState::Pending));
}

/// A pending feature account for a gate whose key nobody here holds.
fn pending(id: Pubkey) -> (Pubkey, Given) {
    let mut genesis = harness::genesis();
    genesis.add_pending_feature(id);
    genesis.accounts.remove(0)
}

#[test]
fn gates_of_the_ecosystem_change_the_processor() {
    let blake3 = known::blake3_syscall_enabled::ID;
    let nesting = known::raise_cpi_nesting_limit_to_8::ID;
    let hasher = Pubkey::new_from_array([0xc1; 32]);
    let hash = Program::default()
        .set(2, 0)
        .set(3, HEAP)
        .call("sol_blake3")
        .finish();
    let further = vec![pending(blake3), pending(nesting), (hasher, program(hash))];
    let mut network = stage(Profile::Today, further);
    let alice = keypair(10);
    let mut deep = Script::default();
    for _ in 0..8 {
        deep = Script::default().invoke(0, &[(0, false, false)], &deep.0);
    }
    let deep = deep.on(&[(ACTOR, false)]);
    let record = network.send(&[bare(hasher)], &[&alice]);
    assert!(record.status.is_err(), "{:?}", record.logs);
    let record = network.send(std::slice::from_ref(&deep), &[&alice]);
    assert_eq!(record.status, failed(0, Error::CallDepth));
    network.approved = vec![blake3, nesting];
    next_epoch(&mut network);
    network.succeed(&[bare(hasher)], &[&alice]);
    network.succeed(&[deep], &[&alice]);
}

#[test]
fn a_gate_whose_effect_is_not_the_processors_stops_the_node_too() {
    let rent = known::set_lamports_per_byte_to_2575::ID;
    let mut network = stage(Profile::Today, vec![pending(rent)]);
    network.approved.push(rent);
    let slot = network.chain().slot;
    network.elapsed += (EPOCH - slot % EPOCH) * SLOT;
    let fault = network.fault();
    assert!(fault.contains(&rent.to_string()), "{fault}");
}

#[test]
fn accounts_that_are_no_pending_features_activate_nothing() {
    let id = gates::transaction_wide_budget();
    for (data, owner) in [
        (vec![0; 9], system_program::ID),
        (vec![0; 8], feature::ID),
        (vec![0; 10], feature::ID),
        (vec![2; 9], feature::ID),
        (vec![1; 9], feature::ID),
    ] {
        let (_, account) = pending(id);
        let mut network = stage(
            Profile::Classic,
            vec![(
                id,
                Given {
                    data,
                    owner,
                    ..account
                },
            )],
        );
        let before = network.account(&id);
        network.approved.push(id);
        next_epoch(&mut network);
        assert_eq!(network.account(&id), before);
        assert_eq!(profile(&mut network), Profile::Classic);
    }
}
