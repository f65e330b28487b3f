//! Program files, real ones and damaged ones: the loader's part of the harness and our bank must
//! take the same ones.

use protosol::protos::ElfLoaderCtx;
use solana_program_runtime::solana_sbpf::elf::Executable;
use solana_program_runtime::solana_sbpf::verifier::RequisiteVerifier;
use solana_svm::conformance::elf_loader::execute_elf_loader;
use trilith_bench_svm::bank::Bank;
use trilith_bench_svm::cases::{Random, programs};
use trilith_bench_svm::harness::Gates;

const DAMAGED: usize = 3_000;

/// Whether the harness loads a file, with its number for the error, and the verifier takes it.
fn theirs(elf: &[u8], gates: &Gates) -> Result<(), u32> {
    let effects = execute_elf_loader(&ElfLoaderCtx {
        elf_data: elf.to_vec(),
        features: Some(gates.proto().clone()),
        deploy_checks: false,
    });
    if effects.err_code != 0 {
        return Err(effects.err_code);
    }
    let budget = solana_compute_budget::compute_budget::ComputeBudget::new_with_defaults(
        gates.runtime().raise_cpi_nesting_limit_to_8,
    );
    let environment = solana_syscalls::create_program_runtime_environment(
        gates.runtime(),
        &budget.to_budget(),
        false,
        false,
    )
    .expect("system calls can be registered");
    let executable = Executable::load(elf, (*environment).clone()).expect("it was just loaded");
    // The harness does not verify the instructions of a file that it loads.
    executable.verify::<RequisiteVerifier>().map_err(|_| 0)
}

#[test]
fn the_same_files_are_programs() {
    let bank = Bank::new();
    let gates = Gates::of(&bank);
    let rent = solana_rent::Rent::default();
    let spl = solana_program_binaries::spl_programs(&rent);
    let mut files: Vec<Vec<u8>> = programs()
        .into_iter()
        .map(|(_, account)| account.data)
        .collect();
    files.extend(spl.into_iter().map(|(_, account)| {
        let data = solana_account::ReadableAccount::data(&account).to_vec();
        let start = data.windows(4).position(|window| window == b"\x7fELF");
        start.map_or(data.clone(), |start| data[start..].to_vec())
    }));
    files.retain(|file| file.starts_with(b"\x7fELF"));
    assert!(files.len() > 5);
    let mut random = Random(3);
    let mut tally = [0; 3];
    for number in 0..files.len() + DAMAGED {
        let mut file = files[number % files.len()].clone();
        if number >= files.len() {
            damage(&mut file, &mut random);
        }
        let theirs = theirs(&file, &gates);
        let ours = bank.check_program(&file);
        assert_eq!(
            theirs.is_ok(),
            ours.is_ok(),
            "file {number}: {theirs:?} {ours:?}"
        );
        tally[match theirs {
            Ok(()) => 0,
            Err(0) => 1,
            Err(_) => 2,
        }] += 1;
    }
    println!(
        "taken {}, not verified {}, not loaded {}",
        tally[0], tally[1], tally[2]
    );
    assert!(tally.iter().all(|count| *count > 20), "{tally:?}");
}

/// Flips bits, where a file is read first more often, or cuts it off.
fn damage(file: &mut Vec<u8>, random: &mut Random) {
    let len = file.len() as u64;
    for _ in 0..=random.below(3) {
        let at = match random.below(3) {
            0 => random.below(len.min(400)),
            1 => len - 1 - random.below(len.min(1_500)),
            _ => random.below(len),
        };
        file[at as usize] ^= 1 << random.below(8);
    }
    if random.one_in(12) {
        file.truncate(random.below(len) as usize);
    }
}
