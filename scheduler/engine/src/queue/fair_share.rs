//! Fair shares: how sibling queues divide an amount of one resource, guarantees first, then by priority and weight.
//! Owns the arithmetic of one division. May not know the queue tree, pods or time: what a queue deserves, asks for and
//! has used are arguments. Exact: whole numbers and their quotients only, nothing is rounded but where a rule says so.

use std::cmp::Reverse;
use std::collections::BTreeMap;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// Weights above this count as this. With it, and [`K_MILLI_MAX`] and [`USAGE_PARTS`], an amount of 63 bits times a share
/// weight stays below 2^(63 + 31 + 16 + 17) = 2^127, so no product in here overflows, whatever the amounts.
const WEIGHT_MAX: i64 = 1 << 31;

/// Factors of usage above 64 count as 64: 1000 + this is below 2^16.
const K_MILLI_MAX: u32 = 64_000;

/// Usage counts in this many parts of capacity, rounded down: one part is less than a thousandth of a percent.
const USAGE_PARTS: u32 = 1 << 17;

/// What one queue brings to a division among siblings, in one resource. Amounts are in the resource's own unit
/// (thousandths of a GPU, ...). A negative number counts as 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    /// What it gets before anybody gets more; `None` = as much as there is (-1 in files).
    pub(crate) deserved: Option<i64>,
    /// What it could use: its request, at most its limit.
    pub(crate) requestable: i64,
    /// Its share of what nobody deserves, against those of its priority. 0 = none; 2^31 is the most that counts.
    pub(crate) weight: i64,
    /// Higher is served first once everybody has what it deserves.
    pub(crate) priority: i64,
    /// Smaller = older. Decides between equal remainders.
    pub(crate) rank: u32,
    /// Unique among the siblings. Decides between equal ranks.
    pub(crate) name: &'a str,
    /// What it used lately, if that is to count.
    pub(crate) usage: Usage,
}

/// How far past usage moves a queue's share of what nobody deserves. With n = weight / sum of the open weights, the
/// queue counts with max(0, n + k · (n − num / den)) in place of n: who used less than its part gets more, and the
/// other way round. A queue for which this is 0 gets nothing until others are satisfied; if it is 0 for all of a
/// priority, they get nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// k in thousandths: 0 = usage does not count, 64 000 is the most that counts.
    pub(crate) k_milli: u32,
    /// Used, in any unit, up to 2^111.
    pub(crate) num: u128,
    /// What all could have used in the same time and unit. With 0, usage does not count.
    pub(crate) den: u128,
}

impl Usage {
    /// Usage does not count.
    pub(crate) const NONE: Usage = Usage { k_milli: 0, num: 0, den: 1 };

    /// (k in thousandths, usage in [`USAGE_PARTS`] of capacity).
    fn factors(self) -> (i128, i128) {
        if self.den == 0 {
            return (0, 0);
        }
        let used = self.num.saturating_mul(USAGE_PARTS.into()) / self.den;
        // From 1001 capacities on, even the least k makes a share weight of 0: more need not be told apart.
        let used = used.min(1001 * u128::from(USAGE_PARTS)).cast_signed();
        (self.k_milli.min(K_MILLI_MAX).into(), used)
    }
}

/// Divides `amount` among siblings; the result is in the order of the claims, which does not matter otherwise.
///
/// `unit` is what is not divided further (1000 for GPUs, else 1). Exact for all amounts and units, weights up to 2^31.
///
/// 1. Each queue gets what it deserves, but no more than it can request, even if all of these exceed `amount`.
/// 2. What is left goes to the highest priority first: in proportion to weight, in whole units, again and again while
///    somebody needs less than its part. What rounding to units cut off is left for the lower priorities.
/// 3. What is left then goes to those whose part was cut, a unit or whatever is left to each: higher priority first,
///    then larger cut, older, name. Only this can lift a share above what is requestable, by less than a unit.
pub(crate) fn divide(amount: i64, unit: i64, claims: &[Claim<'_>]) -> Vec<i64> {
    let mut division = Division::of_guarantees(amount.max(0).into(), unit.max(1).into(), claims);
    let mut groups: BTreeMap<Reverse<i64>, Vec<usize>> = BTreeMap::new();
    for (queue, claim) in claims.iter().enumerate() {
        groups.entry(Reverse(claim.priority)).or_default().push(queue);
    }
    if division.left > 0 {
        groups.values().for_each(|group| division.by_weight(group));
        groups.values().for_each(|group| division.by_remainder(group));
    }
    // A share is at most an i64 of the claim, or part of `amount`.
    division.shares.into_iter().map(|share| i64::try_from(share).unwrap_or(i64::MAX)).collect()
}

/// A division under way. Queues are positions in `claims`.
struct Division<'a> {
    unit: i128,
    claims: &'a [Claim<'a>],
    shares: Vec<i128>,
    /// What was cut off each queue's part: a whole number, and a rest over the sum of the share weights. Who has one takes
    /// part in every later round, since share weights only grow when others are satisfied. So all of one priority are from
    /// the same round, over the same sum, and pairs compare as the fractions do.
    remainders: Vec<(i128, i128)>,
    /// What nobody has yet; not positive if the guarantees took it all.
    left: i128,
}

impl<'a> Division<'a> {
    /// Everybody has what it deserves.
    fn of_guarantees(amount: i128, unit: i128, claims: &'a [Claim<'a>]) -> Self {
        let guaranteed = |claim: &Claim<'_>| {
            let deserved = claim.deserved.map_or(amount, |deserved| deserved.max(0).into());
            deserved.min(claim.requestable.max(0).into())
        };
        let shares: Vec<i128> = claims.iter().map(guaranteed).collect();
        let left = amount - shares.iter().sum::<i128>();
        Division { unit, claims, shares, remainders: vec![(0, 0); claims.len()], left }
    }

    /// Divides what is left among the open queues of one priority, in rounds.
    fn by_weight(&mut self, group: &[usize]) {
        loop {
            let open: Vec<usize> = group.iter().copied().filter(|&queue| self.want(queue) > 0).collect();
            let weights = share_weights(self.claims, &open);
            let (pool, total) = (self.left, weights.iter().sum::<i128>());
            if total == 0 {
                return;
            }
            let mut spare = false;
            for (queue, weight) in open.into_iter().zip(weights).filter(|&(_, weight)| weight > 0) {
                let (part, rest) = (pool * weight / total, pool * weight % total);
                let want = self.want(queue);
                if want <= part {
                    self.give(queue, want);
                    self.remainders[queue] = (0, 0);
                    spare |= want < part || rest > 0;
                } else {
                    let cut = part % self.unit;
                    self.give(queue, part - cut);
                    self.remainders[queue] = (cut, rest);
                }
            }
            if !spare || self.left == 0 {
                return;
            }
        }
    }

    /// Gives one unit, or whatever is left, to each queue of one priority whose part was cut.
    fn by_remainder(&mut self, group: &[usize]) {
        let mut cut: Vec<usize> = group.iter().copied().filter(|&queue| self.remainders[queue] > (0, 0)).collect();
        cut.sort_by_key(|&queue| (Reverse(self.remainders[queue]), self.claims[queue].rank, self.claims[queue].name));
        for queue in cut {
            self.give(queue, self.unit.min(self.left));
        }
    }

    /// How much more the queue could use; not positive once it is satisfied.
    fn want(&self, queue: usize) -> i128 {
        i128::from(self.claims[queue].requestable) - self.shares[queue]
    }

    fn give(&mut self, queue: usize, gift: i128) {
        self.shares[queue] += gift;
        self.left -= gift;
    }
}

/// What each of the open queues counts with: n + k · (n − usage), at least 0, where n is its part of the weights. All are
/// multiplied by the same number, 1000 · `USAGE_PARTS` · sum of the weights, which makes them whole.
fn share_weights(claims: &[Claim<'_>], open: &[usize]) -> Vec<i128> {
    let weight = |queue: usize| i128::from(claims[queue].weight.clamp(0, WEIGHT_MAX));
    let total: i128 = open.iter().map(|&queue| weight(queue)).sum();
    let share_weight = |&queue: &usize| {
        let (k, used) = claims[queue].usage.factors();
        ((1000 + k) * weight(queue) * i128::from(USAGE_PARTS) - k * total * used).max(0)
    };
    open.iter().map(share_weight).collect()
}
