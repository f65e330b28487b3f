//! The orders in which candidates are drawn.
//!
//! ```text
//! by entropy: the permutation that HMAC_DRBG(entropy, nonce, purpose) gives of their places
//! by outputs: ascending by TupleHash256(chain, epoch, subject…, output); without output, nobody
//! ```
//!
//! Invariant: an order depends on entropy or outputs, and on the set of candidates, and on nothing
//! else; candidates come ascending by the hash of their key.
//!
//! Source: Oasis Core `apps/scheduler/shuffle.go`.

use trilith_types::TupleHash;
use trilith_types::permutation::Permutations;

use crate::beacon::{Lottery, Outputs};
use crate::registry::Candidate;

/// A kind of order by outputs, and what it is an order for.
pub(super) struct Subject<'a> {
    pub(super) customization: &'static [u8],
    pub(super) items: &'a [&'a [u8]],
}

/// Candidates in an order by entropy.
pub(super) fn by_entropy<'a>(
    lottery: &Lottery,
    nonce: &[u8],
    purpose: &[u8],
    candidates: Vec<&'a Candidate>,
) -> Vec<&'a Candidate> {
    let mut source = Permutations::new(&lottery.entropy, nonce, purpose);
    let order = source.permutation(candidates.len());
    order.into_iter().map(|place| candidates[place]).collect()
}

/// Candidates in the order of their outputs. Who has none is left out.
pub(super) fn by_outputs<'a>(
    lottery: &Lottery,
    outputs: &Outputs,
    subject: &Subject<'_>,
    candidates: &[&'a Candidate],
) -> Vec<&'a Candidate> {
    // The name of the network is hashed as text, as in Oasis Core.
    let start = TupleHash::new(subject.customization)
        .item(lottery.chain.to_string().as_bytes())
        .item(&lottery.epoch.0.to_be_bytes());
    let start = subject
        .items
        .iter()
        .fold(start, |hash, item| hash.item(item));
    let mut order: Vec<([u8; 32], &Candidate)> = candidates
        .iter()
        .filter_map(|candidate| {
            let output = outputs.get(&candidate.id)?;
            let hash = start.clone().item(output.as_bytes()).finish();
            Some((hash, *candidate))
        })
        .collect();
    // Of two candidates with one hash, which cannot be found, the first stays.
    order.sort_by_key(|(hash, _)| *hash);
    order.dedup_by_key(|(hash, _)| *hash);
    order.into_iter().map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use trilith_types::{Epoch, Hash, PublicKey, VrfOutput};

    use super::*;

    fn candidate(number: u8) -> Candidate {
        let key = PublicKey::from_bytes([number; 32]);
        Candidate {
            id: key,
            entity: key,
            consensus: key,
        }
    }

    fn lottery() -> Lottery {
        let mut entropy = [0; 32];
        for (place, byte) in (0..).zip(&mut entropy) {
            *byte = place;
        }
        Lottery {
            chain: Hash::from_bytes([1; 32]),
            epoch: Epoch(7),
            entropy,
            outputs: None,
            elects_committees: true,
        }
    }

    /// The output of the n-th candidate is 64 bytes n.
    fn outputs(count: u8) -> Outputs {
        (0..count)
            .filter_map(|number| {
                let output = VrfOutput::from_slice(&[number; 64])?;
                Some((candidate(number).id, output))
            })
            .collect()
    }

    fn numbers(order: &[&Candidate]) -> Vec<u8> {
        order.iter().map(|one| one.id.as_bytes()[0]).collect()
    }

    /// Figures that Oasis Core's `tuplehash` package gave with Go 1.27.3 for six outputs, the chain
    /// `0101…01`, epoch 7 and the runtime `2222…22`.
    #[test]
    fn orders_by_outputs_are_those_of_oasis_core() {
        let all: Vec<Candidate> = (0..6).map(candidate).collect();
        let all: Vec<&Candidate> = all.iter().collect();
        let runtime = [0x22; 32];
        /// Customization, items, order.
        type Row<'a> = (&'static [u8], &'a [&'a [u8]], [u8; 6]);
        let rows: [Row<'_>; 4] = [
            (
                b"oasis-core:vrf/committee",
                &[&runtime, &[1], &[1]],
                [5, 2, 3, 0, 1, 4],
            ),
            (
                b"oasis-core:vrf/committee",
                &[&runtime, &[1], &[2]],
                [3, 1, 5, 2, 0, 4],
            ),
            (
                b"oasis-core:vrf/dedup",
                &[&runtime, &[1], &[1]],
                [0, 3, 2, 5, 1, 4],
            ),
            (b"oasis-core:vrf/validator", &[], [4, 5, 1, 3, 2, 0]),
        ];
        for (customization, items, expected) in rows {
            let subject = Subject {
                customization,
                items,
            };
            let order = by_outputs(&lottery(), &outputs(6), &subject, &all);
            assert_eq!(numbers(&order), expected);
            // The order in which candidates come does not matter, and who has no output is out.
            let turned: Vec<&Candidate> = all.iter().rev().copied().collect();
            let order = by_outputs(&lottery(), &outputs(6), &subject, &turned);
            assert_eq!(numbers(&order), expected);
            let order = by_outputs(&lottery(), &outputs(4), &subject, &all);
            let fewer: Vec<u8> = expected.into_iter().filter(|one| *one < 4).collect();
            assert_eq!(numbers(&order), fewer);
        }
    }

    /// The figure of Go for this entropy and no nonce; see the permutations.
    #[test]
    fn orders_by_entropy_are_permutations_of_places() {
        let all: Vec<Candidate> = (0..10).map(candidate).collect();
        let order = by_entropy(
            &lottery(),
            &[],
            b"EkS-ABCI-Validators",
            all.iter().collect(),
        );
        assert_eq!(numbers(&order), [0, 2, 3, 9, 8, 6, 4, 5, 1, 7]);
    }
}
