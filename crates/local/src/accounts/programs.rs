//! Programs from files, as if they had been deployed.

use std::path::Path;

use solana_account::Account;
use solana_pubkey::Pubkey;
use solana_sdk_ids::bpf_loader_upgradeable;

use super::error::LocalError;
use super::{Local, donors};

/// Kinds of accounts of the upgradeable loader. Source: Solana `loader-v3-interface`,
/// `UpgradeableLoaderState`.
const PROGRAM: u32 = 2;
const PROGRAM_DATA: u32 = 3;

impl Local {
    /// Puts a program at `id`, to be called at once. It belongs to the upgradeable loader and
    /// nobody may upgrade it. What was there is replaced.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut svm = trilith_local::Local::new();
    /// let id = solana_pubkey::Pubkey::new_from_array([9; 32]);
    /// svm.add_program(id, &std::fs::read("target/deploy/counter.so")?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`LocalError::Program`] with what the loader or the verifier says against it.
    pub fn add_program(&mut self, id: Pubkey, elf: &[u8]) -> Result<(), LocalError> {
        self.add_upgradeable_program(id, elf, None)
    }

    /// Puts the program of a file at `id`; see [`Local::add_program`].
    ///
    /// # Errors
    /// As [`Local::add_program`]; [`LocalError::File`] if the file cannot be read.
    pub fn add_program_file(
        &mut self,
        id: Pubkey,
        path: impl AsRef<Path>,
    ) -> Result<(), LocalError> {
        let path = path.as_ref();
        let elf = std::fs::read(path).map_err(|error| LocalError::File {
            path: path.to_path_buf(),
            error,
        })?;
        self.add_program(id, &elf)
    }

    /// Puts a program at `id` that `authority` may upgrade and close.
    ///
    /// # Errors
    /// As [`Local::add_program`].
    pub fn add_upgradeable_program(
        &mut self,
        id: Pubkey,
        elf: &[u8],
        authority: Option<Pubkey>,
    ) -> Result<(), LocalError> {
        let owner = bpf_loader_upgradeable::ID;
        let (data_key, _) = Pubkey::find_program_address(&[id.as_ref()], &owner);
        {
            let instance = self.instance();
            let line = &instance.line;
            line.runtime
                .check_program(&*line.state, elf)
                .map_err(|reason| LocalError::Program { key: id, reason })?;
        }
        // One slot ago, because a program can be called from the slot after its deployment on.
        let deployed = self.chain()?.slot.saturating_sub(1);
        let mut data = PROGRAM_DATA.to_le_bytes().to_vec();
        data.extend(deployed.to_le_bytes());
        data.push(u8::from(authority.is_some()));
        data.extend(authority.unwrap_or_default().to_bytes());
        data.extend(elf);
        let program = [&PROGRAM.to_le_bytes()[..], data_key.as_ref()].concat();
        let account = |data: Vec<u8>, executable| Account {
            lamports: self.minimum_balance(data.len() as u64),
            data,
            owner,
            executable,
            rent_epoch: u64::MAX,
        };
        let accounts = vec![
            (data_key, account(data, false)),
            (id, account(program, true)),
        ];
        self.set_accounts(accounts)?;
        let mut instance = self.instance();
        instance.has_programs = true;
        donors::take(&instance.line)?;
        Ok(())
    }
}
