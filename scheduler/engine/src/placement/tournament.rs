//! The least of many keys, with O(log n) updates: a tree of matches whose root is the winner.

/// Keys by position; absent ones never win.
#[derive(Debug)]
pub(super) struct Tournament<K> {
    /// Matches 1..leaves, then the keys; position 0 is unused.
    tree: Vec<Option<K>>,
    leaves: usize,
}

impl<K> Default for Tournament<K> {
    fn default() -> Self {
        Tournament { tree: Vec::new(), leaves: 0 }
    }
}

impl<K: Ord + Copy> Tournament<K> {
    /// Sets every key at once.
    pub(super) fn reset(&mut self, keys: impl ExactSizeIterator<Item = Option<K>>) {
        self.leaves = keys.len().next_power_of_two();
        self.tree.clear();
        self.tree.resize(self.leaves, None);
        self.tree.extend(keys);
        self.tree.resize(2 * self.leaves, None);
        for node in (1..self.leaves).rev() {
            self.tree[node] = winner(self.tree[2 * node], self.tree[2 * node + 1]);
        }
    }

    /// How many positions there are.
    pub(super) fn len(&self) -> usize {
        self.leaves
    }

    /// Sets one key; its position must be below [`Tournament::len`].
    pub(super) fn set(&mut self, position: usize, key: Option<K>) {
        let mut node = self.leaves + position;
        self.tree[node] = key;
        while node > 1 {
            node /= 2;
            let won = winner(self.tree[2 * node], self.tree[2 * node + 1]);
            if self.tree[node] == won {
                break;
            }
            self.tree[node] = won;
        }
    }

    /// The least key.
    pub(super) fn first(&self) -> Option<K> {
        *self.tree.get(1)?
    }

    /// The least key but that at `position`.
    pub(super) fn first_but(&self, position: usize) -> Option<K> {
        let mut node = self.leaves + position;
        let mut best = None;
        while node > 1 {
            best = winner(best, self.tree[node ^ 1]);
            node /= 2;
        }
        best
    }
}

fn winner<K: Ord>(a: Option<K>, b: Option<K>) -> Option<K> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_winner_and_the_runner_up_follow_every_change() {
        let mut keys = [Some(7), Some(3), None, Some(5), Some(9)];
        let mut tournament = Tournament::default();
        tournament.reset(keys.iter().copied());
        for (position, key) in [(1, None), (0, Some(1)), (4, Some(0)), (4, None), (2, Some(2))] {
            keys[position] = key;
            tournament.set(position, key);
            let mut present: Vec<_> = keys.iter().flatten().copied().collect();
            present.sort();
            let best = keys.iter().position(|key| *key == present.first().copied()).unwrap_or(0);
            assert_eq!(tournament.first(), present.first().copied());
            assert_eq!(tournament.first_but(best), present.get(1).copied());
        }
    }
}
