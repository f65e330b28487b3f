//! Names and roots of the inputs of a batch, on several threads.
//!
//! It knows what the I/O tree holds from [`trilith_protocol::io`] and how a root follows from
//! leaves from [`trilith_mkvs`]; it knows nothing of runtimes. Leaves are hashed where they are
//! made, so that no tree and no copy of the inputs is ever put together.
//!
//! Invariant: the results are the same for any workers.

use trilith_mkvs::{Job, LeafHash, TreeError, Workers, root_of_leaves};
use trilith_protocol::{Batch, Input, Receipt, io};
use trilith_types::Hash;

/// Inputs that one job works on; hashing as many takes a good part of a millisecond.
const RUN: usize = 512;

/// The hashes of inputs, in order.
pub(crate) fn names(inputs: &[Input], workers: &dyn Workers) -> Vec<Hash> {
    let name = |_, run: &[Input]| run.iter().map(Input::hash).collect::<Vec<_>>();
    in_runs(inputs, workers, name).concat()
}

/// Root over the inputs of a batch, whose hashes are `names`, and what became of each.
pub(crate) fn root(
    batch: &Batch,
    names: &[&Hash],
    receipts: &[Receipt],
    workers: &dyn Workers,
) -> Result<Hash, TreeError> {
    let named: Vec<(&Input, &Hash)> = batch.inputs.iter().zip(names.iter().copied()).collect();
    let of_inputs = |first: usize, run: &[(&Input, &Hash)]| {
        let leaf = |((input, name), position): (&(&Input, &Hash), usize)| {
            leaf(io::input_entry(input, name, position))
        };
        run.iter().zip(first..).map(leaf).collect()
    };
    let of_outputs = |_, run: &[Receipt]| {
        let leaf = |receipt| leaf(io::output_entry(receipt));
        run.iter().map(leaf).collect()
    };
    let mut leaves: Vec<LeafHash> = Vec::with_capacity(named.len() + receipts.len() + 1);
    let runs: Vec<Result<Vec<LeafHash>, TreeError>> = in_runs(&named, workers, of_inputs);
    for run in runs {
        leaves.extend(run?);
    }
    let runs: Vec<Result<Vec<LeafHash>, TreeError>> = in_runs(receipts, workers, of_outputs);
    for run in runs {
        leaves.extend(run?);
    }
    leaves.push(leaf(io::time_entry(batch))?);
    root_of_leaves(leaves, workers)
}

fn leaf((key, value): io::Entry) -> Result<LeafHash, TreeError> {
    LeafHash::of(key, &value)
}

/// The results of `work` on runs of items, in order. `work` is told where a run begins.
fn in_runs<T: Sync, R: Send>(
    items: &[T],
    workers: &dyn Workers,
    work: impl Fn(usize, &[T]) -> R + Sync,
) -> Vec<R> {
    let mut results: Vec<Option<R>> = items.chunks(RUN).map(|_| None).collect();
    let work = &work;
    let runs = items.chunks(RUN).zip((0..).step_by(RUN)).zip(&mut results);
    let jobs = runs.map(|((run, first), result)| {
        Box::new(move || *result = Some(work(first, run))) as Job<'_>
    });
    workers.run(jobs.collect());
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::{names, root};
    use trilith_mkvs::{OneThread, Tree};
    use trilith_protocol::{Batch, Input, Receipt, ReceiptStatus, io};
    use trilith_types::{Hash, TimeNanos};

    #[test]
    fn the_root_is_that_of_the_tree_of_the_entries() {
        for count in [0u32, 1, 511, 512, 513, 3_000] {
            let input =
                |index: u32| Input::new(index.to_le_bytes().repeat(1 + index as usize % 60));
            let batch = Batch {
                time: TimeNanos(u64::from(count)),
                inputs: (0..count).map(input).collect(),
            };
            let receipt = |input: &Input| Receipt {
                input: input.hash(),
                status: ReceiptStatus::Accepted,
                output: input.bytes()[..1].to_vec(),
            };
            let receipts: Vec<Receipt> = batch.inputs.iter().map(receipt).collect();
            let mut tree = Tree::empty();
            for (key, value) in io::entries(&batch, &receipts) {
                tree.insert(&key, &value).expect("it fits");
            }
            let names = names(&batch.inputs, &OneThread);
            let names: Vec<&Hash> = names.iter().collect();
            let root = root(&batch, &names, &receipts, &OneThread);
            assert_eq!(root, Ok(tree.root()), "{count} inputs");
        }
    }
}
