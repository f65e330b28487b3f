//! Forms of the staking service: published figures of Oasis Core, and what must be refused.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trilith_protocol::RootEvent;
use trilith_protocol::root::staking::{
    Account, Allow, CommissionBoundStep, CommissionSchedule, DebondingDelegation, Delegation,
    EscrowAccount, GeneralAccount, SharePool, StakeAccumulator, StakeThreshold, StakingEvent,
    StakingGenesis, ThresholdKind, Transfer, TransferEvent,
};
use trilith_protocol::root::{
    Address, AddressError, BURN_ADDRESS, COMMON_POOL, FEE_ACCUMULATOR, Fee, GOVERNANCE_DEPOSITS,
    MultiSigned, Quantity, RawItem, Services, Signed, Transaction,
};
use trilith_types::{
    Epoch, Hash, PublicKey, RuntimeId, SecretKey, SignatureContext, SignatureError,
};

fn key_of(hex_digits: &str) -> PublicKey {
    PublicKey::from_slice(&hex::decode(hex_digits).unwrap()).unwrap()
}

/// An identifier of a test runtime made of a seed, as Oasis Core's tests make it.
fn runtime_of(seed: &[u8]) -> RuntimeId {
    let mut bytes = [0; 32];
    bytes[0] = 0x80;
    bytes[8..].copy_from_slice(&Hash::of(seed).as_bytes()[..24]);
    RuntimeId::from_bytes(bytes)
}

/// Figures: Oasis Core `staking/api/address_test.go`.
#[test]
fn addresses_are_the_published_ones() {
    let badadd1e55 = key_of("badadd1e55ffffffffffffffffffffffffffffffffffffffffffffffffffffff");
    assert_eq!(
        Address::of_key(&badadd1e55).to_string(),
        "oasis1qryqqccycvckcxp453tflalujvlf78xymcdqw4vz"
    );
    assert_eq!(
        Address::of_runtime(&runtime_of(b"runtime address test 1")).to_string(),
        "oasis1qpllh99nhwzrd56px4txvl26atzgg4f3a58jzzad"
    );
    assert_eq!(
        Address::of_module("test", "foo").to_string(),
        "oasis1qpgsr850rfz7v8nxpgz8urkw3xp4nnwjgux629kl"
    );
    assert_eq!(
        Address::from_bytes([0; 21]).to_string(),
        "oasis1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq0ltrq9"
    );
    let reserved = [
        (
            COMMON_POOL,
            "oasis1qrmufhkkyyf79s5za2r8yga9gnk4t446dcy3a5zm",
        ),
        (
            FEE_ACCUMULATOR,
            "oasis1qqnv3peudzvekhulf8v3ht29z4cthkhy7gkxmph5",
        ),
        (
            GOVERNANCE_DEPOSITS,
            "oasis1qp65laz8zsa9a305wxeslpnkh9x4dv2h2qhjz0ec",
        ),
        (
            BURN_ADDRESS,
            "oasis1qzq8u7xs328puu2jy524w3fygzs63rv3u5967970",
        ),
    ];
    for (address, text) in reserved {
        assert_eq!(address.to_string(), text);
        assert_eq!(text.parse(), Ok(address));
        assert!(address.is_reserved());
    }
    let keys = [
        (
            COMMON_POOL,
            "1abe11edc001ffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ),
        (
            FEE_ACCUMULATOR,
            "1abe11edfeeaccffffffffffffffffffffffffffffffffffffffffffffffffff",
        ),
        (
            GOVERNANCE_DEPOSITS,
            "1abe11eddeaccfffffffffffffffffffffffffffffffffffffffffffffffffff",
        ),
    ];
    for (address, key) in keys {
        assert_eq!(Address::of_key(&key_of(key)), address);
    }
}

#[test]
fn texts_that_are_no_address_are_refused() {
    let parse = |text: &str| text.parse::<Address>().unwrap_err();
    assert!(matches!(parse("oasis1"), AddressError::Bech32(_)));
    assert!(matches!(
        parse("oasis1qrmufhkkyyf79s5za2r8yga9gnk4t446dcy3a5zz"),
        AddressError::Bech32(_)
    ));
    let bitcoin = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    assert_eq!(parse(bitcoin), AddressError::Prefix("bc".into()));
    assert_eq!(parse("oasis1qqga6jrh"), AddressError::Length(1));
}

fn account_of(change: impl FnOnce(&mut Account)) -> Account {
    let mut account = Account::default();
    change(&mut account);
    account
}

/// Figures: Oasis Core `staking/api/api_test.go`, `TestAccountsSerialization`.
#[test]
fn accounts_have_the_published_form() {
    let claims = BTreeMap::from([(
        "entity".into(),
        vec![
            StakeThreshold::constant(77u64.into()),
            StakeThreshold::global(ThresholdKind::NodeCompute),
        ],
    )]);
    let cases = [
        (Account::default(), "a0"),
        (
            account_of(|account| {
                account.general = GeneralAccount {
                    balance: 10u64.into(),
                    nonce: 33,
                    ..GeneralAccount::default()
                };
            }),
            "a16767656e6572616ca2656e6f6e636518216762616c616e6365410a",
        ),
        (
            account_of(|account| {
                account.general.allowances = BTreeMap::from([
                    (COMMON_POOL, 100u64.into()),
                    (GOVERNANCE_DEPOSITS, 33u64.into()),
                ]);
            }),
            "a16767656e6572616ca16a616c6c6f77616e636573a25500754ff447143a5ec5f471b30f8676b94d56b1\
         575041215500f7c4ded62113e2c282ea867223a544ed55d6ba6e4164",
        ),
        (
            account_of(|account| {
                account.escrow = EscrowAccount {
                    active: SharePool {
                        balance: 1100u64.into(),
                        total_shares: 11u64.into(),
                    },
                    debonding: SharePool::default(),
                    commission_schedule: CommissionSchedule {
                        rates: Vec::new(),
                        bounds: vec![CommissionBoundStep {
                            start: Epoch(33),
                            rate_min: 10u64.into(),
                            rate_max: 1000u64.into(),
                        }],
                    },
                    stake_accumulator: StakeAccumulator { claims },
                };
            }),
            "a166657363726f77a366616374697665a26762616c616e636542044c6c746f74616c5f73686172657341\
         0b717374616b655f616363756d756c61746f72a166636c61696d73a166656e7469747982a165636f6e73\
         74414da166676c6f62616c0273636f6d6d697373696f6e5f7363686564756c65a166626f756e647381a3\
         657374617274182168726174655f6d61784203e868726174655f6d696e410a",
        ),
    ];
    for (account, form) in cases {
        assert_eq!(hex::encode(account.encode()), form);
        assert_eq!(Account::decode(&hex::decode(form).unwrap()), Ok(account));
    }
}

/// Figures: Oasis Core `staking/api/api_test.go`, `TestDelegationSerialization`,
/// `TestDebondingDelegationSerialization`, and the inner parts of `TestEventsSerialization`.
#[test]
fn delegations_and_events_have_the_published_form() {
    let delegation = |shares: u64| Delegation {
        shares: shares.into(),
    };
    assert_eq!(hex::encode(delegation(0).encode()), "a16673686172657340");
    assert_eq!(
        hex::encode(delegation(100).encode()),
        "a1667368617265734164"
    );
    let debonding = DebondingDelegation {
        shares: 100u64.into(),
        debond_end: Epoch(23),
    };
    assert_eq!(
        hex::encode(debonding.encode()),
        "a26673686172657341646a6465626f6e645f656e6417"
    );
    let transfer = TransferEvent {
        from: Address::of_key(&key_of(&format!("aaa{}", "f".repeat(61)))),
        to: Address::of_key(&key_of(&format!("bbb{}", "f".repeat(61)))),
        amount: 100u64.into(),
    };
    let form = "a362746f5500b912397895e6470c51fabecc9ddc83f70aed86a16466726f6d5500207214\
                34893f616c098148e2cf9f99e3e2826e1366616d6f756e744164";
    assert_eq!(hex::encode(transfer.encode()), form);
    let event = RootEvent::Staking(StakingEvent::Transfer(transfer));
    assert_eq!(RootEvent::decode(&event.encode()), Ok(event));
}

#[test]
fn forms_that_are_not_canonical_are_refused() {
    let decode = |form: &str| Transfer::decode(&hex::decode(form).unwrap());
    let address = "5500".to_owned() + &"11".repeat(20);
    let good = format!("a262746f{address}66616d6f756e744107");
    assert_eq!(decode(&good).unwrap().amount, Quantity::new(7));
    // A leading zero, 17 bytes, a field out of order, twice, missing, unknown; bytes that follow.
    let bad = [
        format!("a262746f{address}66616d6f756e74420007"),
        format!("a262746f{address}66616d6f756e7451{}", "01".repeat(17)),
        format!("a266616d6f756e74410762746f{address}"),
        format!("a262746f{address}62746f{address}"),
        format!("a162746f{address}"),
        format!("a362746f{address}66616d6f756e744107677570776172647301"),
        format!("{good}00"),
        format!(
            "a262746f{}66616d6f756e744107",
            "54".to_owned() + &"11".repeat(20)
        ),
    ];
    for form in bad {
        assert!(decode(&form).is_err(), "{form}");
    }
    // A field that is there although it is empty.
    let allow = Allow {
        beneficiary: Address::from_bytes([1; 21]),
        negative: false,
        amount_change: Quantity::ZERO,
    };
    let mut form = allow.encode();
    assert_eq!(Allow::decode(&form), Ok(allow));
    form[0] = 0xa3;
    form.splice(1..1, b"\x68negative\xf4".iter().copied());
    assert!(Allow::decode(&form).is_err());
}

#[test]
fn quantities_do_not_wrap() {
    let q = |units: u128| Quantity::new(units);
    assert_eq!(Quantity::MAX.plus(q(1)), None);
    assert_eq!(q(3).minus(q(4)), None);
    assert_eq!(Quantity::MAX.times(q(2)), None);
    assert_eq!(Quantity::MAX.times_over(q(2), q(2)), Some(Quantity::MAX));
    assert_eq!(Quantity::MAX.times_over(q(3), q(2)), None);
    assert_eq!(q(1).times_over(q(1), q(0)), None);
    assert_eq!(
        Quantity::MAX.times_over(Quantity::MAX, Quantity::MAX),
        Some(Quantity::MAX)
    );
    assert_eq!(q(7).times_over(q(3), q(2)), Some(q(10)));
}

#[test]
fn a_signed_transaction_counts_for_one_network() {
    let key = SecretKey::from_seed([9; 32]);
    let chain = Hash::of(b"one");
    let transaction = Transaction {
        nonce: 7,
        fee: Some(Fee {
            amount: 10u64.into(),
            gas: 5,
        }),
        method: "staking.Burn".into(),
        body: RawItem(vec![0xa0]),
    };
    let signed = transaction.sign(&key, &chain);
    let bytes = signed.encode();
    assert!(bytes.starts_with(b"\xa2\x69signature"));
    assert_eq!(Signed::decode(&bytes), Ok(signed.clone()));
    let context = SignatureContext::RootTransaction;
    let raw = signed.open(context, &chain).unwrap();
    assert_eq!(Transaction::decode(raw), Ok(transaction.clone()));
    let elsewhere = signed.open(context, &Hash::of(b"two"));
    assert_eq!(elsewhere, Err(SignatureError::Invalid));
    let other = signed.open(SignatureContext::RegisterEntity, &chain);
    assert_eq!(other, Err(SignatureError::Invalid));
    // The order of fields: by length, then by bytes.
    let expected = b"\xa4\x63fee\xa2\x63gas\x05\x66amount\x41\x0a\x64body\xa0\x65nonce\x07\x66method\x6cstaking.Burn";
    assert_eq!(transaction.encode(), expected);
    assert_eq!(transaction.gas_price(), Quantity::new(2));
}

#[test]
fn every_signature_of_a_multi_signed_statement_counts() {
    let keys = [SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32])];
    let (chain, context) = (Hash::EMPTY, SignatureContext::RegisterNode);
    let signed = MultiSigned::sign(&[&keys[0], &keys[1]], context, &chain, b"raw".to_vec());
    assert_eq!(MultiSigned::decode(&signed.encode()), Ok(signed.clone()));
    assert_eq!(signed.open(context, &Hash::of(b"any")), Ok(&b"raw"[..]));
    assert!(signed.is_signed_by(&keys[1].public()));
    let mut forged = signed.clone();
    forged.signatures[1].public_key = SecretKey::from_seed([3; 32]).public();
    assert_eq!(forged.open(context, &chain), Err(SignatureError::Invalid));
}

#[test]
fn services_come_back() {
    let mut services = Services::default();
    assert_eq!(Services::decode(&services.encode()), Ok(services.clone()));
    services.staking.total_supply = 5u64.into();
    services.staking.common_pool = 5u64.into();
    services.transactions.min_gas_price = 1;
    assert_eq!(Services::decode(&services.encode()), Ok(services.clone()));
    let staking = services.staking;
    assert_eq!(StakingGenesis::decode(&staking.encode()), Ok(staking));
}

proptest! {
    #[test]
    fn products_over_divisors_are_those_of_big_numbers(
        one in any::<u128>(), other in any::<u64>(), divisor in 1..u64::MAX
    ) {
        // (q d + r) o / d = q o + r o / d
        let (whole, rest) = (one / u128::from(divisor), one % u128::from(divisor));
        let expected = whole.checked_mul(other.into()).and_then(|product| {
            product.checked_add(rest * u128::from(other) / u128::from(divisor))
        });
        let found = Quantity::new(one).times_over(other.into(), divisor.into());
        prop_assert_eq!(found.map(Quantity::units), expected);
    }

    #[test]
    fn wide_products_come_back(one in any::<u128>(), other in 1u128..) {
        let (one, other) = (Quantity::new(one), Quantity::new(other));
        prop_assert_eq!(one.times_over(other, other), Some(one));
        prop_assert_eq!(other.times_over(one, other), Some(one));
    }

    #[test]
    fn quantities_come_back(units in any::<u128>()) {
        let quantity = Quantity::new(units);
        prop_assert_eq!(Quantity::from_bytes(&quantity.to_bytes()), Some(quantity));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (Signed::decode(&bytes), MultiSigned::decode(&bytes));
        let _ = (Account::decode(&bytes), StakingGenesis::decode(&bytes));
        let decoded = Transaction::decode(&bytes);
        prop_assert!(decoded.is_err() || decoded.unwrap().encode() == bytes);
    }
}
