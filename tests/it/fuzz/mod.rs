//! Inputs that nobody meant: genuine ones, changed at random.
//!
//! `targets.rs` says what must hold wherever bytes are parsed, and `door.rs` what must hold of whole requests. Each
//! input follows from its number. `PLAUDIT_FUZZ=100000` tries as many for each target, and `PLAUDIT_FUZZ=1@4711`
//! that one alone. A failure prints its number and its input. `fuzz/` runs the same targets guided by coverage, as
//! CONTRIBUTING.md says.

mod door;
mod mutate;
mod targets;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::catch_unwind;
use std::sync::mpsc;

use mutate::Mutator;
use plaudit::hosts::event_of_fixture;
use targets::{GITHUB_EVENTS, GITLAB_EVENTS, TARGETS, Target};

use crate::support::{PATIENCE, fixtures};

/// The numbers of the inputs to try: of the environment, or so many.
fn numbers(ordinarily: u64) -> std::ops::Range<u64> {
    let given = std::env::var("PLAUDIT_FUZZ").unwrap_or_else(|_| ordinarily.to_string());
    let (count, from) = given.split_once('@').unwrap_or((&given, "0"));
    let (count, from): (u64, u64) = (count.parse().unwrap(), from.parse().unwrap());
    from..from + count
}

fn mutator(target: &str, number: u64) -> Mutator {
    let mut hasher = DefaultHasher::new();
    (target, number).hash(&mut hasher);
    Mutator::of(hasher.finish())
}

/// The bodies of a host's fixtures.
fn bodies(host: &str) -> Vec<(&'static str, Vec<u8>)> {
    let of_host = fixtures().into_iter().filter(|(name, _)| name == host);
    let body = |(host, path): (String, std::path::PathBuf)| {
        let event = event_of_fixture(&host, path.file_name().unwrap().to_str().unwrap()).unwrap();
        (event, std::fs::read(path).unwrap())
    };
    of_host.map(body).collect()
}

const HEADERS: &[&str] = &[
    "x-hub-signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\n\
     content-type: application/json\nx-github-event: push\nx-github-delivery: 72d3162e-cc78\n{}",
    "webhook-id: msg_p5jX\nwebhook-timestamp: 1795000000\nwebhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\n\
     content-type: application/json; charset=utf-8\nx-gitlab-event: Push Hook\nidempotency-key: a-key\n{\"a\":1}",
];
const DRAFTS: &[&str] = &[
    "github:octocat\ntalk\ntalk-17\n\nmeetup\n2026-11-24T10:00:00Z\nA talk\nhttps://example.org/17\no/r",
    "mona\nreview\n\na-key\n\n2026-11-24T10:00:00+02:00\n\nhttp://[::1]:80/a?b=c#d\n",
];
const NAMES: &[&str] = &[
    "mona",
    "github:octocat",
    "gitlab:a.b_c",
    "git.example.org:8443/path:mona",
    "[::1]:80:mona",
    "@mona",
    "guthub:mona",
    "github:mona lisa",
    "localhost:mona",
    "1,2,3",
    "3",
    "talk",
];
const TEMPLATES: &[&str] = &[
    plaudit::publish::comment::DEFAULT_TEXT,
    "{contributor}: {milestone}, {tally}, {title}, {kind}, {repository}",
    "Thanks {contributor}! `{title}` <b>{repository}</b> {{}}",
];

/// The genuine inputs of a target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match target {
        "github" | "gitlab" => bodies(target).into_iter().map(|(_, body)| body).collect(),
        "form" => bodies("github").into_iter().map(|(_, body)| body).collect(),
        "headers" => texts(HEADERS),
        "draft" => texts(DRAFTS),
        "names" => texts(NAMES),
        "template" => texts(TEMPLATES),
        _ => panic!("no seeds for {target}"),
    }
}

fn input(target: &str, number: u64, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut mutator = mutator(target, number);
    let mut input = mutator.near(seeds);
    if target == "form" && mutator.chance(0.3) {
        input.splice(0..0, *b"payload=");
    }
    // What a body says it is, mostly; sometimes another event.
    let other = u8::try_from(mutator.below(GITHUB_EVENTS.len())).unwrap();
    let other = mutator.chance(0.1).then_some(other);
    prefixed(target, input, other)
}

/// An input as a target takes it: before a body stands the number of its event.
fn prefixed(target: &str, mut input: Vec<u8>, event: Option<u8>) -> Vec<u8> {
    if ["github", "gitlab", "form"].contains(&target) {
        let events = if target == "gitlab" { GITLAB_EVENTS } else { GITHUB_EVENTS };
        let looks_like = guess(&input);
        let own = events.iter().position(|known| Some(*known) == looks_like).unwrap_or_default();
        input.insert(0, event.unwrap_or_else(|| u8::try_from(own).unwrap()));
    }
    input
}

/// The event that a payload looks like.
fn guess(body: &[u8]) -> Option<&'static str> {
    let has = |field: &str| body.windows(field.len()).any(|window| window == field.as_bytes());
    let guesses = [
        ("\"object_kind\":\"push\"", "Push Hook"),
        ("\"object_kind\":\"merge_request\"", "Merge Request Hook"),
        ("\"object_attributes\"", "Issue Hook"),
        ("\"pull_request\"", "pull_request"),
        ("\"commits\"", "push"),
        ("\"issue\"", "issues"),
    ];
    guesses.into_iter().find(|(field, _)| has(field)).map(|(_, event)| event)
}

/// The same payload of a self-managed host with that name.
fn elsewhere(body: &[u8], name: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(body) else { return body.to_vec() };
    let sites = ["https://github.com/", "https://gitlab.com/"];
    sites
        .iter()
        .fold(text.to_owned(), |text, site| text.replace(site, &format!("https://{name}/")))
        .into_bytes()
}

/// Tries every input in a thread of its own, and fails where one is not done after a minute.
fn attack(target: &'static str, function: Target) {
    let numbers = numbers(4_000);
    let (done, progress) = mpsc::channel();
    let last = numbers.end;
    std::thread::spawn(move || {
        let seeds = seeds(target);
        for number in numbers {
            let input = input(target, number, &seeds);
            let held = catch_unwind(|| function(&input));
            let fault = held.err().map(|_| String::from_utf8_lossy(&input).into_owned());
            if done.send((number, fault)).is_err() {
                return;
            }
        }
    });
    loop {
        match progress.recv_timeout(PATIENCE) {
            Ok((number, Some(input))) => {
                panic!("{target}: PLAUDIT_FUZZ=1@{number} replays it: {}", input.escape_debug())
            }
            Ok((number, None)) if number + 1 == last => return,
            Ok(_) => {}
            Err(error) => panic!("{target}: one input takes a minute, or the thread ended: {error}"),
        }
    }
}

#[test]
fn whatever_bytes_come_parsing_them_ends_without_a_panic_and_within_the_bounds_of_what_is_kept() {
    for (target, function) in TARGETS {
        attack(target, function);
    }
}

/// With `PLAUDIT_FUZZ_CORPUS=FOLDER` the seeds are written there, a folder for each target, for `fuzz/`.
#[test]
fn every_genuine_input_holds_too() {
    let corpus = std::env::var_os("PLAUDIT_FUZZ_CORPUS").map(std::path::PathBuf::from);
    for (target, function) in TARGETS {
        for (number, seed) in seeds(target).into_iter().enumerate() {
            let seed = prefixed(target, seed, None);
            function(&seed);
            for name in ["github", "gitlab:8443/code", "api"] {
                function(&elsewhere(&seed, name));
            }
            if let Some(folder) = corpus.as_ref().map(|corpus| corpus.join(target)) {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join(number.to_string()), seed).unwrap();
            }
        }
    }
}
