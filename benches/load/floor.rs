//! What any receiver in this language pays for one delivery, without a server: the least time of many tries, which
//! what else runs on the machine hardly changes.

use std::hint::black_box;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::client;
use crate::servers::Reader;

const TRIES: u32 = 2_000;
const CALLS_A_TRY: u32 = 10;

/// Processor microseconds a delivery.
#[derive(Serialize, Deserialize)]
pub(crate) struct Floor {
    pub sha256: f64,
    pub verify: f64,
    pub read: f64,
}

/// Prints the figures as JSON.
pub(crate) fn run() {
    let (headers, body) = client::delivery();
    let reader = Reader::new();
    let verified = || reader.verified(&headers, body.clone());
    let delivery = verified();
    let floor = Floor {
        sha256: least(|| Sha256::digest(&body)),
        verify: least(verified),
        read: least(|| reader.contribution(&delivery)),
    };
    println!("{}", serde_json::to_string(&floor).unwrap());
}

fn least<T>(mut call: impl FnMut() -> T) -> f64 {
    let tries = (0..TRIES).map(|_| {
        let began = Instant::now();
        for _ in 0..CALLS_A_TRY {
            black_box(call());
        }
        began.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS_A_TRY)
    });
    tries.fold(f64::INFINITY, f64::min)
}
