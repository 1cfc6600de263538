//! Inputs near genuine ones: a seed's bytes, or its JSON tree, with a few changes.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

/// What parsers stumble over: tokens of JSON, forms, headers, ids and cursors, and letters that are no letters.
const WORDS: &[&str] = &[
    "null",
    "true",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\udc00",
    "1e400",
    "-0",
    "18446744073709551616",
    "9223372036854775807",
    "0.1",
    "payload=",
    "&",
    "=",
    "%",
    "%00",
    "%2F",
    "%ff",
    "+",
    "sha256=",
    "v1,",
    "whsec_",
    "application/json",
    "application/x-www-form-urlencoded; charset=utf-8",
    "identity",
    "refs/heads/",
    "refs/tags/",
    "Merge pull request #1 from ",
    "Co-authored-by: A <1+a@users.noreply.github.com>",
    "\n\nSee merge request a/b!1",
    " (#1)",
    "[bot]",
    "github:",
    "gitlab:",
    "api:",
    "github.com",
    "gitlab.com:443",
    "http://[::1]:80/",
    "https://",
    "..",
    "/",
    "//",
    "@",
    "*",
    "{contributor}",
    "{title}",
    "<!--",
    "\u{0}",
    "\u{202e}",
    "\u{200b}",
    "\u{1f3f3}",
    "\u{130}",
    "\r\n",
    "\t",
    "\u{7f}",
    "2026-11-24T10:00:00Z",
    "+99999-01-01T00:00:00Z",
    "0000-00-00T24:60:60-99:99",
    "0000000000000000000000000000000000000000",
];

/// The longest input, but for targets with limits that are greater.
const LONGEST: usize = 48 * 1024;

pub(super) struct Mutator {
    rng: StdRng,
}

impl Mutator {
    /// Makes the same changes whenever it is made of the same seed.
    pub(super) fn of(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed) }
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        all.choose(&mut self.rng).unwrap()
    }

    /// One of the seeds, changed.
    pub(super) fn near(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.one_of(seeds).clone();
        let tree = serde_json::from_slice::<Value>(&input).ok().filter(|_| self.chance(0.75));
        if let Some(mut tree) = tree {
            for _ in 0..self.rng.random_range(1..=6) {
                self.change_tree(&mut tree);
            }
            input = tree.to_string().into_bytes();
            if self.chance(0.7) {
                return input;
            }
        }
        for _ in 0..self.rng.random_range(1..=6) {
            self.change_bytes(&mut input, seeds);
        }
        input.truncate(LONGEST);
        input
    }

    /// A text near one of the seeds.
    pub(super) fn text_near(&mut self, seeds: &[&str]) -> String {
        let seeds: Vec<_> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
        String::from_utf8_lossy(&self.near(&seeds)).into_owned()
    }

    fn change_bytes(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.rng.random_range(0..=input.len());
        let end = (at + self.rng.random_range(0..=32)).min(input.len());
        match self.rng.random_range(0..9) {
            0 if at < input.len() => input[at] ^= 1 << self.rng.random_range(0..8),
            1 if at < input.len() => input[at] = self.rng.random(),
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 => {
                let again = input[at..end].repeat(self.rng.random_range(1..=64));
                input.splice(at..at, again);
            }
            5 => {
                let other = self.one_of(seeds).clone();
                let from = self.rng.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 => {
                let deep = ["[", "{\"a\":", "\"", "\\", "%"].choose(&mut self.rng).unwrap();
                let deep = deep.repeat(self.rng.random_range(1..=300));
                input.splice(at..at, deep.into_bytes());
            }
            _ => {
                let word = self.one_of(WORDS).as_bytes().to_vec();
                input.splice(at..end, word);
            }
        }
    }

    fn change_tree(&mut self, tree: &mut Value) {
        let other = self.node(tree).clone();
        let value = self.value(other);
        let renamed = (*self.one_of(WORDS)).to_owned();
        let (act, times) = (self.rng.random_range(0..10), self.rng.random_range(1..=40));
        match self.node(tree) {
            Value::Object(fields) if act < 2 && !fields.is_empty() => {
                let name = fields.keys().nth(times % fields.len()).unwrap().clone();
                let old = fields.remove(&name).unwrap();
                if act == 1 {
                    fields.insert(renamed, old);
                }
            }
            Value::Array(items) if act < 4 && !items.is_empty() => {
                let item = items[times % items.len()].clone();
                items.extend(std::iter::repeat_n(item, times));
            }
            Value::String(text) if act < 5 => {
                let at = text.char_indices().map(|(at, _)| at).nth(times % (text.chars().count() + 1));
                text.insert_str(at.unwrap_or(text.len()), &renamed);
            }
            Value::Number(number) if act < 4 => {
                let near = number.as_u64().unwrap_or(1);
                *number = [near ^ 1, near.wrapping_add(1), near << 1, u64::MAX][times % 4].into();
            }
            node => *node = value,
        }
    }

    /// A node of the tree, deep ones and shallow ones.
    fn node<'a>(&mut self, mut node: &'a mut Value) -> &'a mut Value {
        loop {
            let stop = self.rng.random_bool(0.15);
            let count = match &*node {
                Value::Object(fields) => fields.len(),
                Value::Array(items) => items.len(),
                _ => 0,
            };
            if stop || count == 0 {
                return node;
            }
            let at = self.rng.random_range(0..count);
            node = match node {
                Value::Object(fields) => fields.values_mut().nth(at).unwrap(),
                Value::Array(items) => &mut items[at],
                _ => unreachable!("it has parts"),
            };
        }
    }

    fn value(&mut self, other: Value) -> Value {
        let word = (*self.one_of(WORDS)).to_owned();
        match self.rng.random_range(0..12) {
            0 => Value::Null,
            1 => json!(self.rng.random_bool(0.5)),
            2 => json!(""),
            3 => json!(self.rng.random::<u64>()),
            4 => json!(self.rng.random::<i64>()),
            5 => json!(self.rng.random::<f64>()),
            6 => json!([]),
            7 => json!({}),
            8 => json!(word.repeat(self.rng.random_range(1..=800))),
            9 | 10 => json!(word),
            _ => other,
        }
    }
}
