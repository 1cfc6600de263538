//! A map that keeps what was inserted last.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A map of at least the `half` entries that were inserted last, and at most twice as many: entries go into a new
/// map, and once that is full it becomes the old one, which is then dropped as a whole.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    half: usize,
    new: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Copy> Recent<K, V> {
    pub(super) fn of(half: usize) -> Self {
        Self { half: half.max(1), new: HashMap::new(), old: HashMap::new() }
    }

    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.new.get(key).or_else(|| self.old.get(key)).copied()
    }

    /// Whether others were dropped for it.
    pub(super) fn insert(&mut self, key: K, value: V) -> bool {
        let full = self.new.len() >= self.half && !self.new.contains_key(&key);
        let dropped = if full {
            let old = std::mem::replace(&mut self.old, std::mem::take(&mut self.new));
            !old.is_empty()
        } else {
            false
        };
        self.new.insert(key, value);
        dropped
    }

    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.new.remove(key);
        self.old.remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.new.clear();
        self.old.clear();
    }
}
