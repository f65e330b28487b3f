//! Reports of compute units: what each instruction of each program used, kept as a file that
//! version control can compare, and compared with an earlier one.
//!
//! Figures are read from the logs (`Program … consumed …`), so they cover programs in virtual
//! machines; builtin programs have fixed costs and log none. An instruction is named by the line
//! `Program log: Instruction: …` that most programs log first, otherwise by the first byte of its
//! data. Units include those of the programs it called.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use solana_transaction::versioned::VersionedTransaction;
use trilith_engine_account::record::TransactionRecord;

use super::Local;
use super::error::LocalError;
use super::sent::Sent;

/// Version of the file's format.
const FORMAT: u32 = 1;
/// Most bytes of a file that is read: 16 MiB, above a hundred thousand rows.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Name of the row for whole transactions.
const WHOLE: &str = "(transactions)";

/// What instructions used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitReport {
    rows: BTreeMap<Subject, UnitRow>,
}

/// What a row is about: a program's address and the name of an instruction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// The program's address, or `(transactions)`.
    pub program: String,
    /// The instruction's name, or `#` and the first byte of its data in hexadecimal.
    pub instruction: String,
}

/// What one instruction used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRow {
    /// How often it was called, at any depth.
    pub calls: u64,
    /// Fewest units of a call.
    pub least: u64,
    /// Most units of a call.
    pub most: u64,
    /// Units of all calls.
    pub total: u64,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    rows: Vec<FileRow>,
}

#[derive(Serialize, Deserialize)]
struct FileRow {
    #[serde(flatten)]
    subject: Subject,
    #[serde(flatten)]
    row: UnitRow,
}

impl Local {
    /// Counts units from now on, from zero.
    pub fn count_units(&mut self) {
        self.instance().units = Some(UnitReport::default());
    }

    /// What was counted since [`Local::count_units`].
    pub fn units(&self) -> UnitReport {
        self.instance().units.clone().unwrap_or_default()
    }
}

impl UnitReport {
    /// Adds a transaction.
    pub fn add(&mut self, sent: &Sent) {
        self.add_record(sent.record());
    }

    pub(crate) fn add_record(&mut self, record: &TransactionRecord) {
        let whole = Subject {
            program: WHOLE.to_owned(),
            instruction: String::new(),
        };
        self.count(whole, record.units);
        for (subject, units) in calls(record) {
            self.count(subject, units);
        }
    }

    fn count(&mut self, subject: Subject, units: u64) {
        let row = self.rows.entry(subject).or_insert(UnitRow {
            calls: 0,
            least: u64::MAX,
            most: 0,
            total: 0,
        });
        row.calls += 1;
        row.least = row.least.min(units);
        row.most = row.most.max(units);
        row.total = row.total.saturating_add(units);
    }

    /// The rows, ascending by program and instruction.
    pub fn rows(&self) -> impl Iterator<Item = (&Subject, &UnitRow)> {
        self.rows.iter()
    }

    /// The report as JSON: a row a line, sorted, so that the same figures give the same bytes.
    pub fn to_json(&self) -> String {
        let mut text = format!("{{\n  \"format\": {FORMAT},\n  \"rows\": [");
        for (index, (subject, row)) in self.rows.iter().enumerate() {
            let row = FileRow {
                subject: subject.clone(),
                row: *row,
            };
            let line = serde_json::json!(row);
            let comma = if index == 0 { "" } else { "," };
            text.push_str(&format!("{comma}\n    {line}"));
        }
        text.push_str("\n  ]\n}\n");
        text
    }

    /// Writes [`UnitReport::to_json`] to a file.
    ///
    /// # Errors
    /// [`LocalError::File`] if it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), LocalError> {
        let path = path.as_ref();
        std::fs::write(path, self.to_json()).map_err(|error| LocalError::File {
            path: path.to_path_buf(),
            error,
        })
    }

    /// Reads a file that [`UnitReport::write`] wrote.
    ///
    /// # Errors
    /// [`LocalError::File`] if it cannot be read, [`LocalError::Report`] if it is no report.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, LocalError> {
        let path = path.as_ref();
        let unread = |error| LocalError::File {
            path: path.to_path_buf(),
            error,
        };
        let len = std::fs::metadata(path).map_err(unread)?.len();
        if len > FILE_BYTES_MAX {
            return Err(LocalError::Report {
                path: path.to_path_buf(),
                reason: format!("{len} bytes, the limit is {FILE_BYTES_MAX}"),
            });
        }
        let text = std::fs::read_to_string(path).map_err(unread)?;
        Self::from_json(&text).map_err(|reason| LocalError::Report {
            path: path.to_path_buf(),
            reason,
        })
    }

    /// Reads what [`UnitReport::to_json`] gives.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if file.format != FORMAT {
            return Err(format!("format {}, {FORMAT} expected", file.format));
        }
        let rows = file.rows.into_iter().map(|row| (row.subject, row.row));
        Ok(Self {
            rows: rows.collect(),
        })
    }

    /// Compares with an earlier report: the most that a call used then and now. More than
    /// `tolerance` per cent above it is too much; less never is.
    pub fn compare(&self, baseline: &Self, tolerance: u32) -> Comparison {
        let subjects = baseline.rows.keys().chain(self.rows.keys());
        let subjects: std::collections::BTreeSet<&Subject> = subjects.collect();
        let rows = subjects
            .into_iter()
            .map(|subject| ComparedRow {
                subject: subject.clone(),
                before: baseline.rows.get(subject).map(|row| row.most),
                now: self.rows.get(subject).map(|row| row.most),
            })
            .collect();
        Comparison { rows, tolerance }
    }
}

/// A table of all rows.
impl fmt::Display for UnitReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = "program, instruction";
        writeln!(
            formatter,
            "{name:<72} {:>7} {:>9} {:>9}",
            "calls", "least", "most"
        )?;
        for (subject, row) in &self.rows {
            writeln!(
                formatter,
                "{:<72} {:>7} {:>9} {:>9}",
                subject.to_string(),
                row.calls,
                row.least,
                row.most
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.program, self.instruction)
    }
}

/// Two reports side by side.
#[derive(Clone, PartialEq, Eq)]
pub struct Comparison {
    rows: Vec<ComparedRow>,
    tolerance: u32,
}

/// One instruction in two reports: the most a call used, `None` where it does not occur.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedRow {
    /// The instruction.
    pub subject: Subject,
    /// In the earlier report.
    pub before: Option<u64>,
    /// In the later one.
    pub now: Option<u64>,
}

impl Comparison {
    /// The rows that differ.
    pub fn changed(&self) -> impl Iterator<Item = &ComparedRow> {
        self.rows.iter().filter(|row| row.before != row.now)
    }

    /// The rows that use too much.
    pub fn too_much(&self) -> impl Iterator<Item = &ComparedRow> {
        self.rows.iter().filter(|row| self.is_too_much(row))
    }

    /// Fails if a row uses too much.
    ///
    /// # Errors
    /// The comparison itself, whose text shows what changed.
    pub fn check(self) -> Result<(), Self> {
        if self.too_much().next().is_none() {
            Ok(())
        } else {
            Err(self)
        }
    }

    fn is_too_much(&self, row: &ComparedRow) -> bool {
        let (Some(before), Some(now)) = (row.before, row.now) else {
            return false;
        };
        u128::from(now) * 100 > u128::from(before) * (100 + u128::from(self.tolerance))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = self.too_much().count();
        let tolerance = self.tolerance;
        writeln!(
            formatter,
            "compute units: {over} instructions over the tolerance of {tolerance} %"
        )?;
        for row in self.changed() {
            let figure =
                |units: Option<u64>| units.map_or_else(|| "-".to_owned(), |n| n.to_string());
            let change = match (row.before, row.now) {
                (Some(before), Some(now)) => {
                    format!("{:+}", i128::from(now) - i128::from(before))
                }
                (None, _) => "new".to_owned(),
                (_, None) => "gone".to_owned(),
            };
            let mark = if self.is_too_much(row) {
                "  <-- too much"
            } else {
                ""
            };
            writeln!(
                formatter,
                "{:<72} {:>9} -> {:>9} {change:>9}{mark}",
                row.subject.to_string(),
                figure(row.before),
                figure(row.now)
            )?;
        }
        Ok(())
    }
}

/// As the text, because that is what a failed test shows.
impl fmt::Debug for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Comparison {}

/// A call that is being read from the logs.
struct Open {
    program: String,
    name: Option<String>,
    tag: Option<u8>,
    units: Option<u64>,
}

/// The calls of a transaction that logged their units.
fn calls(record: &TransactionRecord) -> Vec<(Subject, u64)> {
    let mut data = DataOfCalls::new(record);
    let mut open: Vec<Open> = Vec::new();
    let mut found = Vec::new();
    for line in &record.logs {
        if let Some(name) = line.strip_prefix("Program log: Instruction: ") {
            if let Some(call) = open.last_mut() {
                call.name.get_or_insert_with(|| name.to_owned());
            }
            continue;
        }
        let mut words = line.split(' ');
        let (Some("Program"), Some(program), Some(verb)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        match verb {
            "invoke" => open.push(Open {
                program: program.to_owned(),
                name: None,
                tag: data.next(program, open.is_empty()),
                units: None,
            }),
            "consumed" => {
                if let Some(call) = open.last_mut().filter(|call| call.program == program) {
                    call.units = words.next().and_then(|units| units.parse().ok());
                }
            }
            "success" | "failed:" => {
                if open.last().is_some_and(|call| call.program == program)
                    && let Some(call) = open.pop()
                {
                    found.extend(call.units.map(|units| (call.subject(), units)));
                }
            }
            _ => {}
        }
    }
    found
}

impl Open {
    fn subject(self) -> Subject {
        let tag = self
            .tag
            .map_or_else(String::new, |tag| format!("{tag:02x}"));
        Subject {
            program: self.program,
            instruction: self.name.unwrap_or_else(|| format!("#{tag}")),
        }
    }
}

/// The first bytes of the data of calls, in the order in which they begin.
struct DataOfCalls {
    /// Program, first byte, whether at the top.
    calls: std::vec::IntoIter<(String, Option<u8>, bool)>,
}

impl DataOfCalls {
    fn new(record: &TransactionRecord) -> Self {
        let mut calls = Vec::new();
        let program = |index: u8| {
            let key = record.keys.get(usize::from(index));
            key.map_or_else(String::new, ToString::to_string)
        };
        let transaction: Result<VersionedTransaction, _> =
            wincode::deserialize_exact(&record.transaction);
        for (index, top) in transaction
            .iter()
            .flat_map(|transaction| transaction.message.instructions())
            .enumerate()
        {
            let first = top.data.first().copied();
            calls.push((program(top.program_id_index), first, true));
            let inner = record
                .inner
                .iter()
                .filter(|inner| usize::from(inner.index) == index)
                .flat_map(|inner| &inner.instructions);
            calls.extend(inner.map(|inner| {
                let first = inner.data.first().copied();
                (program(inner.program), first, false)
            }));
        }
        Self {
            calls: calls.into_iter(),
        }
    }

    /// The first byte of the next call of a program. Calls that logged nothing are passed over.
    fn next(&mut self, program: &str, is_top: bool) -> Option<u8> {
        self.calls
            .by_ref()
            .find(|(of, _, top)| of == program && *top == is_top)
            .and_then(|(_, first, _)| first)
    }
}
