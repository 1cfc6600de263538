//! Power cuts: what was acknowledged stays, what is owed is made, and nothing counts twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::{Rng as _, SeedableRng as _};
use rusqlite::Connection;
use tokio::sync::Notify;

use crate::support::{Plaudit, talk};

/// The content of the database file.
struct Ledger {
    tallies: BTreeMap<String, u64>,
    ids: BTreeMap<String, BTreeSet<String>>,
}

fn ledger(path: &Path) -> Ledger {
    let connection = Connection::open(path).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut statement = connection.prepare("SELECT id, tally FROM contributors").unwrap();
    let tallies = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, u32>(1)?.into()))).unwrap();
    let tallies = tallies.collect::<Result<_, _>>().unwrap();
    let mut statement = connection.prepare("SELECT contributor, id FROM readable_contributions").unwrap();
    let rows =
        statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let (contributor, id) = row.unwrap();
        assert!(ids.entry(contributor).or_default().insert(id), "an id is there twice");
    }
    Ledger { tallies, ids }
}

/// Posts under load until the process is killed. Returns what was sent and what was acknowledged.
async fn load_until_killed(
    plaudit: &mut Plaudit,
    round: u64,
    kill_after: usize,
) -> (Vec<(String, String)>, usize) {
    let (acknowledged, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let posting = (0..8).map(|client| {
        let (http, acknowledged, enough) =
            (plaudit.client.clone(), Arc::clone(&acknowledged), Arc::clone(&enough));
        tokio::spawn(async move {
            let mut sent = Vec::new();
            for n in 0.. {
                let (who, id) = (format!("who-{}", (n + client) % 7), format!("{round}-{client}-{n}"));
                let answer = http.try_post(&talk(&who, &id)).await;
                let kept = answer.as_ref().is_ok_and(|answer| answer.status == 201);
                sent.push((who, id, kept));
                if !kept {
                    assert!(answer.is_err(), "{answer:?}");
                    break;
                }
                if acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == kill_after {
                    enough.notify_one();
                }
            }
            sent
        })
    });
    let posting: Vec<_> = posting.collect();
    enough.notified().await;
    plaudit.kill9().await;
    let (mut kept, mut lost) = (Vec::new(), 0);
    for client in posting {
        for (who, id, acknowledged) in client.await.unwrap() {
            if acknowledged { kept.push((who, id)) } else { lost += 1 }
        }
    }
    (kept, lost)
}

#[tokio::test]
async fn killed_at_random_moments_under_load_it_loses_nothing_acknowledged_and_counts_nothing_twice() {
    const ROUNDS: u64 = 25;
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let mut plaudit = Plaudit::start().await;
    let (mut acknowledged, mut in_flight) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let (kept, lost) = load_until_killed(&mut plaudit, round, random.random_range(1..60)).await;
        acknowledged.extend(kept);
        in_flight += lost;
        let ledger = ledger(&plaudit.database());
        for (who, id) in &acknowledged {
            assert!(ledger.ids[who].contains(&format!("api:api:{id}")), "acknowledged and lost: {id}");
        }
        for (who, tally) in &ledger.tallies {
            assert_eq!(*tally, ledger.ids[who].len() as u64, "{who}'s tally in round {round}");
        }
        plaudit.restart().await;
        let drained = plaudit.drain().await;
        assert_eq!(drained["waiting"], 0, "{drained}");
        let recognised: BTreeSet<_> = plaudit.recognitions().await.into_iter().collect();
        let owed = plaudit.tallies().await.into_iter().filter(|(_, tally)| *tally >= 3);
        let owed: BTreeSet<_> = owed.map(|(who, _)| format!("{who}:3")).collect();
        assert_eq!(recognised, owed, "round {round}");
        // The log does not say it for certain: a kill loses the lines that its thread has not written yet.
        for id in &recognised {
            let recognition = plaudit.get(&format!("/v1/recognitions/{id}")).await.expect(200).json();
            assert_eq!(recognition["destinations"][0]["state"], "done", "{recognition}");
        }
    }
    assert!(in_flight > 0, "no kill ever hit a request in flight: the test shows nothing");
    // Sent again, everything counts once.
    let before = plaudit.tallies().await;
    for (who, id) in acknowledged.iter().take(200) {
        plaudit.post(&talk(who, id)).await.expect(200);
    }
    assert_eq!(plaudit.tallies().await, before);
    plaudit.stop().await;
}

/// Kills a plaudit at a stop point of the contribution that reaches the milestone.
async fn killed_at(point: &str) -> Plaudit {
    let mut plaudit = Plaudit::start().await;
    plaudit.post(&talk("mona", "a")).await.expect(201);
    plaudit.post(&talk("mona", "b")).await.expect(201);
    plaudit.end().await;
    plaudit.set("PLAUDIT_STOP_AT", point);
    plaudit.restart().await;
    let client = plaudit.client.clone();
    let third = tokio::spawn(async move { client.try_post(&talk("mona", "c")).await });
    plaudit.log.wait(0, |line| line.contains("waiting at a stop point")).await;
    plaudit.kill9().await;
    let answer = third.await.unwrap();
    assert!(answer.is_err(), "it was answered before the kill: {answer:?}");
    plaudit.unset("PLAUDIT_STOP_AT");
    let ledger = ledger(&plaudit.database());
    assert_eq!(ledger.tallies["mona"], 3, "at {point} the contribution is durable");
    plaudit.restart().await;
    plaudit
}

async fn recognised_once(plaudit: Plaudit, point: &str) {
    let all = plaudit.all("/v1/recognitions").await;
    assert_eq!(all.len(), 1, "{point}: {all:?}");
    assert_eq!(all[0]["id"], "mona:3");
    assert_eq!(all[0]["tally"], 3);
    assert_eq!(all[0]["contribution"]["id"], "api:api:c", "{point}: it still knows which one it was");
    plaudit.logged("recognition mona:3 published").await;
    plaudit.stop().await;
}

#[tokio::test]
async fn killed_at_each_step_what_is_owed_is_made_and_published_by_one_drain() {
    for point in ["recorded", "recognised", "published"] {
        let plaudit = killed_at(point).await;
        let drained = plaudit.drain().await;
        assert_eq!(drained["waiting"], 0, "{point}: {drained}");
        recognised_once(plaudit, point).await;
    }
}

#[tokio::test]
async fn killed_at_each_step_the_next_contribution_finds_what_is_owed() {
    for point in ["recorded", "recognised", "published"] {
        let plaudit = killed_at(point).await;
        let answer = plaudit.post(&talk("mona", "d")).await.expect(201).json();
        assert_eq!(answer["tally"], 4);
        plaudit.log.wait(0, |line| line.contains("recognition mona:3 published")).await;
        recognised_once(plaudit, point).await;
    }
}

#[tokio::test]
async fn killed_before_its_answer_a_contribution_sent_again_counts_once() {
    let plaudit = killed_at("recorded").await;
    let answer = plaudit.post(&talk("mona", "c")).await.expect(200).json();
    assert_eq!(answer["tally"], 3);
    plaudit.log.wait(0, |line| line.contains("recognition mona:3 published")).await;
    recognised_once(plaudit, "recorded").await;
}
