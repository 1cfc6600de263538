//! The promises under fire: a random schedule of deliveries, repeats, labels, deletions, crashes and outages of the
//! store and the topic against a plain model of what must hold (`rule.rs`).
//!
//! The programs, the kills, the files and the emulators are real. A schedule follows from its seed; a failure prints
//! it. `PLAUDIT_MODEL=7` replays seed 7, and `PLAUDIT_MODEL=7:500` makes its schedule 500 steps long.

mod plan;
mod rule;
mod world;

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;

use crate::support::emulators;
use crate::support::h2proxy::Proxy;
use crate::support::pubsub_emulator::pubsub;
use crate::support::stage::{Stage, stage};
use world::{Ledgers, World};

/// The seed and the number of steps: of the environment, or these.
fn seed_and_steps(seed: u64, steps: usize) -> (u64, usize) {
    let Ok(given) = std::env::var("PLAUDIT_MODEL") else {
        return (seed, steps);
    };
    let (seed, more) = given.split_once(':').unwrap_or((&given, ""));
    (seed.parse().unwrap(), if more.is_empty() { steps } else { more.parse().unwrap() })
}

/// Returns what happened, to be printed.
async fn under_fire(stage: &Stage, ledgers: Ledgers, seed: u64, steps: usize) -> String {
    let (seed, steps) = seed_and_steps(seed, steps);
    let schedule = plan::schedule(seed, steps);
    let mut world = World::start(stage, &pubsub().await.unwrap(), ledgers).await;
    for (at, step) in schedule.iter().enumerate() {
        if let Err(panic) = AssertUnwindSafe(world.takes(step)).catch_unwind().await {
            eprintln!("PLAUDIT_MODEL={seed}:{steps} replays it; it failed at step {at} of");
            schedule.iter().take(at + 1).enumerate().for_each(|(at, step)| eprintln!("{at}: {step:?}"));
            std::panic::resume_unwind(panic);
        }
    }
    format!("seed {seed}, {steps} steps: {:?}", world.end().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_random_schedule_of_crashes_and_outages_every_promise_holds_on_sqlite() {
    let Some(stage) = stage().await else { return };
    println!("{}", under_fire(&stage, Ledgers::File(tempfile::tempdir().unwrap()), 2, 24).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_random_schedule_of_crashes_and_outages_every_promise_holds_on_firestore() {
    let Some(stage) = stage().await else { return };
    let proxy = Proxy::start(emulators::firestore().unwrap()).await;
    println!("{}", under_fire(&stage, Ledgers::Firestore(proxy), 2, 16).await);
}
