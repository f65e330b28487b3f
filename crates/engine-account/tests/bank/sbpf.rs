//! Makes program files: from instructions written one by one, or from an object that clang made.
//!
//! A file is what loaders of version 0 take, old and new: a shared object in which every section
//! lies in the file where it lies in memory. Calls of the system are relocations against names.
//! It must not know the engine: the programs run in other runtimes too.
//!
//! Source: ELF-64 object file format; SBPF version 0 as crate `solana-sbpf` 0.21.1 reads it.

/// Where the file lies in the memory of a program.
pub const FILE: u64 = 0x1_0000_0000;
/// Where the heap lies.
pub const HEAP: u64 = 0x3_0000_0000;
/// Where the input lies.
pub const INPUT: u64 = 0x4_0000_0000;

const HEAD: usize = 64;
const PROGRAM_HEADER: usize = 56;
const SECTION_HEADER: usize = 64;
/// Where read-only data begins.
const RODATA: usize = HEAD + 2 * PROGRAM_HEADER;
/// Relocation of a call by name.
const CALL_BY_NAME: u64 = 10;

/// A program under construction.
#[derive(Clone, Debug, Default)]
pub struct Program {
    text: Vec<u8>,
    rodata: Vec<u8>,
    /// Positions in the text of calls by name.
    calls: Vec<(usize, String)>,
    entry: usize,
}

impl Program {
    /// Adds one instruction.
    pub fn op(mut self, opcode: u8, to: u8, from: u8, offset: i16, number: i32) -> Self {
        self.text.extend([opcode, from << 4 | to]);
        self.text.extend(offset.to_le_bytes());
        self.text.extend(number.to_le_bytes());
        self
    }

    /// Sets a register to a number.
    pub fn set(self, to: u8, number: u64) -> Self {
        let low = number as u32 as i32;
        let high = (number >> 32) as u32 as i32;
        self.op(0x18, to, 0, 0, low).op(0, 0, 0, 0, high)
    }

    /// Sets a register to the address of bytes that become part of the file.
    pub fn address_of(mut self, to: u8, bytes: &[u8]) -> Self {
        let offset = self.rodata.len() as u64;
        self.rodata.extend(bytes);
        self.rodata.resize(self.rodata.len().next_multiple_of(8), 0);
        self.set(to, FILE + RODATA as u64 + offset)
    }

    /// Calls the system.
    pub fn call(mut self, name: &str) -> Self {
        self.calls.push((self.text.len(), name.to_owned()));
        self.op(0x85, 0, 1, 0, -1)
    }

    /// Ends the program with success.
    pub fn finish(self) -> Vec<u8> {
        self.op(0xb7, 0, 0, 0, 0).op(0x95, 0, 0, 0, 0).file()
    }

    /// The file.
    pub fn file(&self) -> Vec<u8> {
        let names = Names::new(&self.calls);
        let mut file = vec![0; RODATA];
        file.extend(&self.rodata);
        let text = align(&mut file);
        file.extend(&self.text);
        let symbols = align(&mut file);
        names.put_symbols(&mut file);
        let strings = align(&mut file);
        file.extend(&names.bytes);
        let relocations = align(&mut file);
        for (position, name) in &self.calls {
            let symbol = names.symbol(name) as u64;
            put(
                &mut file,
                &[(text + position) as u64, symbol << 32 | CALL_BY_NAME],
            );
        }
        let dynamic = align(&mut file);
        let relocation_bytes = self.calls.len() * 16;
        let mut entries = vec![
            (6, symbols),
            (5, strings),
            (10, names.bytes.len()),
            (11, 24),
        ];
        if relocation_bytes > 0 {
            entries.extend([(17, relocations), (18, relocation_bytes), (19, 16)]);
        }
        entries.push((0, 0));
        for (tag, value) in &entries {
            put(&mut file, &[*tag, *value as u64]);
        }
        let dynamic_bytes = entries.len() * 16;
        let section_names = align(&mut file);
        file.extend(SECTION_NAMES);
        let sections = align(&mut file);
        file.extend([0; SECTION_HEADER]);
        let symbol_bytes = 24 * (1 + names.offsets.len());
        for row in [
            Row(".rodata", 1, 2, RODATA, text - RODATA, 0, 0),
            Row(".text", 1, 6, text, self.text.len(), 0, 0),
            Row(".dynsym", 11, 2, symbols, symbol_bytes, 4, 24),
            Row(".dynstr", 3, 2, strings, names.bytes.len(), 0, 0),
            Row(".rel.dyn", 9, 2, relocations, relocation_bytes, 3, 16),
            Row(".dynamic", 6, 3, dynamic, dynamic_bytes, 4, 16),
            Row(".shstrtab", 3, 0, section_names, SECTION_NAMES.len(), 0, 0),
        ] {
            row.put(&mut file);
        }
        let mut head = head(text + self.entry, sections);
        segment(&mut head, [1, 5, 0, file.len()]);
        segment(&mut head, [2, 6, dynamic, dynamic_bytes]);
        file[..RODATA].copy_from_slice(&head);
        file
    }
}

/// The names of all sections.
const SECTION_NAMES: &[u8] = b"\0.rodata\0.text\0.dynsym\0.dynstr\0.rel.dyn\0.dynamic\0.shstrtab\0";

/// A section: its name, kind, flags, place, length, the section it belongs to, and the length of
/// its entries.
struct Row(&'static str, u32, u64, usize, usize, u32, u64);

impl Row {
    /// Writes the header.
    fn put(self, file: &mut Vec<u8>) {
        let Self(name, kind, flags, at, len, link, entry) = self;
        let mut names = SECTION_NAMES.windows(name.len());
        let found = names.position(|window| window == name.as_bytes());
        file.extend((found.expect("a name of a section") as u32).to_le_bytes());
        file.extend(kind.to_le_bytes());
        put(file, &[flags, at as u64, at as u64, len as u64]);
        file.extend(link.to_le_bytes());
        // The first symbol that is not local.
        file.extend(u32::from(kind == 11).to_le_bytes());
        put(file, &[8, entry]);
    }
}

fn put(file: &mut Vec<u8>, numbers: &[u64]) {
    file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// Adds the header of a segment, which lies in memory where it lies in the file.
fn segment(head: &mut Vec<u8>, [kind, flags, at, len]: [usize; 4]) {
    head.extend((kind as u32).to_le_bytes());
    head.extend((flags as u32).to_le_bytes());
    put(head, &[at, at, at, len, len, 8].map(|number| number as u64));
}

/// Fills up to a multiple of 8 bytes and gives the length.
fn align(file: &mut Vec<u8>) -> usize {
    file.resize(file.len().next_multiple_of(8), 0);
    file.len()
}

/// The head of a file with its entry and its table of 8 sections.
fn head(entry: usize, sections: usize) -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01\x01".to_vec();
    head.resize(16, 0);
    // A shared object for the machine 247.
    head.extend(3u16.to_le_bytes());
    head.extend(247u16.to_le_bytes());
    head.extend(1u32.to_le_bytes());
    put(&mut head, &[entry as u64, HEAD as u64, sections as u64]);
    head.extend(0u32.to_le_bytes());
    let sizes = [HEAD, PROGRAM_HEADER, 2, SECTION_HEADER, 8, 7];
    head.extend(sizes.iter().flat_map(|size| (*size as u16).to_le_bytes()));
    head
}

/// The names of calls, each once.
struct Names {
    names: Vec<String>,
    offsets: Vec<usize>,
    bytes: Vec<u8>,
}

impl Names {
    fn new(calls: &[(usize, String)]) -> Self {
        let mut names: Vec<String> = calls.iter().map(|(_, name)| name.clone()).collect();
        names.sort();
        names.dedup();
        let mut bytes = vec![0];
        let offsets = names
            .iter()
            .map(|name| {
                let offset = bytes.len();
                bytes.extend(name.as_bytes());
                bytes.push(0);
                offset
            })
            .collect();
        Self {
            names,
            offsets,
            bytes,
        }
    }

    /// Writes the table of symbols: one of no name, then globals without a place.
    fn put_symbols(&self, file: &mut Vec<u8>) {
        file.extend([0; 24]);
        for offset in &self.offsets {
            file.extend((*offset as u32).to_le_bytes());
            file.extend([0x10, 0, 0, 0]);
            put(file, &[0, 0]);
        }
    }

    /// The number of a symbol. The first one has no name.
    fn symbol(&self, name: &String) -> usize {
        1 + self.names.binary_search(name).expect("it was collected")
    }
}

/// Links one object of clang's `bpf` target with its entry at `entrypoint`.
///
/// # Panics
/// If the object asks for more than calls by name and addresses of its read-only data.
pub fn link(object: &[u8]) -> Vec<u8> {
    let object = Object(object);
    let sections = object.sections();
    let find = |name: &str| {
        let found = sections.iter().position(|section| section.name == name);
        found.map(|index| (index, &sections[index]))
    };
    let (text_index, text) = find(".text").expect("an object with code");
    let rodata = find(".rodata");
    let (_, symbols) = find(".symtab").expect("an object with symbols");
    let symbol = |index: usize| object.symbol(symbols, &sections, index);
    let count = symbols.bytes.len() / 24;
    let entry = (0..count)
        .map(symbol)
        .find(|symbol| symbol.name == "entrypoint" && symbol.section == text_index);
    let mut program = Program {
        text: text.bytes.to_vec(),
        rodata: rodata.map_or_else(Vec::new, |(_, section)| section.bytes.to_vec()),
        entry: entry.expect("an object with an entry").value,
        ..Program::default()
    };
    for relocation in find(".rel.text")
        .map_or(&[][..], |(_, section)| section.bytes)
        .chunks(16)
    {
        let (at, info) = (long(relocation, 0) as usize, long(relocation, 8));
        let symbol = symbol((info >> 32) as usize);
        match info as u32 {
            10 if symbol.section == 0 => program.calls.push((at, symbol.name)),
            1 if rodata.is_some_and(|(index, _)| index == symbol.section) => {
                let added = u64::from(word(&program.text, at + 4));
                let address = FILE + (RODATA + symbol.value) as u64 + added;
                program.text[at + 4..at + 8].copy_from_slice(&address.to_le_bytes()[..4]);
                program.text[at + 12..at + 16].copy_from_slice(&address.to_le_bytes()[4..]);
            }
            kind => panic!("relocation {kind} against {}", symbol.name),
        }
    }
    program.file()
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn half(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn text_at(bytes: &[u8], at: usize) -> String {
    let end = bytes[at..].iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[at..at + end.expect("an end")]).into_owned()
}

struct Object<'a>(&'a [u8]);

struct Section<'a> {
    name: String,
    bytes: &'a [u8],
    link: usize,
}

struct Symbol {
    name: String,
    section: usize,
    value: usize,
}

impl<'a> Object<'a> {
    fn sections(&self) -> Vec<Section<'a>> {
        let (table, count) = (long(self.0, 40) as usize, half(self.0, 60));
        let header = |index: usize| &self.0[table + index * SECTION_HEADER..];
        let bytes = |index: usize| {
            let (at, len) = (long(header(index), 24), long(header(index), 32));
            &self.0[at as usize..(at + len) as usize]
        };
        let names = bytes(half(self.0, 62));
        (0..count)
            .map(|index| Section {
                name: text_at(names, word(header(index), 0) as usize),
                bytes: bytes(index),
                link: word(header(index), 40) as usize,
            })
            .collect()
    }

    fn symbol(&self, table: &Section<'_>, sections: &[Section<'_>], index: usize) -> Symbol {
        let entry = &table.bytes[index * 24..];
        Symbol {
            name: text_at(sections[table.link].bytes, word(entry, 0) as usize),
            section: half(entry, 6),
            value: long(entry, 8) as usize,
        }
    }
}
