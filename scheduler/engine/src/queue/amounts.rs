//! Amounts of the resources that queues account: GPU (thousandths), CPU (thousandths of a core), memory (MiB), and GPU per
//! model for the models that some queue has a quota of.

use std::ops::{Index, IndexMut};

use smallvec::SmallVec;

/// Position of GPU in [`Amounts`].
pub const GPU: usize = 0;
/// Position of CPU in [`Amounts`].
pub const CPU: usize = 1;
/// Position of memory in [`Amounts`].
pub const MEMORY: usize = 2;
/// Positions from here on are GPU models, in the order of [`super::Queues::models`].
pub const MODELS: usize = 3;

/// One number per accounted resource. What is not there counts as 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Amounts(SmallVec<[i64; 3]>);

impl Amounts {
    /// Nothing of any of the three resources every queue accounts.
    pub fn zero() -> Self {
        Amounts(SmallVec::from_elem(0, MODELS))
    }

    /// GPU in thousandths, CPU in thousandths of a core, memory in MiB.
    pub fn of(gpu_milli: i64, cpu_milli: i64, memory_mib: i64) -> Self {
        Amounts(SmallVec::from_buf([gpu_milli, cpu_milli, memory_mib]))
    }

    /// How many resources it speaks of.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: three resources are always there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The amount of one resource.
    pub fn get(&self, resource: usize) -> i64 {
        self.0.get(resource).copied().unwrap_or(0)
    }

    /// Every amount, by resource.
    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        self.0.iter().copied()
    }

    /// Adds `times` the other amounts; negative to take away.
    pub fn add(&mut self, other: &Amounts, times: i64) {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs * times;
        }
        // One way to write each amount: equal ones compare as equal.
        while self.0.len() > MODELS && self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// The sum of both.
    pub fn plus(&self, other: &Amounts) -> Amounts {
        let mut sum = self.clone();
        sum.add(other, 1);
        sum
    }

    /// The difference of both.
    pub fn less(&self, other: &Amounts) -> Amounts {
        let mut difference = self.clone();
        difference.add(other, -1);
        difference
    }
}

impl Index<usize> for Amounts {
    type Output = i64;

    fn index(&self, resource: usize) -> &i64 {
        &self.0[resource]
    }
}

impl IndexMut<usize> for Amounts {
    fn index_mut(&mut self, resource: usize) -> &mut i64 {
        if resource >= self.0.len() {
            self.0.resize(resource + 1, 0);
        }
        &mut self.0[resource]
    }
}
