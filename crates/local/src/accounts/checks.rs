//! Checks of what a transaction came to, with failures that say what differs.

use std::fmt;
use std::fmt::Write as _;

use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

use super::Local;
use super::error::Failed;
use super::sent::Sent;

/// Bytes of data that a failure shows from the first that differs.
const SHOWN_BYTES: usize = 16;

/// A transaction that was executed, and what differs from what was expected of it.
///
/// Unless [`Expectation::error`] is called, success is expected. Checks of accounts follow the
/// [`Expectation::account`] they are about.
#[must_use = "nothing fails before `verify` is called"]
pub struct Expectation<'a> {
    svm: &'a Local,
    result: Result<Sent, Failed>,
    expects_error: bool,
    account: Option<Pubkey>,
    differences: Vec<String>,
}

/// What differed, a line each. Its text and its `Debug` are the same, so that `unwrap` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Differences(Vec<String>);

impl Local {
    /// Executes a transaction to check what it comes to.
    ///
    /// ```
    /// use solana_pubkey::Pubkey;
    /// use trilith_local::{Local, Options};
    /// # use solana_message::{Message, MessageHeader, VersionedMessage};
    /// # use solana_message::compiled_instruction::CompiledInstruction;
    /// # use solana_transaction::versioned::VersionedTransaction;
    /// # fn transfer(svm: &Local, from: Pubkey, to: Pubkey, lamports: u64) -> VersionedTransaction {
    /// #     let data = [&2u32.to_le_bytes()[..], &lamports.to_le_bytes()].concat();
    /// #     let instruction = CompiledInstruction { program_id_index: 2, accounts: vec![0, 1], data };
    /// #     let header = MessageHeader { num_required_signatures: 1,
    /// #         num_readonly_signed_accounts: 0, num_readonly_unsigned_accounts: 1 };
    /// #     let message = Message { header, account_keys: vec![from, to, Pubkey::default()],
    /// #         recent_blockhash: svm.latest_blockhash(), instructions: vec![instruction] };
    /// #     VersionedTransaction { signatures: vec![Default::default()],
    /// #         message: VersionedMessage::Legacy(message) }
    /// # }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (alice, bob) = (Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32]));
    /// let mut svm = Local::with(Options {
    ///     signature_checks: false,
    ///     ..Options::default()
    /// })?;
    /// svm.airdrop(&alice, 2_000_000_000)?;
    /// let transaction = transfer(&svm, alice, bob, 1_000_000_000);
    /// svm.expect(transaction)
    ///     .units_at_most(150)
    ///     .account(&bob)
    ///     .lamports(1_000_000_000)
    ///     .data(&[])
    ///     .account(&alice)
    ///     .lamports(999_995_000)
    ///     .verify()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn expect(&mut self, transaction: impl Into<VersionedTransaction>) -> Expectation<'_> {
        let result = self.send(transaction);
        Expectation {
            svm: self,
            result,
            expects_error: false,
            account: None,
            differences: Vec::new(),
        }
    }
}

impl Expectation<'_> {
    /// What the transaction came to.
    pub fn result(&self) -> &Result<Sent, Failed> {
        &self.result
    }

    /// Expects this error, whether the transaction was charged or refused.
    pub fn error(mut self, expected: TransactionError) -> Self {
        self.expects_error = true;
        match &self.result {
            Ok(_) => self.differs(format!("expected the error {expected:?}, it succeeded")),
            Err(failed) if failed.error() != Some(&expected) => {
                let text = format!("expected the error {expected:?}, found: {failed}");
                self.differs(text);
            }
            Err(_) => {}
        }
        self
    }

    /// Expects that no more compute units were used.
    pub fn units_at_most(mut self, most: u64) -> Self {
        let used = self.sent().map_or(0, Sent::units);
        if used > most {
            self.differs(format!(
                "used {used} compute units, at most {most} expected"
            ));
        }
        self
    }

    /// Expects just so many compute units.
    pub fn units(mut self, expected: u64) -> Self {
        let used = self.sent().map_or(0, Sent::units);
        if used != expected {
            self.differs(format!("used {used} compute units, {expected} expected"));
        }
        self
    }

    /// Expects a log line that contains the text.
    pub fn log(mut self, text: &str) -> Self {
        let logs = self.sent().map_or(&[][..], Sent::logs);
        if !logs.iter().any(|line| line.contains(text)) {
            let mut found = format!("no log line contains {text:?}; there are:");
            for line in logs {
                found.push_str("\n    ");
                found.push_str(line);
            }
            self.differs(found);
        }
        self
    }

    /// Expects this return data.
    pub fn returned(mut self, expected: &[u8]) -> Self {
        let found = self.sent().and_then(Sent::returned);
        let found = found.map_or(&[][..], |returned| &returned.data);
        if let Some(text) = data_difference(expected, found) {
            self.differs(format!("return data: {text}"));
        }
        self
    }

    /// The checks that follow are about this account.
    pub fn account(mut self, key: &Pubkey) -> Self {
        self.account = Some(*key);
        self
    }

    /// Expects that the account has so many lamports.
    pub fn lamports(self, expected: u64) -> Self {
        self.on_account("lamports", |account| {
            let found = account.lamports;
            (found != expected).then(|| format!("{found} lamports, {expected} expected"))
        })
    }

    /// Expects that the account belongs to this program.
    pub fn owner(self, expected: &Pubkey) -> Self {
        self.on_account("owner", |account| {
            let found = account.owner;
            (found != *expected).then(|| format!("owner {found}, {expected} expected"))
        })
    }

    /// Expects just this data.
    pub fn data(self, expected: &[u8]) -> Self {
        self.on_account("data", |account| data_difference(expected, &account.data))
    }

    /// Expects these bytes at this place of the data.
    pub fn data_at(self, offset: usize, expected: &[u8]) -> Self {
        self.on_account("data_at", |account| {
            let end = offset
                .saturating_add(expected.len())
                .min(account.data.len());
            let found = account.data.get(offset..end).unwrap_or_default();
            data_difference(expected, found).map(|text| format!("from byte {offset} on: {text}"))
        })
    }

    /// Expects so many bytes of data.
    pub fn data_len(self, expected: usize) -> Self {
        self.on_account("data_len", |account| {
            let found = account.data.len();
            (found != expected).then(|| format!("{found} bytes of data, {expected} expected"))
        })
    }

    /// Expects whether the account is a program.
    pub fn executable(self, expected: bool) -> Self {
        self.on_account("executable", |account| {
            let found = account.executable;
            (found != expected).then(|| format!("executable is {found}, {expected} expected"))
        })
    }

    /// Expects that there is no such account.
    pub fn closed(mut self) -> Self {
        match self.account {
            None => self.differs(needs_account("closed")),
            Some(key) => {
                if let Some(account) = self.after(&key) {
                    let lamports = account.lamports;
                    self.differs(format!(
                        "account {key}: {lamports} lamports, no account expected"
                    ));
                }
            }
        }
        self
    }

    /// Whether everything is as expected.
    ///
    /// # Errors
    /// [`Differences`] with all that is not.
    pub fn verify(mut self) -> Result<(), Differences> {
        if let Err(failed) = &self.result
            && !self.expects_error
        {
            let text = format!("success expected: {failed}");
            self.differences.insert(0, text);
        }
        if self.differences.is_empty() {
            Ok(())
        } else {
            Err(Differences(self.differences))
        }
    }

    fn sent(&self) -> Option<&Sent> {
        match &self.result {
            Ok(sent) => Some(sent),
            Err(failed) => failed.sent(),
        }
    }

    /// An account after the transaction, whether it was charged or not.
    fn after(&self, key: &Pubkey) -> Option<Account> {
        match self.sent() {
            Some(sent) => sent.account(key),
            None => self.svm.account(key),
        }
    }

    fn on_account(mut self, check: &str, differs: impl FnOnce(&Account) -> Option<String>) -> Self {
        let Some(key) = self.account else {
            self.differs(needs_account(check));
            return self;
        };
        let text = match self.after(&key) {
            None => Some("there is no such account".to_owned()),
            Some(account) => differs(&account),
        };
        if let Some(text) = text {
            self.differs(format!("account {key}: {text}"));
        }
        self
    }

    fn differs(&mut self, text: String) {
        self.differences.push(text);
    }
}

fn needs_account(check: &str) -> String {
    format!("`{check}` is about an account: call `account` before it")
}

/// Where two byte strings differ first, with some bytes of both from there.
fn data_difference(expected: &[u8], found: &[u8]) -> Option<String> {
    if expected == found {
        return None;
    }
    let same = expected.iter().zip(found).take_while(|(a, b)| a == b);
    let at = same.count();
    let mut text = String::new();
    if expected.len() != found.len() {
        let (found, expected) = (found.len(), expected.len());
        text = format!("{found} bytes, {expected} expected; ");
    }
    let hex = |bytes: &[u8]| {
        let mut shown = String::new();
        for byte in bytes.iter().skip(at).take(SHOWN_BYTES) {
            // Writing to a string does not fail.
            let _written = write!(shown, " {byte:02x}");
        }
        if bytes.len() <= at {
            " (end)".to_owned()
        } else {
            shown
        }
    };
    Some(format!(
        "{text}from byte {at} on:{} found,{} expected",
        hex(found),
        hex(expected)
    ))
}

impl Differences {
    /// A line for each difference, in the order of the checks.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the transaction is not as expected")?;
        for line in &self.0 {
            write!(formatter, "\n  - {line}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Differences {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Differences {}
