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

    /// Six candidates; the output of the n-th is SHA-512 of the byte n. Without the entropy they
    /// are those of Go's figures.
    fn candidates() -> Vec<Candidate> {
        (0..6)
            .map(|number| {
                let key = PublicKey::from_bytes([number; 32]);
                Candidate {
                    id: key,
                    entity: key,
                    consensus: key,
                }
            })
            .collect()
    }

    /// SHA-512 of the bytes 0 to 5.
    const OUTPUTS: [&str; 6] = [
        "b8244d028981d693af7b456af8efa4cad63d282e19ff14942c246e50d9351d22\
         704a802a71c3580b6370de4ceb293c324a8423342557d4e5c38438f0e36910ee",
        "7b54b66836c1fbdd13d2441d9e1434dc62ca677fb68f5fe66a464baadecdbd00\
         576f8d6b5ac3bcc80844b7d50b1cc6603444bbe7cfcf8fc0aa1ee3c636d9e339",
        "fab848c9b657a853ee37c09cbfdd149d0b3807b191dde9b623ccd95281dd18705b48c89b1503903845bba5753945351fe6b454852760f73529cf01ca8f69dcca",
        "f14aad6a0e050b74e4b7b9a5b2ef1a60ceccbbca39b132ae3e8bf88d3a946c6d\
         8687f3266fd2b626419d8b67dcf1d8d7c0fe72d4919d9bd05efbd37070cfb41a",
        "de6a9da4e9a7a8a7d4c2ebd5ee4a6c6dd2c3b4c5d3a6b9a0e0a6d7b2f6a6a6a6\
         00000000000000000000000000000000000000000000000000000000000000aa",
        "",
    ];
}
