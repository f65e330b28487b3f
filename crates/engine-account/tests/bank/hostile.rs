//! Programs that lie, loop, recurse, exhaust and write where they may not: halted at the bound,
//! charged, rolled back, and the network goes on. Under the oldest rules and under today's.

use solana_account::Account as Given;
use solana_instruction::error::InstructionError as Error;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader_upgradeable, system_program, sysvar};
use trilith_engine_account::Profile;

use super::actor::{
    ACTOR, FOREIGN, FULL, OTHER, OWNED, PROFILES, Script, bare, failed, file, program, stage,
};
use super::harness::{Network, SOL};
use super::sbpf::{FILE, HEAP, INPUT, Program};
use super::wire::{create, key, keypair, transaction, transfer};

const PROBE: Pubkey = Pubkey::new_from_array([0xc1; 32]);

/// Sends a transaction that must fail and leave nothing but its fee, and shows that the network
/// goes on. A good instruction comes first.
fn fails(network: &mut Network, bad: Instruction) -> (Error, u64, Vec<String>) {
    let alice = keypair(10);
    // Another blockhash, so that nothing is taken for what was sent before.
    network.pass(1);
    let keys = [OWNED, FULL, FOREIGN, PROBE];
    let before = keys.map(|key| network.account(&key));
    let paid = network.balance(&key(&alice));
    let good = Script::default().write(0, 0, 9).on(&[(FULL, true)]);
    let good_units = network.send(
        &[good.clone(), Script::default().status(1).on(&[])],
        &[&alice],
    );
    assert_eq!(good_units.status, failed(1, Error::Custom(1)));
    let record = network.send(&[good, bad], &[&alice]);
    let Err(solana_transaction_error::TransactionError::InstructionError(1, error)) = record.status
    else {
        panic!("{:?}: {:#?}", record.status, record.logs);
    };
    assert_eq!(keys.map(|key| network.account(&key)), before);
    assert_eq!(network.balance(&key(&alice)), paid - 2 * 5_000);
    let bob = key(&keypair(11));
    let had = network.balance(&bob);
    network.succeed(&[transfer(&key(&alice), &bob, SOL / 100)], &[&alice]);
    assert_eq!(network.balance(&bob), had + SOL / 100);
    (error, record.units, record.logs)
}

/// A number of units that a failing instruction and the good one before it may use.
const MOST_UNITS: u64 = 2 * 200_000;

#[test]
fn programs_that_do_not_end_are_halted() {
    let endless = Program::default().op(0x05, 0, 0, -1, 0).finish();
    let logs = Program::default()
        .address_of(6, b"all work and no play")
        .op(0xbf, 1, 6, 0, 0)
        .set(2, 20)
        .call("sol_log_")
        .op(0x05, 0, 0, -5, 0)
        .finish();
    let calls = Program::default()
        .op(0xb7, 0, 0, 0, 0)
        .op(0x85, 0, 1, 0, -2)
        .finish();
    for profile in PROFILES {
        for file in [&endless, &logs, &calls] {
            let mut network = stage(profile, vec![(PROBE, program(file.clone()))]);
            let (error, units, lines) = fails(&mut network, bare(PROBE));
            let is_bound = [
                Error::ProgramFailedToComplete,
                Error::ComputationalBudgetExceeded,
            ]
            .contains(&error);
            assert!(is_bound, "{profile:?}: {error}");
            assert!(
                (200_000..=MOST_UNITS).contains(&units),
                "{profile:?}: {units}"
            );
            let bytes: usize = lines.iter().map(String::len).sum();
            assert!(bytes < 11_000, "{bytes} bytes of log");
        }
        let mut network = stage(profile, vec![(PROBE, program(logs.clone()))]);
        let (_, _, lines) = fails(&mut network, bare(PROBE));
        assert_eq!(lines.last().expect("a line"), "Log truncated");
    }
}

#[test]
fn recursion_is_halted_within_programs_and_between_them() {
    for profile in PROFILES {
        let mut network = stage(profile, Vec::new());
        let deep = Script::default().recurse(100).on(&[]);
        let (error, _, lines) = fails(&mut network, deep);
        assert_eq!(error, Error::ProgramFailedToComplete);
        let told = lines.iter().any(|line| line.contains("depth"));
        assert!(told, "{lines:?}");
        let mut nested = Script::default();
        for _ in 0..5 {
            nested = Script::default().invoke(0, &[(0, false, false)], &nested.0);
        }
        let (error, _, _) = fails(&mut network, nested.on(&[(ACTOR, false)]));
        assert_eq!(error, Error::CallDepth);
        // Coming back to a program through another is refused at once.
        let back = Script::default().invoke(0, &[(0, false, false)], &[]);
        let through = Script::default().invoke(1, &[(0, false, false)], &back.0);
        let accounts = [(ACTOR, false), (OTHER, false)];
        let (error, _, _) = fails(&mut network, through.on(&accounts));
        assert_eq!(error, Error::ReentrancyNotAllowed);
    }
}

/// Programs that are run often are run on short stacks at first, and on long ones if those do not
/// do. One of the two replicas has no short ones.
#[test]
fn programs_that_are_run_often_go_as_deep_as_ever() {
    let mut network = stage(Profile::Today, Vec::new());
    let alice = keypair(10);
    let accounts = [(OTHER, false)];
    let nested = |script: Script| Script::default().invoke(0, &[], &script.0).on(&accounts);
    for _ in 0..20 {
        network.pass(1);
        network.succeed(&[nested(Script::default().recurse(1))], &[&alice]);
    }
    // A frame of 4 KiB and a gap of the same length, as often as calls may be nested.
    let frame = |number: u64| 0x2_0000_0000 + number * 0x2000 + 8;
    let mut ends = [0, 0];
    for depth in [2, 3, 5, 6, 7, 8, 9, 30, 59, 60, 61, 62, 63, 64, 70] {
        for script in [
            Script::default().recurse(depth),
            Script::default().store(frame(depth), 7),
        ] {
            for call in [script.clone().on(&accounts), nested(script)] {
                network.pass(1);
                let record = network.send(&[call], &[&alice]);
                if depth <= 59 {
                    assert_eq!(record.status, Ok(()), "{depth}: {:#?}", record.logs);
                } else if depth >= 64 {
                    let error = Error::ProgramFailedToComplete;
                    assert_eq!(record.status, failed(0, error), "{depth}");
                }
                ends[usize::from(record.status.is_ok())] += 1;
            }
        }
    }
    assert!(ends.iter().all(|count| *count >= 8), "{ends:?}");
}

/// A chain may be short and have many links: a transaction runs at most 64 instructions, those that
/// programs call included.
#[test]
fn calls_side_by_side_are_halted_too() {
    let mut network = stage(Profile::Today, Vec::new());
    let accounts = [(OTHER, false)];
    let many = |count: usize| {
        let calls = (0..count).fold(Script::default(), |script, _| script.invoke(0, &[], &[]));
        calls.on(&accounts)
    };
    let alice = keypair(10);
    let limit = super::wire::unit_limit(1_400_000);
    // The limit and the script itself are two of the 64.
    network.succeed(&[limit.clone(), many(62)], &[&alice]);
    let record = network.send(&[limit, many(63)], &[&alice]);
    let error = Error::MaxInstructionTraceLengthExceeded;
    assert_eq!(record.status, failed(1, error), "{:?}", record.logs);
    assert_eq!(record.fee, 5_000);
}

/// Requests for memory that nobody may have.
#[test]
fn heaps_of_other_sizes_are_refused() {
    let mut network = stage(Profile::Today, Vec::new());
    let alice = keypair(10);
    let heap = |bytes: u32| {
        let data = [&[1][..], &bytes.to_le_bytes()].concat();
        Instruction::new_with_bytes(solana_sdk_ids::compute_budget::ID, &data, Vec::new())
    };
    let touch = |at: u64| Script::default().heap(at).on(&[]);
    for bytes in [0, 1, 31 * 1_024, 32 * 1_024 + 1, 257 * 1_024, u32::MAX] {
        let request = [heap(bytes), touch(0)];
        let bytes = transaction(&request, &[&alice], network.blockhash());
        let told = network.refusal(&bytes);
        assert!(
            told.contains("Instruction 0: invalid instruction data"),
            "{told}"
        );
    }
    let most = 256 * 1_024;
    network.succeed(&[heap(most), touch(u64::from(most) - 1)], &[&alice]);
    let record = network.send(&[heap(most), touch(u64::from(most))], &[&alice]);
    assert_eq!(record.status, failed(1, Error::ProgramFailedToComplete));
}

#[test]
fn memory_that_is_not_the_programs_is_out_of_reach() {
    // 8 bytes of data: where the spare room of the only account ends, and the input with it.
    let input_end = INPUT + 8 + 88 + 8 + 10_240 + 8 + 8 + 64 + 32;
    let addresses = [
        0,
        FILE,
        FILE + 0x1000,
        HEAP + 32 * 1_024,
        HEAP - 8,
        INPUT - 8,
        input_end + 64,
        1 << 36,
        u64::MAX - 7,
    ];
    for profile in PROFILES {
        let mut network = stage(profile, Vec::new());
        for address in addresses {
            let script = Script::default().store(address, 7);
            let (error, _, _) = fails(&mut network, script.on(&[(OWNED, true)]));
            let is_violation = [Error::ProgramFailedToComplete, Error::InvalidRealloc];
            assert!(
                is_violation.contains(&error),
                "{profile:?}, {address:#x}: {error}"
            );
        }
        let last = Script::default().heap(32 * 1_024 - 1);
        network.succeed(&[last.on(&[])], &[&keypair(10)]);
        let (error, _, _) = fails(&mut network, Script::default().heap(32 * 1_024).on(&[]));
        assert_eq!(error, Error::ProgramFailedToComplete);
        let privileges = Script::default().invoke(1, &[(0, true, true)], &[]);
        let accounts = [(OWNED, false), (OTHER, false)];
        let (error, _, _) = fails(&mut network, privileges.on(&accounts));
        assert_eq!(error, Error::PrivilegeEscalation);
    }
}

#[test]
fn lengths_that_are_lies_are_refused() {
    for profile in PROFILES {
        let mut network = stage(profile, Vec::new());
        for len in [8 + 10_241, 11 * 1_024 * 1_024, u64::MAX] {
            let script = Script::default().len(0, len);
            let (error, _, _) = fails(&mut network, script.on(&[(OWNED, true)]));
            assert_eq!(error, Error::InvalidRealloc, "{profile:?}, {len}");
        }
    }
}

/// A buffer of the upgradeable loader with a program file, which Alice may deploy.
fn buffer(file: &[u8]) -> Given {
    let mut data = vec![1, 0, 0, 0, 1];
    data.extend(key(&keypair(10)).as_ref());
    data.extend(file);
    Given {
        lamports: SOL,
        data,
        owner: bpf_loader_upgradeable::ID,
        executable: false,
        rent_epoch: u64::MAX,
    }
}

/// The transaction with which Alice deploys a buffer, and the program's key.
fn deploy(network: &Network, buffer: Pubkey, number: u16, len: usize) -> (Vec<u8>, Pubkey) {
    let (alice, new) = (keypair(10), keypair(number));
    let loader = bpf_loader_upgradeable::ID;
    let (data, _) = Pubkey::find_program_address(&[key(&new).as_ref()], &loader);
    let bytes = [&2u32.to_le_bytes()[..], &(len as u64).to_le_bytes()].concat();
    let deploy = Instruction::new_with_bytes(
        loader,
        &bytes,
        vec![
            AccountMeta::new(key(&alice), true),
            AccountMeta::new(data, false),
            AccountMeta::new(key(&new), false),
            AccountMeta::new(buffer, false),
            AccountMeta::new_readonly(sysvar::rent::ID, false),
            AccountMeta::new_readonly(sysvar::clock::ID, false),
            AccountMeta::new_readonly(system_program::ID, false),
            AccountMeta::new_readonly(key(&alice), true),
        ],
    );
    let made = create(&key(&alice), &key(&new), SOL / 100, 36, &loader);
    let bytes = transaction(&[made, deploy], &[&alice, &new], network.blockhash());
    (bytes, key(&new))
}

fn long(file: &[u8], at: usize) -> usize {
    let bytes: [u8; 8] = file[at..at + 8].try_into().expect("8 bytes");
    usize::try_from(u64::from_le_bytes(bytes)).expect("it fits")
}

/// A file that is in order, and places in it.
struct Good {
    file: Vec<u8>,
    sections: usize,
    rodata: usize,
    text: usize,
    relocation: usize,
}

impl Good {
    fn new() -> Self {
        let file = Program::default()
            .address_of(1, b"hello")
            .set(2, 5)
            .call("sol_log_")
            .finish();
        let sections = long(&file, 40);
        let place = |index: usize| long(&file, sections + index * 64 + 24);
        let [rodata, text, relocation] = [1, 2, 5].map(place);
        Self {
            file,
            sections,
            rodata,
            text,
            relocation,
        }
    }

    fn changed(&self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut file = self.file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    }
}

/// Files that say what is not so, each with what is wrong.
fn lies() -> Vec<(&'static str, Vec<u8>)> {
    let good = Good::new();
    [of_heads(&good), of_sections(&good), of_code()]
        .into_iter()
        .flatten()
        .collect()
}

fn of_heads(good: &Good) -> Vec<(&'static str, Vec<u8>)> {
    let len = good.file.len();
    let changed = |at: usize, bytes: &[u8]| good.changed(at, bytes);
    let huge = u64::MAX.to_le_bytes();
    vec![
        ("nothing", Vec::new()),
        ("half a head", good.file[..40].to_vec()),
        ("no table of sections", good.file[..good.sections].to_vec()),
        ("half a table of sections", good.file[..len - 100].to_vec()),
        ("another magic", changed(0, b"\x7fELG")),
        ("32 bits", changed(4, &[1])),
        ("big endian", changed(5, &[2])),
        ("another machine", changed(18, &62u16.to_le_bytes())),
        ("not a shared object", changed(16, &2u16.to_le_bytes())),
        (
            "an entry before the code",
            changed(24, &(good.rodata as u64).to_le_bytes()),
        ),
        (
            "an entry after the code",
            changed(24, &(len as u64).to_le_bytes()),
        ),
        (
            "an entry within an instruction",
            changed(24, &(good.text as u64 + 4).to_le_bytes()),
        ),
        ("a huge entry", changed(24, &huge)),
        ("a table of sections far away", changed(40, &huge)),
        ("a thousand sections", changed(60, &1_000u16.to_le_bytes())),
        (
            "names in a section that is not there",
            changed(62, &99u16.to_le_bytes()),
        ),
        (
            "a version that is not in force",
            changed(48, &9u32.to_le_bytes()),
        ),
    ]
}

fn of_sections(good: &Good) -> Vec<(&'static str, Vec<u8>)> {
    let changed = |at: usize, bytes: &[u8]| good.changed(at, bytes);
    let section = |index: usize, field: usize| good.sections + index * 64 + field;
    let (rodata, text, relocation) = (good.rodata, good.text, good.relocation);
    let huge = u64::MAX.to_le_bytes();
    vec![
        ("code of a huge length", changed(section(2, 32), &huge)),
        ("code far away", changed(section(2, 24), &huge)),
        ("code at a huge address", changed(section(2, 16), &huge)),
        (
            "code over read-only data",
            changed(section(2, 24), &(rodata as u64).to_le_bytes()),
        ),
        (
            "read-only data of a huge length",
            changed(section(1, 32), &huge),
        ),
        (
            "a relocation of a symbol that is not there",
            changed(relocation + 12, &[9, 0, 0, 0]),
        ),
        (
            "a relocation of an unknown kind",
            changed(relocation + 8, &[99, 0, 0, 0]),
        ),
        ("a relocation far away", changed(relocation, &huge)),
        ("an instruction that is none", changed(text, &[0xff])),
    ]
}

fn of_code() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "a call of what is not there",
            Program::default().call("sol_no_such_").finish(),
        ),
        (
            "a jump out of the code",
            Program::default().op(0x05, 0, 0, 999, 0).finish(),
        ),
        (
            "a call out of the code",
            Program::default().op(0x85, 0, 1, 0, 999).finish(),
        ),
        (
            "a register that is not there",
            Program::default().op(0xbf, 12, 0, 0, 0).finish(),
        ),
        (
            "division by zero",
            Program::default().op(0x37, 1, 0, 0, 0).finish(),
        ),
        (
            "half a wide number",
            Program::default().op(0x18, 1, 0, 0, 0).file(),
        ),
        ("no code", Program::default().file()),
    ]
}

#[test]
fn files_that_lie_are_neither_deployed_nor_run() {
    for profile in PROFILES {
        let lies = lies();
        let place = |first: u8, index: usize| {
            let mut key = [first; 32];
            key[1] = u8::try_from(index).expect("few");
            Pubkey::new_from_array(key)
        };
        let further = lies
            .iter()
            .enumerate()
            .flat_map(|(index, (_, file))| {
                let run = (place(0xd1, index), program(file.clone()));
                [(place(0xd0, index), buffer(file)), run]
            })
            .collect();
        let mut network = stage(profile, further);
        let alice = keypair(10);
        for (index, (what, file)) in lies.iter().enumerate() {
            let at = place(0xd0, index);
            let (bytes, new) = deploy(&network, at, 100 + index as u16, file.len().max(1));
            let record = network.send_bytes(&bytes);
            let refused = failed(1, Error::InvalidAccountData);
            assert_eq!(record.status, refused, "{profile:?}: {what} was deployed");
            assert_eq!(network.account(&new), None, "{what}");
            assert!(network.account(&at).is_some(), "{what}");
            let record = network.send(&[bare(place(0xd1, index))], &[&alice]);
            // A call of what is not there is found when it is made.
            let unusable = failed(0, Error::UnsupportedProgramId);
            let failure = failed(0, Error::ProgramFailedToComplete);
            let is_halted = record.status == unusable || record.status == failure;
            assert!(is_halted, "{profile:?}: {what} ran: {:?}", record.status);
            assert_eq!(record.fee, 5_000, "{what}");
        }
        let bob = key(&keypair(11));
        network.succeed(&[transfer(&key(&alice), &bob, SOL / 100)], &[&alice]);
    }
}

#[test]
fn files_with_flipped_bits_do_no_harm() {
    let good = file();
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut next = |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % bound as u64).expect("it fits")
    };
    let mut further = Vec::new();
    for index in 0..120u8 {
        let mut flipped = good.clone();
        for _ in 0..=next(4) {
            // Half of the flips hit what describes the file, which is the smaller part.
            let at = match next(2) {
                0 => next(176),
                _ => next(good.len()),
            };
            flipped[at] ^= 1 << next(8);
        }
        let mut key = [0xd2; 32];
        key[1] = index;
        further.push((Pubkey::new_from_array(key), program(flipped)));
    }
    let keys: Vec<Pubkey> = further.iter().map(|(key, _)| *key).collect();
    for profile in PROFILES {
        let mut network = stage(profile, further.clone());
        let alice = keypair(10);
        let blockhash = network.blockhash();
        let script = || Script::default().write(0, 0, 9).log(40).spin(100);
        let batch: Vec<Vec<u8>> = keys
            .iter()
            .map(|program| {
                let run = script().for_program(*program, &[(OWNED, true)]);
                transaction(&[run], &[&alice], blockhash)
            })
            .collect();
        // Both replicas agree on what each of them did.
        let receipts = network.round(&batch);
        let statuses = Network::statuses(&receipts);
        let charged = statuses.iter().flatten().count();
        assert_eq!(charged, batch.len());
        let changed = network.account(&OWNED).expect("it exists");
        assert_eq!(changed.data, [0; 8], "it belongs to none of them");
    }
}
