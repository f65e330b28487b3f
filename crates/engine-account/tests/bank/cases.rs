//! Random programs and scripts that run in the classic profile and in the runtime it is modelled
//! on. Both sides make the same ones from these lines.
//!
//! Three differences are intended, and cases keep away from them. The classic profile takes 100
//! units for a short line of a log, as the chapter says, where the code of the time takes one a
//! byte; it takes 100 for logging what remains, where that was free; and it charges for programs
//! that are passed on to other programs, as today. Where a program fails as a whole, only the
//! verdict is compared: today's machine then uses up the budget.
//!
//! It must not know the engine: the other side has other crates.

use super::sbpf::{self, Program};

/// Raw programs.
pub const PROGRAMS: usize = 1_000;
/// Scripts for the actor.
pub const SCRIPTS: usize = 1_500;

/// Keys of the accounts that scripts name by position: the actor, its twin, and accounts of the
/// actor (zero, not zero) and of the twin.
pub const KEYS: [[u8; 32]; 5] = [[0xa1; 32], [0xa2; 32], [0xb1; 32], [0xb2; 32], [0xb3; 32]];

/// The key of the own program of a case.
pub fn key(case: usize) -> [u8; 32] {
    let mut key = [0xe0; 32];
    key[..8].copy_from_slice(&(case as u64).to_be_bytes());
    key
}

/// The data of an instruction and its accounts, each with whether it is written.
pub type Call = (Vec<u8>, Vec<(usize, bool)>);

/// What one side runs.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file of its own program, if it has one.
    pub file: Option<Vec<u8>>,
    /// The instructions, all for the same program.
    pub instructions: Vec<Call>,
    /// What it requests: then the budget runs over the whole transaction.
    pub units: Option<u32>,
}

struct Random(u64);

impl Random {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// A number of any size.
    fn number(&mut self) -> u64 {
        let bits = self.below(65);
        if bits == 0 {
            0
        } else {
            self.next() >> (64 - bits)
        }
    }
}

/// The cases, in their order.
pub fn all() -> Vec<Case> {
    let programs = (0..PROGRAMS).map(|index| program(&mut Random(index as u64)));
    let scripts = (0..SCRIPTS).map(|index| script(&mut Random(1 << 32 | index as u64)));
    programs.chain(scripts).collect()
}

/// What a case is told to have come to: a line that both sides write. Units are told where the
/// program did not fail as a whole, because a failure uses up the budget in one of them.
pub fn line(status: &str, logs: &[String]) -> String {
    let consumed: Vec<&str> = logs
        .iter()
        .filter_map(|line| line.strip_suffix(" compute units"))
        .filter_map(|line| line.split(" consumed ").nth(1)?.split(' ').next())
        .collect();
    if status.contains("ProgramFailedToComplete") {
        return status.to_owned();
    }
    let mut told = format!("{status} {}", consumed.join(","));
    if status == "Ok(())" {
        // FNV-1a over the log.
        let own = logs
            .iter()
            .filter(|line| !line.contains("ComputeBudget111"));
        let hash = own
            .flat_map(|line| line.bytes())
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
        told.push_str(&format!(" {hash:016x}"));
    }
    told
}

fn program(random: &mut Random) -> Case {
    let mut text = vec![b'x'; 200];
    text[0] = b'a' + random.below(26) as u8;
    // Register 9 holds the address of the text and 8 counts loops; the rest is random.
    let mut program = Program::default().address_of(9, &text);
    for register in 0..8 {
        program = program.set(register, random.number());
    }
    for _ in 0..=random.below(6) {
        program = if random.one_in(3) {
            looped(program, random)
        } else {
            stretch(program, random)
        };
    }
    let file = if random.one_in(8) {
        program
            .op(0xb7, 0, 0, 0, random.below(70_000) as i32)
            .op(0x95, 0, 0, 0, 0)
            .file()
    } else {
        program.finish()
    };
    let count = if random.one_in(4) { 2 } else { 1 };
    Case {
        file: Some(file),
        instructions: vec![(Vec::new(), Vec::new()); count],
        units: random.one_in(3).then(|| random.below(400_000) as u32),
    }
}

/// A loop of a few instructions, seldom one that exceeds the budget.
fn looped(program: Program, random: &mut Random) -> Program {
    let times = if random.one_in(10) {
        random.below(200_000)
    } else {
        random.below(300)
    };
    let body = 1 + random.below(5);
    let mut program = program.op(0xb7, 8, 0, 0, times as i32 + 1);
    for _ in 0..body {
        program = operation(program, random);
    }
    program
        .op(0x17, 8, 0, 0, 1)
        .op(0x55, 8, 0, -(body as i16) - 2, 0)
}

/// Instructions one after the other, with jumps forward among them.
fn stretch(program: Program, random: &mut Random) -> Program {
    let len = 4 + random.below(20);
    let mut program = program;
    for index in 0..len {
        let left = len - index - 1;
        program = match random.below(12) {
            0 if left > 0 => jump(program, random, left),
            _ => operation(program, random),
        };
    }
    if random.one_in(2) {
        program = call(program, random);
    }
    program
}

fn jump(program: Program, random: &mut Random, left: u64) -> Program {
    let kind = random.pick(&[
        0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0,
    ]);
    let by_register = random.one_in(2);
    let opcode = kind | 5 | if by_register { 8 } else { 0 };
    let (left_register, right) = (random.below(8) as u8, random.below(8) as u8);
    let offset = random.below(left + 1) as i16;
    let number = if by_register { 0 } else { random.next() as i32 };
    let right = if by_register { right } else { 0 };
    program.op(opcode, left_register, right, offset, number)
}

/// One instruction of arithmetic or memory.
fn operation(program: Program, random: &mut Random) -> Program {
    let (to, from) = (random.below(8) as u8, random.below(8) as u8);
    let number = random.next() as i32;
    if random.one_in(4) {
        return memory(program, random, to, from);
    }
    let class = random.pick(&[0x04, 0x07]);
    let bits = if class == 4 { 32 } else { 64 };
    let kind = random.pick(&[
        0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0,
    ]);
    match kind {
        0x80 => program.op(class | kind, to, 0, 0, 0),
        // Byte order: one class only.
        0xd0 => {
            let opcode = random.pick(&[0xd4, 0xdc]);
            program.op(opcode, to, 0, 0, random.pick(&[16, 32, 64]))
        }
        // Division by a register fails in one of many.
        0x30 | 0x90 if random.one_in(12) => program.op(class | kind | 8, to, from, 0, 0),
        0x30 | 0x90 => program.op(class | kind, to, 0, 0, number | 1),
        0x60 | 0x70 | 0xc0 if random.one_in(3) => program.op(class | kind | 8, to, from, 0, 0),
        0x60 | 0x70 | 0xc0 => program.op(class | kind, to, 0, 0, number.rem_euclid(bits)),
        _ if random.one_in(2) => program.op(class | kind | 8, to, from, 0, 0),
        _ => program.op(class | kind, to, 0, 0, number | 1),
    }
}

/// Writes the stack or reads what the program itself wrote there or zeros.
fn memory(program: Program, random: &mut Random, to: u8, from: u8) -> Program {
    let offset = -8 * (1 + random.below(32) as i16);
    let offset = if random.one_in(200) { 512 } else { offset };
    let width = random.pick(&[0x00, 0x08, 0x10, 0x18]);
    match random.below(3) {
        0 => program.op(0x61 | width, to, 10, offset, 0),
        1 => program.op(0x63 | width, 10, from, offset, 0),
        _ => program.op(0x62 | width, 10, 0, offset, random.next() as i32),
    }
}

/// A call of the system. Registers that it may change are set again.
fn call(program: Program, random: &mut Random) -> Program {
    let mut program = match random.below(3) {
        0 => program
            .op(0xbf, 1, 9, 0, 0)
            .op(0xb7, 2, 0, 0, 100 + random.below(101) as i32)
            .call("sol_log_"),
        1 => program.call("sol_log_64_"),
        _ => program.op(0xbf, 1, 9, 0, 0).call("sol_log_pubkey"),
    };
    for register in 0..6 {
        program = program.op(0xb7, register, 0, 0, random.next() as i32);
    }
    program
}

fn script(random: &mut Random) -> Case {
    let accounts = |random: &mut Random| -> Vec<(usize, bool)> {
        // The twin, so that it can be called, and two of the others.
        let mut others = [2, 3, 4];
        let first = random.below(3) as usize;
        others.swap(0, first);
        vec![
            (1, false),
            (others[0], !random.one_in(4)),
            (others[1], !random.one_in(4)),
        ]
    };
    let count = 1 + random.below(3) as usize;
    Case {
        file: None,
        instructions: (0..count)
            .map(|_| {
                let accounts = accounts(random);
                (actions(random, true), accounts)
            })
            .collect(),
        units: random
            .one_in(3)
            .then(|| random.below(100_000) as u32 + 1_000),
    }
}

/// Actions of a script. One of an instruction may call the twin, which gets two accounts and no
/// program: today's runtime charges for programs that are passed on, the older one does not.
fn actions(random: &mut Random, is_caller: bool) -> Vec<u8> {
    let mut script = Vec::new();
    let first = u8::from(is_caller);
    for _ in 0..random.below(6) {
        let account = first + random.below(2) as u8;
        match random.below(12) {
            0 | 1 if is_caller => {
                let inner = actions(random, false);
                script.extend([10, 0, 2, 1, flags(random), 2, flags(random)]);
                script.extend((inner.len() as u16).to_le_bytes());
                script.extend(inner);
            }
            2 | 3 => {
                let lamports = random.below(1_000) as i64;
                let other = 2 * first + 1 - account;
                script.push(1);
                script.push(account);
                script.extend(lamports.to_le_bytes());
                script.push(1);
                script.push(other);
                let left = i64::from(random.one_in(12));
                script.extend((left - lamports).to_le_bytes());
            }
            4 | 5 => {
                script.extend([2, account]);
                script.extend((random.below(8) as u32).to_le_bytes());
                script.push(random.below(3) as u8);
            }
            6 if random.one_in(4) => {
                script.extend([4, account]);
                script.extend([random.pick(&[0xa1, 0xa2]); 32]);
            }
            7 | 8 => operand(&mut script, 8, 100 + random.below(200)),
            9 => {
                let times = if random.one_in(8) { 150_000 } else { 500 };
                operand(&mut script, 9, random.below(times));
            }
            10 => operand(&mut script, 12, random.number()),
            11 if random.one_in(3) => operand(&mut script, 15, random.below(70)),
            11 => script.extend([14, random.below(256) as u8]),
            _ => script.extend([13, account]),
        }
    }
    if random.one_in(15) {
        operand(&mut script, 11, random.below(5));
    }
    script
}

/// Whether an account that is passed on is written: as a caller may pass it, or not.
fn flags(random: &mut Random) -> u8 {
    if random.one_in(3) { 0 } else { 2 }
}

fn operand(script: &mut Vec<u8>, action: u8, number: u64) {
    script.push(action);
    script.extend(number.to_le_bytes());
}

/// The file of the actor and its twin.
pub fn actor() -> Vec<u8> {
    sbpf::link(include_bytes!("../programs/actor.o"))
}
