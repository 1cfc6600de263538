//! The promises as a plain model: what was sent, what was acknowledged, and what the ledger must hold then.
//!
//! Every request is a fact about one thing that a contributor did. Facts may arrive in any order and any number of
//! times, so what a ledger must hold follows from the set of acknowledged facts alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What a request says about a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    /// It was done.
    Recorded,
    /// Its labels at this second of its life, and whether one of them rejects it.
    Labels { second: u32, rejects: bool },
    /// The host deleted it.
    Gone,
    /// A client took it back.
    TakenBack,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// 2xx. `news` where the answer says that it was counted now.
    Acknowledged { news: bool },
    /// 404: there is nothing to take back.
    NothingThere,
    /// 503, or no answer: it may have been applied or not, or will be.
    Unanswered,
}

/// One thing that a contributor did.
#[derive(Clone, Debug, Default)]
struct Thing {
    who: String,
    /// Facts that were sent at least once.
    sent: BTreeSet<Fact>,
    /// Facts that were acknowledged.
    known: BTreeSet<Fact>,
}

impl Thing {
    fn labels(facts: &BTreeSet<Fact>) -> Option<(u32, bool)> {
        let labels = facts.iter().filter_map(|fact| match fact {
            Fact::Labels { second, rejects } => Some((*second, *rejects)),
            _ => None,
        });
        labels.max()
    }

    fn counts(facts: &BTreeSet<Fact>) -> bool {
        let rejected = Self::labels(facts).is_some_and(|(_, rejects)| rejects);
        facts.contains(&Fact::Recorded)
            && !facts.contains(&Fact::Gone)
            && !facts.contains(&Fact::TakenBack)
            && !rejected
    }

    /// Whether any subset of what is sent and not acknowledged lets it count.
    fn may_count(&self) -> bool {
        let rejected = Self::labels(&self.known).filter(|(_, rejects)| *rejects);
        let freed = |(at, _)| {
            let newer = |fact: &Fact| matches!(fact, Fact::Labels { second, rejects: false } if *second > at);
            self.sent.iter().any(newer)
        };
        self.sent.contains(&Fact::Recorded)
            && !self.known.contains(&Fact::Gone)
            && !self.known.contains(&Fact::TakenBack)
            && rejected.is_none_or(freed)
    }
}

/// The ledger as it is read through the API.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) tallies: BTreeMap<String, u64>,
    /// The contributions that count, by contributor.
    pub(super) counted: BTreeMap<String, BTreeSet<String>>,
    /// The ids of all recognitions as they are listed.
    pub(super) recognitions: Vec<String>,
}

/// What must hold, whatever fails.
#[derive(Debug, Default)]
pub(super) struct Model {
    things: BTreeMap<String, Thing>,
    milestones: BTreeSet<u64>,
    /// Recognitions that somebody may have earned at some time.
    earnable: BTreeSet<(String, u64)>,
    /// Recognitions that were answered to a client.
    announced: BTreeSet<(String, u64)>,
    /// Recognitions that were in the ledger when it was last read.
    held: BTreeSet<(String, u64)>,
    /// Whatever was already wrong in an answer.
    faults: Vec<String>,
}

fn parse(recognition: &str) -> (String, u64) {
    let (who, milestone) = recognition.rsplit_once(':').unwrap();
    (who.to_owned(), milestone.parse().unwrap())
}

impl Model {
    /// The milestones that all processes have from now on.
    pub(super) fn configure(&mut self, milestones: &[u64]) {
        self.milestones = milestones.iter().copied().collect();
        self.note_earnable();
    }

    /// Notes that a request is about to be sent. Returns whether its fact was acknowledged before.
    pub(super) fn sends(&mut self, id: &str, who: &str, fact: Fact) -> bool {
        let thing = self.things.entry(id.to_owned()).or_default();
        who.clone_into(&mut thing.who);
        thing.sent.insert(fact);
        let known = thing.known.contains(&fact);
        self.note_earnable();
        known
    }

    /// Whether this thing's recording was acknowledged.
    pub(super) fn is_recorded(&self, id: &str) -> bool {
        self.things.get(id).is_some_and(|thing| thing.known.contains(&Fact::Recorded))
    }

    /// Notes an answer. `known` and `recorded` are what was acknowledged before the request was sent.
    pub(super) fn answered(&mut self, id: &str, fact: Fact, ending: Ending, known: bool, recorded: bool) {
        let thing = self.things.get_mut(id).unwrap();
        match ending {
            Ending::Acknowledged { news } => {
                thing.known.insert(fact);
                if news && known && fact == Fact::Recorded {
                    self.faults.push(format!("{id} was acknowledged, and later answered as new"));
                }
            }
            Ending::NothingThere => {
                if recorded {
                    self.faults.push(format!("{id} was acknowledged, and is not there"));
                }
                if !thing.known.contains(&fact) {
                    thing.sent.remove(&fact);
                }
            }
            Ending::Unanswered => {}
        }
    }

    /// Notes the recognitions that an answer names: they are made, and durable.
    pub(super) fn announced(&mut self, answer: &Value) {
        let named = answer["recognitions"].as_array().into_iter().flatten();
        self.announced.extend(named.map(|id| parse(id.as_str().unwrap())));
    }

    /// The facts that were sent and not acknowledged.
    pub(super) fn unanswered(&self) -> Vec<(String, Fact)> {
        let of = |(id, thing): (&String, &Thing)| {
            let open: Vec<_> = thing.sent.difference(&thing.known).map(|fact| (id.clone(), *fact)).collect();
            open
        };
        self.things.iter().flat_map(of).collect()
    }

    fn note_earnable(&mut self) {
        let mut most: BTreeMap<&str, u64> = BTreeMap::new();
        for thing in self.things.values().filter(|thing| thing.may_count()) {
            *most.entry(&thing.who).or_default() += 1;
        }
        for (who, most) in most {
            let reached = self.milestones.range(..=most);
            self.earnable.extend(reached.map(|milestone| (who.to_owned(), *milestone)));
        }
    }

    /// Everything that is wrong with a ledger that is read while no request is unanswered and the outbox is empty.
    pub(super) fn faults(&mut self, ledger: &Ledger, published: &BTreeSet<String>) -> Vec<String> {
        assert_eq!(self.unanswered(), [], "a request is unanswered");
        let mut faults = std::mem::take(&mut self.faults);
        self.hold_tallies(ledger, &mut faults);
        let listed: BTreeSet<_> = ledger.recognitions.iter().map(|id| parse(id)).collect();
        if listed.len() != ledger.recognitions.len() {
            faults.push(format!("a recognition is listed twice: {:?}", ledger.recognitions));
        }
        for (who, milestone) in self.held.union(&self.announced).filter(|made| !listed.contains(made)) {
            faults.push(format!("{who}:{milestone} was made, and is not there"));
        }
        for (who, milestone) in listed.difference(&self.held) {
            let before = self.held.iter().filter(|(other, _)| other == who).map(|(_, held)| held).max();
            if before.is_some_and(|before| before > milestone) {
                faults.push(format!("{who}:{milestone} was made below {before:?}, which was held"));
            }
        }
        for (who, milestone) in listed.difference(&self.earnable) {
            faults.push(format!("{who}:{milestone} was made, and never earned"));
        }
        faults.extend(self.owed(&self.tallies(), &listed));
        let ids: BTreeSet<_> = ledger.recognitions.iter().cloned().collect();
        for id in ids.difference(published) {
            faults.push(format!("{id} was made, and never published"));
        }
        for id in published.difference(&ids) {
            faults.push(format!("{id} was published, and is not in the ledger"));
        }
        self.held = listed;
        faults
    }

    /// What is owed at these tallies, and not made.
    fn owed(&self, tallies: &BTreeMap<String, u64>, made: &BTreeSet<(String, u64)>) -> Vec<String> {
        let mut faults = Vec::new();
        for (who, tally) in tallies {
            let highest = made.iter().filter(|(other, _)| other == who).map(|(_, held)| *held).max();
            for milestone in self.milestones.range(..=*tally) {
                if highest.is_none_or(|highest| highest < *milestone) {
                    faults.push(format!("{who}:{milestone} is owed at a tally of {tally}, and was not made"));
                }
            }
        }
        faults
    }

    /// What is wrong with a ledger in itself after a drain. Requests may be unanswered: a host never sends them again.
    pub(super) fn faults_in_itself(&self, ledger: &Ledger) -> Vec<String> {
        let made = ledger.recognitions.iter().map(|id| parse(id)).collect();
        let mut faults = self.owed(&ledger.tallies, &made);
        for (who, tally) in &ledger.tallies {
            let counted = ledger.counted.get(who).map_or(0, BTreeSet::len) as u64;
            if counted != *tally {
                faults.push(format!("{who} has a tally of {tally}, and {counted} contributions"));
            }
        }
        faults
    }

    fn counted(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut counted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (id, thing) in self.things.iter().filter(|(_, thing)| Thing::counts(&thing.known)) {
            counted.entry(thing.who.clone()).or_default().insert(id.clone());
        }
        counted
    }

    fn tallies(&self) -> BTreeMap<String, u64> {
        self.counted().into_iter().map(|(who, ids)| (who, ids.len() as u64)).collect()
    }

    fn hold_tallies(&self, ledger: &Ledger, faults: &mut Vec<String>) {
        let (tallies, counted) = (self.tallies(), self.counted());
        let everyone: BTreeSet<_> = tallies.keys().chain(ledger.tallies.keys()).collect();
        for who in everyone {
            let (right, found) = (tallies.get(who).unwrap_or(&0), ledger.tallies.get(who).unwrap_or(&0));
            if right != found {
                faults.push(format!("{who} has a tally of {found}, and should have {right}"));
            }
            let none = BTreeSet::new();
            let (right, found) =
                (counted.get(who).unwrap_or(&none), ledger.counted.get(who).unwrap_or(&none));
            faults.extend(right.difference(found).map(|id| format!("{id} was acknowledged, and is lost")));
            faults.extend(found.difference(right).map(|id| format!("{id} counts, and should not")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledged(model: &mut Model, id: &str, fact: Fact) {
        model.sends(id, "ann", fact);
        model.answered(id, fact, Ending::Acknowledged { news: true }, false, false);
    }

    /// A model with milestone 2, of which Ann reached it with three contributions.
    fn of_three() -> (Model, Ledger, BTreeSet<String>) {
        let mut model = Model::default();
        model.configure(&[2]);
        for id in ["a", "b", "c"] {
            acknowledged(&mut model, id, Fact::Recorded);
        }
        let counted = ["a", "b", "c"].map(str::to_owned).into();
        let ledger = Ledger {
            tallies: [("ann".to_owned(), 3)].into(),
            counted: [("ann".to_owned(), counted)].into(),
            recognitions: vec!["ann:2".to_owned()],
        };
        (model, ledger, ["ann:2".to_owned()].into())
    }

    #[test]
    fn the_model_agrees_with_a_right_ledger() {
        let (mut model, ledger, published) = of_three();
        assert_eq!(model.faults(&ledger, &published), Vec::<String>::new());
    }

    /// What is wrong with the ledger of [`of_three`] after this change of it.
    fn faults_after(change: impl FnOnce(&mut Model, &mut Ledger, &mut BTreeSet<String>)) -> String {
        let (mut model, mut ledger, mut published) = of_three();
        change(&mut model, &mut ledger, &mut published);
        model.faults(&ledger, &published).join("; ")
    }

    #[test]
    fn the_model_finds_each_promise_that_is_broken() {
        let lost = faults_after(|_, ledger, _| {
            ledger.counted.get_mut("ann").unwrap().remove("b");
        });
        assert_eq!(lost, "b was acknowledged, and is lost");
        let doubled = faults_after(|_, ledger, _| *ledger.tallies.get_mut("ann").unwrap() += 1);
        assert_eq!(doubled, "ann has a tally of 4, and should have 3");
        let kept = faults_after(|model, _, _| acknowledged(model, "c", Fact::TakenBack));
        assert_eq!(kept, "ann has a tally of 3, and should have 2; c counts, and should not");
        let forgotten = faults_after(|_, ledger, published| {
            ledger.recognitions.clear();
            published.clear();
        });
        assert_eq!(forgotten, "ann:2 is owed at a tally of 3, and was not made");
        let silent = faults_after(|_, _, published| published.clear());
        assert_eq!(silent, "ann:2 was made, and never published");
        let invented = faults_after(|_, ledger, published| {
            ledger.recognitions.push("bob:2".to_owned());
            published.insert("bob:2".to_owned());
        });
        assert_eq!(invented, "bob:2 was made, and never earned");
        let twice = faults_after(|_, ledger, _| ledger.recognitions.push("ann:2".to_owned()));
        assert!(twice.starts_with("a recognition is listed twice"), "{twice}");
    }

    #[test]
    fn the_model_finds_what_is_taken_back_made_below_or_answered_as_new_again() {
        let (mut model, ledger, published) = of_three();
        model.faults(&ledger, &published);
        let gone = Ledger { recognitions: Vec::new(), ..ledger.clone() };
        let faults = model.faults(&gone, &BTreeSet::new()).join("; ");
        assert!(faults.contains("ann:2 was made, and is not there"), "{faults}");
        model.faults(&ledger, &published);

        model.configure(&[1, 2]);
        let below = Ledger { recognitions: vec!["ann:1".to_owned(), "ann:2".to_owned()], ..ledger };
        let published = below.recognitions.iter().cloned().collect();
        let faults = model.faults(&below, &published);
        assert_eq!(faults, ["ann:1 was made below Some(2), which was held"]);

        model.answered("a", Fact::Recorded, Ending::Acknowledged { news: true }, true, true);
        model.answered("b", Fact::TakenBack, Ending::NothingThere, false, true);
        let faults = model.faults(&below, &published);
        assert_eq!(
            faults,
            ["a was acknowledged, and later answered as new", "b was acknowledged, and is not there"]
        );
    }

    #[test]
    fn the_model_finds_what_is_wrong_in_itself_while_requests_are_unanswered() {
        let (mut model, ledger, _) = of_three();
        model.sends("d", "ann", Fact::Recorded);
        assert_eq!(model.faults_in_itself(&ledger), Vec::<String>::new());
        let mut owing = ledger.clone();
        owing.recognitions.clear();
        assert_eq!(model.faults_in_itself(&owing), ["ann:2 is owed at a tally of 3, and was not made"]);
        let mut doubled = ledger;
        doubled.tallies.insert("ann".to_owned(), 4);
        assert_eq!(model.faults_in_itself(&doubled), ["ann has a tally of 4, and 3 contributions"]);
    }

    #[test]
    fn what_nobody_can_have_reached_was_never_earned() {
        let mut model = Model::default();
        model.configure(&[1]);
        model.sends("a", "ann", Fact::TakenBack);
        model.answered("a", Fact::TakenBack, Ending::Acknowledged { news: false }, false, false);
        acknowledged(&mut model, "a", Fact::Recorded);
        let ledger = Ledger { recognitions: vec!["ann:1".to_owned()], ..Ledger::default() };
        assert_eq!(model.faults(&ledger, &["ann:1".to_owned()].into()), ["ann:1 was made, and never earned"]);
        // The newest labels decide: a rejecting one, until a newer one is sent.
        acknowledged(&mut model, "b", Fact::Labels { second: 2, rejects: true });
        acknowledged(&mut model, "b", Fact::Recorded);
        assert!(!model.things["b"].may_count());
        model.sends("b", "ann", Fact::Labels { second: 3, rejects: false });
        assert!(model.things["b"].may_count() && !Thing::counts(&model.things["b"].known));
    }
}
