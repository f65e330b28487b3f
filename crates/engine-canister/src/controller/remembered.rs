//! Answers to query calls on one version of the state, for whoever asks the same again.
//!
//! A query is a function of the state and of what is asked, so an answer holds for as long as the
//! version is the newest. Only speed depends on what is remembered. Bounded in bytes; when the bound
//! is reached, all is forgotten.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::query_format::CallResult;
use crate::ingress::{CallContent, Content};

/// Most bytes of the answers of one version.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Reckoned for an answer beside its bytes: key, lengths and the map's share.
const ENTRY_BYTES: usize = 192;

/// What is asked, apart from what makes each request its own: the hash of the call without nonce
/// and expiry, and whether the canister sees a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question([u8; 32], bool);

impl Question {
    pub(crate) fn new(call: &CallContent, certified: bool) -> Self {
        let bare = CallContent {
            nonce: None,
            ingress_expiry: 0,
            ..call.clone()
        };
        Self(Content::Query(bare).request_id(), certified)
    }
}

/// The answers of one version.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    by_question: BTreeMap<Question, CallResult>,
    bytes: usize,
}

impl Remembered {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, question: &Question) -> Option<CallResult> {
        self.lock().by_question.get(question).cloned()
    }

    pub(crate) fn put(&self, question: Question, result: &CallResult) {
        let bytes = ENTRY_BYTES
            + match result {
                CallResult::Replied { arg } => arg.len(),
                CallResult::Rejected { message, .. } => message.len(),
            };
        let mut answers = self.lock();
        if answers.bytes + bytes > BYTES_MAX {
            *answers = Answers::default();
        }
        if bytes <= BYTES_MAX
            && answers
                .by_question
                .insert(question, result.clone())
                .is_none()
        {
            answers.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use candid::Principal;

    use super::*;

    fn call(argument: &[u8]) -> CallContent {
        CallContent {
            canister_id: Principal::from_slice(&[1]),
            method_name: "get".into(),
            arg: argument.to_vec(),
            sender: Principal::anonymous(),
            ingress_expiry: 1,
            nonce: None,
            sender_info: None,
        }
    }

    #[test]
    fn nonce_and_expiry_do_not_matter_and_the_rest_does() {
        let one = call(b"a");
        let same = CallContent {
            nonce: Some(vec![1]),
            ingress_expiry: 7,
            ..one.clone()
        };
        let question = Question::new(&one, true);
        assert_eq!(question, Question::new(&same, true));
        assert_ne!(question, Question::new(&one, false));
        assert_ne!(question, Question::new(&call(b"b"), true));
        let other = CallContent {
            sender: Principal::from_slice(&[1]),
            ..one
        };
        assert_ne!(question, Question::new(&other, true));
    }

    #[test]
    fn the_bound_is_kept() {
        let remembered = Remembered::default();
        let answer = CallResult::Replied {
            arg: vec![0; BYTES_MAX / 4],
        };
        for number in 0..9u8 {
            let question = Question::new(&call(&[number]), false);
            remembered.put(question, &answer);
            assert_eq!(remembered.get(&question), Some(answer.clone()));
            assert!(remembered.lock().bytes <= BYTES_MAX);
            assert!(remembered.lock().by_question.len() < 4);
        }
        let huge = CallResult::Replied {
            arg: vec![0; BYTES_MAX],
        };
        let question = Question::new(&call(b"huge"), false);
        remembered.put(question, &huge);
        assert_eq!(remembered.get(&question), None);
    }
}
