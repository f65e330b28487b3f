//! An account of the account engine, proven up to the validators' certificate.
//!
//! The account's leaf holds everything but data above 64 KiB, which stands in an image of its own:
//! then a second answer, of the same state, proves the image's root, and the data is hashed.
//!
//! ```text
//! leaf = kind ‖ lamports ‖ rent epoch ‖ owner ‖ executable ‖ length of data ‖ data where kind is 0
//!        u8     u64        u64          32 B    u8           u64            numbers little-endian
//! ```

use thiserror::Error;
use trilith_proof::certificate::SIGNATURE_BYTES;
use trilith_proof::pages::{image_key, read_image_leaf, root_of};
use trilith_proof::{Answer, AnswerError, RootTrust, VerifiedAnswer};
use trilith_types::{Hash, Height, ImageId, Round, RuntimeId};

/// First byte of the keys of accounts in the runtime's state.
const ACCOUNT_KEY_PREFIX: u8 = b'a';
/// Bytes of a leaf before the data.
const HEAD_BYTES: usize = 1 + 8 + 8 + 32 + 1 + 8;
/// The data stands in the leaf.
const INLINE: u8 = 0;
/// The data stands in an image.
const IMAGE: u8 = 1;

/// An account with all that proves it, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountAnswer {
    /// The proof of the account's leaf.
    pub leaf: Answer,
    /// Where the leaf does not hold the data: the proof of its image, and the data.
    pub data: Option<(Answer, Vec<u8>)>,
}

/// An account as the network holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Balance in lamports.
    pub lamports: u64,
    /// The program that owns it.
    pub owner: [u8; 32],
    /// Whether it is a program.
    pub executable: bool,
    /// Kept for clients; 2^64 - 1 where no rent is ever due.
    pub rent_epoch: u64,
    /// Its data.
    pub data: Vec<u8>,
}

/// What a verified answer says of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAccount {
    /// The account; `None` if it is proven that there is none.
    pub account: Option<Account>,
    /// The round in whose state it stands.
    pub round: Round,
    /// The root of this state.
    pub state_root: Hash,
    /// The height in whose root state the round was the runtime's newest.
    pub height: Height,
}

/// Why an account is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AccountError {
    /// A link up to the certificate does not hold.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The proof is of another key.
    #[error("the proof of the {0} is not of the account that was asked for")]
    OtherKey(&'static str),
    /// The leaf is no account's.
    #[error("the leaf of the account has {0} bytes and is none of an account")]
    Leaf(usize),
    /// The data stands in an image, which is not there; or there is one that must not be.
    #[error("the answer has {found} images of data, the account has {expected}")]
    Image {
        /// Images there are.
        found: usize,
        /// Images there must be.
        expected: usize,
    },
    /// Leaf and image are of different states.
    #[error("the account is of state {leaf}, its data of state {data}")]
    OtherState {
        /// State of the leaf.
        leaf: Hash,
        /// State of the data.
        data: Hash,
    },
    /// The data is not what the state holds.
    #[error("{len} bytes of data do not have the length and the root that the state holds")]
    Data {
        /// Length of the data that came.
        len: usize,
    },
}

impl AccountAnswer {
    /// Verifies the whole chain for the account `address` of `runtime`.
    ///
    /// # Errors
    /// [`AccountError`] with the first link that does not hold.
    pub fn verify(
        &self,
        address: &[u8; 32],
        runtime: &RuntimeId,
        trust: &RootTrust<'_>,
    ) -> Result<VerifiedAccount, AccountError> {
        let key = account_key(address);
        if self.leaf.key != key {
            return Err(AccountError::OtherKey("account"));
        }
        let leaf = self.leaf.verify(runtime, trust)?;
        let account = match &leaf.value {
            None => {
                self.expect_images(0)?;
                None
            }
            Some(value) => {
                let image = |len| self.image(&key, len, &leaf, (runtime, trust));
                Some(self.account(value, image)?)
            }
        };
        Ok(VerifiedAccount {
            account,
            round: leaf.round,
            state_root: leaf.state_root,
            height: leaf.height,
        })
    }

    /// The account of a leaf; `image` gives data of a length that stands outside.
    fn account(
        &self,
        value: &[u8],
        image: impl FnOnce(u64) -> Result<Vec<u8>, AccountError>,
    ) -> Result<Account, AccountError> {
        let damaged = || AccountError::Leaf(value.len());
        let (head, inline) = value
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or_else(damaged)?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| head[at + index]));
        let len = number(50);
        let data = match (head[0], head[49]) {
            (INLINE, 0 | 1) if inline.len() as u64 == len => {
                self.expect_images(0)?;
                inline.to_vec()
            }
            (IMAGE, 0 | 1) if inline.is_empty() => {
                self.expect_images(1)?;
                image(len)?
            }
            _ => return Err(damaged()),
        };
        Ok(Account {
            lamports: number(1),
            rent_epoch: number(9),
            owner: std::array::from_fn(|index| head[17 + index]),
            executable: head[49] == 1,
            data,
        })
    }

    fn expect_images(&self, expected: usize) -> Result<(), AccountError> {
        let found = usize::from(self.data.is_some());
        if found == expected {
            Ok(())
        } else {
            Err(AccountError::Image { found, expected })
        }
    }

    /// The data, once it is shown to be what the image of the same state holds.
    fn image(
        &self,
        key: &[u8],
        len: u64,
        leaf: &VerifiedAnswer,
        (runtime, trust): (&RuntimeId, &RootTrust<'_>),
    ) -> Result<Vec<u8>, AccountError> {
        let Some((answer, data)) = &self.data else {
            return Err(AccountError::Image {
                found: 0,
                expected: 1,
            });
        };
        let image = ImageId::new(key).ok_or(AccountError::OtherKey("data"))?;
        if answer.key != image_key(&image) {
            return Err(AccountError::OtherKey("data"));
        }
        let verified = answer.verify(runtime, trust)?;
        if verified.state_root != leaf.state_root {
            let (leaf, data) = (leaf.state_root, verified.state_root);
            return Err(AccountError::OtherState { leaf, data });
        }
        let wrong = || AccountError::Data { len: data.len() };
        let value = verified.value.ok_or_else(wrong)?;
        let held = read_image_leaf(&value).map_err(|_| wrong())?;
        if data.len() as u64 != len || root_of(data) != held {
            return Err(wrong());
        }
        Ok(data.clone())
    }
}

/// The key of an account's leaf in the state of the account runtime.
pub fn account_key(address: &[u8; 32]) -> Vec<u8> {
    [&[ACCOUNT_KEY_PREFIX][..], address].concat()
}

/// The key of the image that holds an account's data where the leaf does not.
pub fn account_image_key(address: &[u8; 32]) -> Vec<u8> {
    let name = ImageId::new(account_key(address)).expect("33 bytes are a name");
    image_key(&name)
}

/// Reads bytes as the leaf of an account whose data, if it stands outside, is missing; for fuzzing,
/// because no bytes that are made up reach a leaf through its proofs.
///
/// # Panics
/// If an account is read from a leaf that does not hold it.
pub fn fuzz_account_leaf(bytes: &[u8]) -> Option<Account> {
    let leaf = Answer {
        key: Vec::new(),
        value_proof: Vec::new(),
        header_proof: Vec::new(),
        height: Height(0),
        root_state: Hash::EMPTY,
        signature: [0; SIGNATURE_BYTES],
    };
    let answer = AccountAnswer { leaf, data: None };
    let outside = |_| {
        Err(AccountError::Image {
            found: 0,
            expected: 1,
        })
    };
    let account = answer.account(bytes, outside).ok()?;
    let held = [
        &[INLINE][..],
        &account.lamports.to_le_bytes(),
        &account.rent_epoch.to_le_bytes(),
        &account.owner,
        &[u8::from(account.executable)],
        &(account.data.len() as u64).to_le_bytes(),
        &account.data,
    ];
    assert_eq!(held.concat(), bytes, "a leaf has one encoding");
    Some(account)
}
