//! The generator of pseudo-random numbers of Go's `math/rand`, from which Oasis Core's tests draw
//! the entries of their checkpoints.
//!
//! It is an additive lagged Fibonacci generator, `x[n] = x[n-607] + x[n-273] mod 2^64`. Its start
//! values are mixed with those that the same generator has after 7.8 * 10^12 steps from a start of
//! its own; these are computed here by stepping ahead in powers of two, as powers of `t` modulo
//! `t^607 - t^334 - 1`.

const LONG: usize = 607;
const SHORT: usize = 273;
/// Steps after which Go's table of start values was taken.
const TABLE_STEPS: u64 = 7_800_000_000_000;

/// A source of numbers that is the same as Go's for the same seed.
pub struct GoRandom {
    values: Vec<u64>,
    tap: usize,
    feed: usize,
    /// Bytes drawn and not used yet, and how many.
    spare: (u64, u32),
}

/// A sequence of start values, from Lehmer's generator.
fn start_values(seed: u64, shift: u32) -> Vec<u64> {
    let mut x = seed;
    let mut step = || {
        x = x * 48_271 % ((1 << 31) - 1);
        x
    };
    for _ in 0..20 {
        step();
    }
    (0..LONG)
        .map(|_| (step() << (2 * shift)) ^ (step() << shift) ^ step())
        .collect()
}

/// The product of two polynomials modulo `t^607 - t^334 - 1`.
fn multiply(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut product = vec![0u64; 2 * LONG];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            product[i + j] = product[i + j].wrapping_add(x.wrapping_mul(*y));
        }
    }
    for degree in (LONG..2 * LONG).rev() {
        let factor = std::mem::take(&mut product[degree]);
        for lower in [degree - LONG, degree - SHORT] {
            product[lower] = product[lower].wrapping_add(factor);
        }
    }
    product.truncate(LONG);
    product
}

/// The values in the order in which the recurrence makes them, from the order in which Go keeps
/// them: it counts down, beginning below the place of the feed.
fn place(n: usize) -> usize {
    (2 * LONG - SHORT - 1 - n % LONG) % LONG
}

/// The generator's values after [`TABLE_STEPS`], at Go's places.
fn table() -> Vec<u64> {
    let start = start_values(1, 10);
    let mut sequence: Vec<u64> = (0..LONG).map(|n| start[place(n)]).collect();
    for n in LONG..2 * LONG {
        sequence.push(sequence[n - LONG].wrapping_add(sequence[n - SHORT]));
    }
    let mut power = vec![0u64; LONG];
    power[0] = 1;
    let mut t = vec![0u64; LONG];
    t[1] = 1;
    for bit in (0..u64::BITS).rev() {
        power = multiply(&power, &power);
        if TABLE_STEPS >> bit & 1 == 1 {
            power = multiply(&power, &t);
        }
    }
    let steps = (TABLE_STEPS % LONG as u64) as usize;
    let mut values = vec![0u64; LONG];
    for n in 0..LONG {
        let terms = power.iter().zip(&sequence[n..]);
        let value = terms.fold(0u64, |sum, (a, b)| sum.wrapping_add(a.wrapping_mul(*b)));
        values[place(n + steps)] = value;
    }
    values
}

impl GoRandom {
    /// The generator with a seed, which is positive and below 2^31 - 1.
    pub fn new(seed: u64) -> Self {
        let values = start_values(seed, 20);
        Self {
            values: values.iter().zip(table()).map(|(a, b)| a ^ b).collect(),
            tap: 0,
            feed: LONG - SHORT,
            spare: (0, 0),
        }
    }

    /// 63 bits.
    fn next(&mut self) -> u64 {
        self.tap = self.tap.checked_sub(1).unwrap_or(LONG - 1);
        self.feed = self.feed.checked_sub(1).unwrap_or(LONG - 1);
        let value = self.values[self.feed].wrapping_add(self.values[self.tap]);
        self.values[self.feed] = value;
        value & (u64::MAX >> 1)
    }

    /// A number below `limit`, as from `Intn` for limits that are no powers of two.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = limit as u64;
        let most = (1 << 31) - 1 - (1 << 31) % limit;
        loop {
            let value = self.next() >> 32;
            if value <= most {
                return (value % limit) as usize;
            }
        }
    }

    /// Fills `bytes`, as `Read`: seven bytes of each number, across calls.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.spare.1 == 0 {
                self.spare = (self.next(), 7);
            }
            *byte = self.spare.0 as u8;
            self.spare = (self.spare.0 >> 8, self.spare.1 - 1);
        }
    }
}
