//! Interning: equal shapes are stored once and compared by number.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

/// A value stored once per interner, with a number that is never used twice.
#[derive(Debug)]
pub struct Shared<T> {
    id: u32,
    value: Arc<T>,
}

impl<T> Shared<T> {
    /// The number of this value, unique within its interner.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared { id: self.id, value: Arc::clone(&self.value) }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<T> Eq for Shared<T> {}

impl<T> PartialOrd for Shared<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Shared<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

/// Hands out one [`Shared`] per distinct value, and forgets values that nobody holds any more.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    known: BTreeMap<Arc<T>, u32>,
    next_id: u32,
    sweep_at: usize,
}

/// Below this many values a sweep is not worth its cost.
const SWEEP_AT_LEAST: usize = 256;

impl<T: Ord> Default for Interner<T> {
    fn default() -> Self {
        Interner::new()
    }
}

impl<T: Ord> Interner<T> {
    pub(crate) fn new() -> Self {
        Interner { known: BTreeMap::new(), next_id: 0, sweep_at: SWEEP_AT_LEAST }
    }

    /// How many numbers have been handed out so far.
    pub(crate) fn handed_out(&self) -> u32 {
        self.next_id
    }

    /// The known values, in their order; some may be unused by now.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.known.keys().map(|value| &**value)
    }

    pub(crate) fn intern(&mut self, value: T) -> Shared<T> {
        if let Some((value, &id)) = self.known.get_key_value(&value) {
            return Shared { id, value: Arc::clone(value) };
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|value, _| Arc::strong_count(value) > 1);
            self.sweep_at = SWEEP_AT_LEAST.max(2 * self.known.len());
        }
        let (id, value) = (self.next_id, Arc::new(value));
        self.next_id += 1;
        self.known.insert(Arc::clone(&value), id);
        Shared { id, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_number_and_unused_ones_are_forgotten() {
        let mut interner = Interner::new();
        let kept = interner.intern(0);
        assert_eq!(kept, interner.intern(0));
        for value in 1..1000 {
            assert_ne!(kept, interner.intern(value));
        }
        assert!(interner.known.len() <= SWEEP_AT_LEAST, "{} values kept", interner.known.len());
        assert_eq!(kept, interner.intern(0));
    }
}
