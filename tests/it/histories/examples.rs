//! The generator and the oracle themselves: small histories whose end is known, payloads in the documented
//! shape, and every kind of happening among the first few hundred seeds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::drive::{arrivals, deliveries, expected};
use super::oracle::Oracle;
use super::rules_of;
use super::world::{
    Action, Address, Branch, Commit, Committer, Event, Host, Item, Kind, Nature, Place, Push, Role, Rules,
    Signature, What, World,
};
use crate::support::fixture;

const ADA: usize = 0;
const BO: usize = 1;

/// A history without events on that host, with its first two people.
fn world(host: Host) -> World {
    let mut seeds = (0..).map(|seed| World::of(seed, 1, &Rules::DEFAULT));
    let mut world = seeds.find(|world| world.site.host == host && !world.site.name.contains('.')).unwrap();
    world.events.clear();
    world
}

fn item(kind: Kind, author: usize, at: i64, action: Action, labels: &[&'static str]) -> Event {
    let draft = false;
    let item = Item {
        kind,
        number: 7,
        author,
        opened_at: 0,
        labels: labels.to_vec(),
        draft,
        confidential: false,
        base: "main",
        action,
    };
    Event { at, actor: author, place: Place::Home, what: What::Item(item) }
}

fn issue(at: i64, action: Action, labels: &[&'static str]) -> Event {
    item(Kind::Issue, ADA, at, action, labels)
}

fn pull_request(at: i64, action: Action, labels: &[&'static str]) -> Event {
    item(Kind::PullRequest, ADA, at, action, labels)
}

fn as_draft(mut event: Event) -> Event {
    if let What::Item(item) = &mut event.what {
        item.draft = true;
    }
    event
}

fn by(actor: usize, event: Event) -> Event {
    Event { actor, ..event }
}

fn commit(at: i64, who: usize, role: Role) -> Commit {
    Commit {
        sha: format!("{at:040x}"),
        at,
        message: "Trim".into(),
        author: Signature { who, address: Address::Account, alias: false, named: true },
        committer: Committer::Author,
        role,
        co_authors: Vec::new(),
        distinct: true,
    }
}

fn unnamed(at: i64, who: usize) -> Commit {
    let author = Signature { who, address: Address::Unknown, alias: false, named: false };
    Commit { author, ..commit(at, who, Role::Plain) }
}

fn push(pusher: usize, commits: Vec<Commit>) -> Event {
    let (at, after) = commits.last().map(|last| (last.at, last.sha.clone())).unwrap();
    let before = "0".repeat(40);
    let push = Push { branch: Branch::Default, before, after, commits, shown: None, created: false };
    Event { at, actor: pusher, place: Place::Home, what: What::Push(push) }
}

/// Ada's and Bo's tallies, and how many milestones each has reached, whatever the host.
fn end(host: Host, rules: Rules, events: &[Event]) -> [(usize, usize); 2] {
    let world = world(host);
    let mut oracle = Oracle::new(&world, &rules);
    for event in events {
        oracle.arrives(event);
    }
    let standings = oracle.standings();
    [ADA, BO].map(|who| {
        let standing = standings.get(&world.contributor(who)).cloned().unwrap_or_default();
        (standing.counted.len(), standing.recognized.len())
    })
}

fn tallies(host: Host, events: &[Event]) -> [usize; 2] {
    end(host, Rules::DEFAULT, events).map(|(tally, _)| tally)
}

/// The same whatever arrives first.
#[track_caller]
fn in_any_order(host: Host, events: &[Event], tally: usize) {
    for first in 0..events.len() {
        let mut events = events.to_vec();
        events.rotate_left(first);
        assert_eq!(tallies(host, &events)[ADA], tally);
        events.reverse();
        assert_eq!(tallies(host, &events)[ADA], tally);
    }
}

#[test]
fn opening_and_landing_are_one_contribution_beside_an_issue() {
    let squash = push(BO, vec![commit(20, ADA, Role::LandsItself(7))]);
    let events = [issue(1, Action::Opened, &[]), pull_request(10, Action::Opened, &[]), squash];
    in_any_order(Host::GitHub, &events, 2);
}

#[test]
fn a_landing_credits_the_authors_and_not_who_merges() {
    let commits = vec![commit(10, ADA, Role::Plain), commit(11, BO, Role::LandsThoseBefore(7))];
    assert_eq!(tallies(Host::GitHub, &[push(BO, commits.clone())]), [1, 0]);
    // GitLab's payload does not tie an ordinary address to an account.
    assert_eq!(tallies(Host::GitLab, &[push(BO, commits)]), [0, 0]);
    let without = Rules { counts: &["push", "issue"], ..Rules::DEFAULT };
    let commits = vec![unnamed(10, ADA), commit(11, BO, Role::LandsThoseBefore(7))];
    assert_eq!(end(Host::GitHub, without, &[push(BO, commits)]), [(0, 0), (0, 0)]);
}

#[test]
fn a_landing_covers_the_commits_back_to_the_landing_before() {
    let commits = vec![
        commit(10, ADA, Role::Plain),
        commit(11, BO, Role::LandsThoseBefore(7)),
        commit(12, ADA, Role::Plain),
        commit(13, BO, Role::LandsItself(8)),
        commit(14, ADA, Role::Plain),
        commit(15, BO, Role::LandsThoseBefore(9)),
    ];
    // Pull requests 7 and 9, and what neither covers by the push; 8 is Bo's.
    assert_eq!(tallies(Host::GitHub, &[push(BO, commits)]), [3, 1]);
}

#[test]
fn a_draft_counts_when_it_is_ready_or_has_landed() {
    let draft = as_draft(pull_request(10, Action::Opened, &[]));
    let closed = as_draft(pull_request(20, Action::Closed, &["spam"]));
    in_any_order(Host::GitHub, &[draft.clone(), closed], 0);
    in_any_order(Host::GitHub, &[draft.clone(), pull_request(20, Action::Ready, &[])], 1);
    let merged = pull_request(20, Action::Merged { at: 20 }, &[]);
    in_any_order(Host::GitHub, &[draft.clone(), merged.clone()], 1);
    assert_eq!(tallies(Host::GitLab, &[draft, by(BO, merged)]), [0, 0]);
}

#[test]
fn where_only_merged_ones_count_opening_does_not() {
    let rules = Rules { merged_only: true, ..Rules::DEFAULT };
    let opened = pull_request(10, Action::Opened, &[]);
    assert_eq!(end(Host::GitHub, rules, std::slice::from_ref(&opened))[ADA], (0, 0));
    let merged = pull_request(20, Action::Merged { at: 20 }, &[]);
    assert_eq!(end(Host::GitHub, rules, &[opened, merged])[ADA], (1, 0));
}

#[test]
fn the_newest_label_decides_and_a_deletion_is_final() {
    let opened = issue(1, Action::Opened, &[]);
    let (set, unset) =
        (issue(5, Action::Labelled("spam"), &["spam"]), issue(9, Action::Unlabelled("spam"), &[]));
    in_any_order(Host::GitHub, &[opened.clone(), set.clone()], 0);
    in_any_order(Host::GitHub, &[opened.clone(), set.clone(), unset.clone()], 1);
    in_any_order(Host::GitHub, &[opened, set, issue(7, Action::Deleted, &[]), unset], 0);
}

#[test]
fn what_lands_after_its_label_counts_and_what_is_labelled_after_landing_does_not() {
    let landed = push(BO, vec![commit(20, ADA, Role::LandsItself(7))]);
    let opened = pull_request(10, Action::Opened, &[]);
    let before = pull_request(15, Action::Labelled("spam"), &["spam"]);
    let after = pull_request(25, Action::Labelled("spam"), &["spam"]);
    in_any_order(Host::GitHub, &[opened.clone(), before, landed.clone()], 1);
    in_any_order(Host::GitHub, &[opened, landed, after], 0);
}

#[test]
fn what_was_recognized_stays_so_and_is_not_again() {
    let second = |at, action, labels: &[&'static str]| {
        let mut event = issue(at, action, labels);
        if let What::Item(item) = &mut event.what {
            item.number = 8;
        }
        event
    };
    let mut events = vec![issue(1, Action::Opened, &[]), second(2, Action::Opened, &[])];
    assert_eq!(end(Host::GitHub, Rules::DEFAULT, &events)[ADA], (2, 1));
    events.push(second(3, Action::Labelled("spam"), &["spam"]));
    assert_eq!(end(Host::GitHub, Rules::DEFAULT, &events)[ADA], (1, 1));
    events.push(second(4, Action::Unlabelled("spam"), &[]));
    assert_eq!(end(Host::GitHub, Rules::DEFAULT, &events)[ADA], (2, 1));
    // Taken back before it came: the milestone is never reached.
    assert_eq!(
        end(Host::GitHub, Rules::DEFAULT, &[events[0].clone(), events[2].clone(), events[1].clone()])[ADA],
        (1, 0)
    );
}

#[test]
fn an_unnamed_commit_is_the_pushers_where_the_payload_says_so() {
    assert_eq!(tallies(Host::GitHub, &[push(BO, vec![unnamed(1, ADA)])]), [0, 1]);
    assert_eq!(tallies(Host::GitHub, &[push(BO, vec![unnamed(1, ADA), unnamed(2, BO)])]), [0, 0]);
    let landing = commit(2, BO, Role::LandsThoseBefore(7));
    assert_eq!(tallies(Host::GitHub, &[push(BO, vec![unnamed(1, ADA), landing])]), [0, 0]);
    let applied = Commit { committer: Committer::Other(BO), ..unnamed(1, ADA) };
    assert_eq!(tallies(Host::GitHub, &[push(BO, vec![applied])]), [0, 0]);
    let mut alias = unnamed(1, BO);
    alias.author.alias = true;
    assert_eq!(tallies(Host::GitHub, &[push(BO, vec![unnamed(2, ADA), alias])]), [0, 1]);
    // On GitLab by the full name.
    assert_eq!(tallies(Host::GitLab, &[push(BO, vec![unnamed(1, ADA), unnamed(2, BO)])]), [0, 1]);
}

#[test]
fn forks_queues_and_other_branches_are_passed_over() {
    let plain = push(ADA, vec![commit(1, ADA, Role::Plain)]);
    let to = |branch: Branch| {
        let mut event = plain.clone();
        if let What::Push(push) = &mut event.what {
            push.branch = branch;
        }
        event
    };
    let all = Rules { all_branches: true, ..Rules::DEFAULT };
    let topic = to(Branch::Topic("wick".into()));
    assert_eq!(end(Host::GitHub, Rules::DEFAULT, std::slice::from_ref(&topic))[ADA].0, 0);
    assert_eq!(end(Host::GitHub, all, &[topic])[ADA].0, 1);
    let queue = to(Branch::Queue("gh-readonly-queue/main/pr-7-0".into()));
    assert_eq!(end(Host::GitHub, all, &[queue])[ADA].0, 0);
    assert_eq!(tallies(Host::GitHub, &[Event { place: Place::Fork, ..plain }]), [0, 0]);
}

#[test]
fn nobody_counts_twice_in_one_push_and_machines_never() {
    let world = world(Host::GitHub);
    let machine = world.people.iter().position(|person| person.nature == Nature::Automation).unwrap();
    let commits =
        vec![commit(1, ADA, Role::Plain), commit(2, ADA, Role::Plain), commit(3, machine, Role::Plain)];
    let rules = Rules::DEFAULT;
    let mut oracle = Oracle::new(&world, &rules);
    oracle.arrives(&push(ADA, commits));
    assert_eq!(oracle.standings().keys().cloned().collect::<Vec<_>>(), [world.contributor(ADA)]);
}

#[test]
fn the_order_of_arrival_changes_no_tally() {
    for seed in 0..200 {
        let rules = rules_of(seed).1;
        let world = World::of(seed, seed, &rules);
        let counted = |order| {
            let standings = expected(&world, &rules, &arrivals(&world, order));
            standings.into_values().flat_map(|standing| standing.counted).collect::<BTreeSet<_>>()
        };
        assert_eq!(counted(1), counted(2), "seed {seed}");
    }
}

#[test]
fn a_seed_tells_the_same_history_each_time() {
    for seed in 0..20 {
        let tell = || World::of(seed, seed, &Rules::DEFAULT);
        assert_eq!(tell().to_string(), tell().to_string());
        let bodies = || deliveries(&tell()).into_iter().map(|one| one.body).collect::<Vec<_>>();
        assert_eq!(bodies(), bodies());
    }
}

/// Two things share a second only where the host tells of one thing twice.
#[test]
fn time_goes_on() {
    for seed in 0..200 {
        let world = World::of(seed, seed, &rules_of(seed).1);
        for pair in world.events.windows(2) {
            let same = pair[0].at == pair[1].at
                && matches!(&pair[1].what, What::Item(i) if matches!(i.action, Action::Labelled(_)));
            assert!(pair[0].at < pair[1].at || same, "{world}");
        }
    }
}

/// Every path of keys in a value; an array's items share theirs.
fn paths(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{at}.{name}");
                into.insert(path.clone());
                paths(value, &path, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, at, into)),
        _ => {}
    }
}

/// The paths of all fixtures whose name begins so.
fn documented(host: &str, event: &str) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for entry in std::fs::read_dir(format!("{}/fixtures/{host}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with(event) {
            paths(&serde_json::from_str(&fixture(&format!("{host}/{name}"))).unwrap(), "", &mut known);
        }
    }
    known
}

#[test]
fn payloads_have_only_documented_fields() {
    let files = [
        ("push", "github", "push."),
        ("issues", "github", "issues."),
        ("pull_request", "github", "pull_request."),
        ("Push Hook", "gitlab", "push."),
        ("Tag Push Hook", "gitlab", "tag_push."),
        ("Merge Request Hook", "gitlab", "merge_request."),
        ("Issue Hook", "gitlab", "issue."),
        ("Confidential Issue Hook", "gitlab", "issue."),
    ];
    // Documented, but in no fixture: what a label event and a change say.
    let beside = [".label", ".changes", ".object_attributes.labels", ".labels"];
    let known: BTreeMap<_, _> =
        files.iter().map(|(event, host, prefix)| (*event, documented(host, prefix))).collect();
    for seed in 0..60 {
        let world = World::of(seed, seed, &rules_of(seed).1);
        for delivery in deliveries(&world) {
            let known = &known[delivery.event];
            let mut found = BTreeSet::new();
            paths(&serde_json::from_str(&delivery.body).unwrap(), "", &mut found);
            let is_new =
                |path: &&String| !known.contains(*path) && !beside.iter().any(|b| path.starts_with(b));
            let new: Vec<_> = found.iter().filter(is_new).collect();
            assert!(new.is_empty(), "{} has {new:?}", delivery.event);
        }
    }
}

#[test]
fn the_first_few_hundred_histories_hold_everything() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for seed in 0..300 {
        let rules = rules_of(seed).1;
        let world = World::of(seed, seed, &rules);
        let host = world.site.host;
        seen.insert(world.site.base.to_owned());
        for event in &world.events {
            match &event.what {
                What::Item(item) => {
                    let action = format!("{:?}", item.action);
                    let action = action.split([' ', '(']).next().unwrap().to_owned();
                    let by_another = event.actor != item.author;
                    seen.insert(format!("{host:?} {:?} {action} {by_another} {}", item.kind, item.draft));
                }
                What::Push(push) => {
                    let branch = format!("{:?}", push.branch);
                    seen.insert(format!("{host:?} {:?} {}", event.place, branch.split('(').next().unwrap()));
                    let role = |commit: &Commit| format!("{:?}", commit.role);
                    for commit in &push.commits {
                        let role = role(commit);
                        seen.insert(format!(
                            "{host:?} {} {:?}",
                            role.split('(').next().unwrap(),
                            commit.author.address
                        ));
                    }
                }
                What::Tag(_) | What::BranchEnd(_) => {}
            }
        }
        let standings = expected(&world, &rules, &arrivals(&world, 0));
        let highest = standings.values().filter_map(|standing| standing.recognized.last()).max();
        seen.insert(format!("recognized {highest:?}"));
        if standings.values().any(|s| s.recognized.last().is_some_and(|m| *m > s.counted.len() as u64)) {
            seen.insert("recognized and taken back".into());
        }
    }
    for one in [
        "https://github.com",
        "https://code.tidewell.example",
        "https://gitlab.com",
        "http://git.seawall.example:8929",
        "https://git.seawall.example/lab",
        "GitHub Issue Opened false false",
        "GitHub Issue OpenedByTransfer true false",
        "GitHub Issue Deleted true false",
        "GitHub Issue Labelled true false",
        "GitHub Issue Unlabelled true false",
        "GitHub PullRequest Opened false true",
        "GitHub PullRequest Ready true false",
        "GitHub PullRequest Labelled true true",
        "GitHub PullRequest Unlabelled true false",
        "GitHub PullRequest Merged true false",
        "GitHub PullRequest Merged false false",
        "GitHub PullRequest Closed true false",
        "GitHub PullRequest Synchronized true false",
        "GitLab Issue Opened false false",
        "GitLab Issue Opened true false",
        "GitLab PullRequest Opened true false",
        "GitLab PullRequest Opened false true",
        "GitLab PullRequest Merged true false",
        "GitLab PullRequest Merged false false",
        "GitHub Fork Default",
        "GitHub Fork Topic",
        "GitHub Home Topic",
        "GitHub Home Queue",
        "GitHub Home Default",
        "GitLab Home Topic",
        "GitHub LandsItself Account",
        "GitHub LandsThoseBefore Account",
        "GitHub Merge Account",
        "GitHub Plain Unknown",
        "GitLab Plain Noreply",
        "GitLab LandsItself Noreply",
        "GitLab LandsThoseBefore Account",
        "recognized Some(5)",
        "recognized and taken back",
    ] {
        assert!(seen.contains(one), "no {one} among {seen:#?}");
    }
}
