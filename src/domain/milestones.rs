/// The most milestones that can be configured: more than anyone celebrates.
const MOST: usize = 100;

/// The tallies that earn a recognition, ascending; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Milestones(Vec<u64>);

/// Why a text lists no milestones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("milestones are up to {MOST} whole numbers from 1 to 1000000000, ascending, separated by commas")]
pub struct InvalidMilestones;

impl Milestones {
    /// Reads `3,10,100`.
    pub fn parse(text: &str) -> Result<Self, InvalidMilestones> {
        let numbers: Result<Vec<u64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
        let numbers = numbers.map_err(|_| InvalidMilestones)?;
        let ascending = numbers.is_sorted_by(|a, b| a < b);
        let sound =
            ascending && numbers.len() <= MOST && numbers.iter().all(|n| (1..=1_000_000_000).contains(n));
        if sound { Ok(Self(numbers)) } else { Err(InvalidMilestones) }
    }

    /// Every milestone in (`recognized`, `tally`], ascending.
    pub fn between(&self, recognized: u64, tally: u64) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().copied().filter(move |m| recognized < *m && *m <= tally)
    }

    /// The first milestone above `recognized`.
    #[must_use]
    pub fn next(&self, recognized: u64) -> Option<u64> {
        self.0.iter().copied().find(|m| *m > recognized)
    }

    /// The highest milestone that `tally` has reached; 0 below the first.
    #[must_use]
    pub fn reached(&self, tally: u64) -> u64 {
        self.0.iter().copied().take_while(|m| *m <= tally).last().unwrap_or_default()
    }
}

impl std::fmt::Display for Milestones {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<_> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&all.join(", "))
    }
}

impl Default for Milestones {
    fn default() -> Self {
        Self(vec![3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ascending_whole_numbers_are_milestones() {
        assert_eq!(Milestones::parse(" 3, 10 ,100").unwrap().0, [3, 10, 100]);
        for text in ["", "0", "3,3", "10,3", "-1", "3,", "three", "3;4", "99999999999999999999"] {
            assert!(Milestones::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_highest_milestone_at_or_below_a_tally_is_reached() {
        let milestones = Milestones::parse("3,10").unwrap();
        let reached: Vec<_> = [0, 2, 3, 9, 10, 1_000].map(|tally| milestones.reached(tally)).to_vec();
        assert_eq!(reached, [0, 0, 3, 3, 10, 10]);
    }
}
