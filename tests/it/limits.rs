//! Bodies and heads from strangers: too large, too slow, too many.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http::Method;
use plaudit::http::Overrides;
use plaudit::http::body::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{
    Environment, GITHUB_SECRET, Inside, NO_SECRETS, PATIENCE, Plaudit, TOKEN, config, github_signature,
    ledger, pull_request, talk,
};

const MIB: usize = 1024 * 1024;

/// A request head as GitHub sends it, without the body.
fn head(address: &str, length: &str) -> String {
    format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-hub-signature-256: sha256={}\r\n{length}\r\n\r\n",
        "0".repeat(64)
    )
}

fn address(url: &str) -> String {
    url.strip_prefix("http://").unwrap().to_owned()
}

/// Everything that is received until the connection is closed or reset.
async fn all_of(connection: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while let Ok(read) = connection.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..read]);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the connection is never closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first line of the answer, without waiting for the connection's end.
async fn status_line(connection: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, connection.read(&mut bytes)).await.expect("no answer").unwrap();
    String::from_utf8_lossy(&bytes[..read]).lines().next().unwrap_or_default().to_owned()
}

/// The peak resident memory of a process, in bytes.
pub(crate) fn peak(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn many_large_bodies_at_once_stay_within_the_budget() {
    let plaudit = Plaudit::start().await;
    let address = address(&plaudit.url);
    let before = peak(plaudit.pid());
    // Twelve unfinished bodies of nearly 25 MiB are 300 MiB, and the budget is 128 MiB.
    let length = format!("content-length: {}", 25 * MIB);
    let chunk = vec![b' '; MIB];
    let sent = (0..12).map(|_| async {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.write_all(head(&address, &length).as_bytes()).await.unwrap();
        for _ in 0..24 {
            // A refused connection may be closed already.
            if connection.write_all(&chunk).await.is_err() {
                break;
            }
        }
        connection
    });
    let mut connections = join_all(sent).await;
    // Meanwhile an ordinary delivery is accepted.
    plaudit.github("pull_request", &pull_request(1, "mona")).await.expect(200);
    let mut refused = 0;
    for connection in &mut connections {
        let mut byte = [0; 12];
        match tokio::time::timeout(Duration::from_millis(50), connection.read(&mut byte)).await {
            Ok(Ok(12)) => {
                assert_eq!(&byte, b"HTTP/1.1 503");
                refused += 1;
            }
            Ok(_) => refused += 1, // The answer was lost with the connection.
            Err(_) => {}           // Still waiting for its end.
        }
    }
    assert!((5..12).contains(&refused), "{refused} of 12 were refused");
    let grown = peak(plaudit.pid()) - before;
    assert!(grown < 190 * MIB, "{} MiB for a budget of 128", grown / MIB);
    drop(connections);
    // The whole budget is released.
    let body = pull_request(2, "mona") + &" ".repeat(20 * MIB);
    plaudit.github("pull_request", &body).await.expect(200);
    let metrics = plaudit.get("/metrics").await.text;
    assert!(metrics.contains("reason=\"unavailable\",verdict=\"rejected\""), "{metrics}");
    plaudit.stop().await;
}

#[tokio::test]
async fn more_than_25_mib_is_413_with_and_without_a_length_and_costs_no_memory() {
    let plaudit = Plaudit::start().await;
    let largest = pull_request(1, "mona");
    let largest = largest.clone() + &" ".repeat(25 * MIB - largest.len());
    plaudit.github("pull_request", &largest).await.expect(200);
    let before = peak(plaudit.pid());
    let body = vec![b' '; 26 * MIB];
    let signature = github_signature(GITHUB_SECRET, &body);
    let request = || {
        plaudit
            .request(Method::POST, "/webhooks/github")
            .header("content-type", "application/json")
            .header("x-github-event", "pull_request")
            .header("x-hub-signature-256", &signature)
    };
    plaudit.send(request().body(body.clone())).await.problem(413, "body_too_large");
    let chunks =
        body.chunks(MIB / 2).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    plaudit.send(request().body(chunked)).await.problem(413, "body_too_large");
    let grown = peak(plaudit.pid()) - before;
    assert!(grown < 30 * MIB, "{} MiB", grown / MIB);
    assert_eq!(plaudit.tallies().await["github:mona"], 1);
    plaudit.stop().await;
}

#[tokio::test]
async fn an_unsigned_body_is_refused_before_any_of_it_is_read() {
    let plaudit = Plaudit::start().await;
    let address = address(&plaudit.url);
    for headers in ["", "x-hub-signature-256: sha256=\r\n", "x-hub-signature-256: sha1=00\r\n"] {
        for expect in ["", "expect: 100-continue\r\n"] {
            let mut connection = TcpStream::connect(&address).await.unwrap();
            let head = format!(
                "POST /webhooks/github HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
                 x-github-event: push\r\n{headers}{expect}content-length: {}\r\n\r\n",
                25 * MIB
            );
            connection.write_all(head.as_bytes()).await.unwrap();
            // The answer comes although no byte of the body is sent.
            assert_eq!(status_line(&mut connection).await, "HTTP/1.1 401 Unauthorized");
        }
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn an_unexpected_body_closes_the_connection_and_the_answer_says_so() {
    let plaudit = Plaudit::start().await;
    let address = address(&plaudit.url);
    for (target, status) in [("PUT /healthz", "405"), ("POST /nowhere", "404")] {
        for (size, ends) in [(MIB, true), (2, false)] {
            let mut connection = TcpStream::connect(&address).await.unwrap();
            let head = format!("{target} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {size}\r\n\r\nxx");
            connection.write_all(head.as_bytes()).await.unwrap();
            let mut bytes = vec![0; 4096];
            let read = tokio::time::timeout(PATIENCE, connection.read(&mut bytes)).await.unwrap().unwrap();
            let answer = String::from_utf8_lossy(&bytes[..read]).to_lowercase();
            assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{answer}");
            assert_eq!(answer.contains("connection: close"), ends, "{target} {size}: {answer}");
        }
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_target_that_names_another_host_is_not_this_machine() {
    let plaudit = Plaudit::with(&NO_SECRETS).await;
    let address = address(&plaudit.url);
    let body = talk("mona", "absolute").to_string();
    for (target, status) in
        [("http://evil.example/v1/contributions", "401"), ("http://localhost/v1/contributions", "201")]
    {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status_line(&mut connection).await.split(' ').nth(1), Some(status), "{target}");
    }
    plaudit.stop().await;
}

fn quick() -> Limits {
    Limits {
        head: Duration::from_millis(600),
        whole: Duration::from_millis(2_500),
        silence: Duration::from_millis(600),
        rate: 1_000.0,
        ..Limits::default()
    }
}

async fn quick_inside() -> (tempfile::TempDir, Inside) {
    let (folder, store) = ledger();
    let overrides = Overrides { limits: quick(), ..Overrides::default() };
    (folder, Inside::start(&config(&[]), store, overrides).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_slow_heads_and_bodies_are_cut_off_while_ordinary_deliveries_go_through() {
    let (_folder, inside) = quick_inside().await;
    let address = inside.address();
    let slow = |body: bool| {
        let address = address.clone();
        async move {
            let mut connection = TcpStream::connect(&address).await.unwrap();
            let (now, then) = if body {
                (head(&address, "content-length: 1000"), " ".to_owned())
            } else {
                ("POST /webhooks/github HTTP/1.1\r\n".into(), "x".to_owned())
            };
            connection.write_all(now.as_bytes()).await.unwrap();
            let (mut from, mut to) = connection.into_split();
            let trickle = tokio::spawn(async move {
                while to.write_all(then.as_bytes()).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
            let mut answer = Vec::new();
            let mut buffer = [0; 1024];
            while let Ok(Ok(read)) =
                tokio::time::timeout(PATIENCE, from.read(&mut buffer)).await.map_err(|_| panic!("kept"))
            {
                if read == 0 {
                    break;
                }
                answer.extend_from_slice(&buffer[..read]);
            }
            trickle.abort();
            String::from_utf8_lossy(&answer).into_owned()
        }
    };
    let attack = join_all((0..600).map(|i| tokio::spawn(slow(i % 2 == 0))));
    let ordinary = async {
        for number in 0..50 {
            inside.github("pull_request", &pull_request(number, "mona")).await.expect(200);
        }
    };
    let (cut, ()) = tokio::join!(attack, ordinary);
    assert_eq!(inside.tallies().await["github:mona"], 50);
    let cut: Vec<_> = cut.into_iter().map(Result::unwrap).collect();
    // A client that is still sending when the connection is closed may lose the answer.
    assert!(cut.iter().all(|answer| answer.is_empty() || answer.starts_with("HTTP/1.1 408 ")), "{cut:?}");
    assert!(cut.iter().any(|answer| answer.contains("body_too_slow")));
    inside.stop().await;
}

#[tokio::test]
async fn a_body_that_trickles_or_stops_is_408_and_a_steady_one_is_taken() {
    let (_folder, inside) = quick_inside().await;
    let address = inside.address();
    let mut still = TcpStream::connect(&address).await.unwrap();
    still.write_all((head(&address, "content-length: 9") + "{").as_bytes()).await.unwrap();
    assert!(all_of(&mut still).await.starts_with("HTTP/1.1 408 "));
    // The same without a length, and through the API.
    let mut still = TcpStream::connect(&address).await.unwrap();
    still.write_all((head(&address, "transfer-encoding: chunked") + "1\r\n{\r\n").as_bytes()).await.unwrap();
    assert!(all_of(&mut still).await.starts_with("HTTP/1.1 408 "));
    let mut still = TcpStream::connect(&address).await.unwrap();
    let post = format!(
        "POST /v1/contributions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{"
    );
    still.write_all(post.as_bytes()).await.unwrap();
    let answer = all_of(&mut still).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("application/problem+json"), "{answer}");
    // In pieces, with pauses shorter than the allowed silence.
    let body = pull_request(1, "mona");
    let pieces: Vec<_> = body.as_bytes().chunks(4_000).map(<[u8]>::to_vec).collect();
    let steady = futures::stream::unfold(pieces.into_iter(), |mut pieces| async {
        let piece = pieces.next()?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>(piece), pieces))
    });
    let request = inside
        .request(Method::POST, "/webhooks/github")
        .header("content-type", "application/json")
        .header("x-github-event", "pull_request")
        .header("x-hub-signature-256", github_signature(GITHUB_SECRET, body.as_bytes()))
        .body(reqwest::Body::wrap_stream(steady));
    inside.send(request).await.expect(200);
    inside.stop().await;
}

#[tokio::test]
async fn an_incomplete_body_counts_nothing() {
    let plaudit = Plaudit::start().await;
    let address = address(&plaudit.url);
    let body = talk("mona", "a").to_string();
    let mut connection = TcpStream::connect(&address).await.unwrap();
    let post = format!(
        "POST /v1/contributions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len() + 1
    );
    connection.write_all(post.as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();
    let answer = all_of(&mut connection).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let plaudit = Plaudit::start().await;
    let address = address(&plaudit.url);
    let mut connection = TcpStream::connect(&address).await.unwrap();
    let line = format!("x-filler: {}\r\n", "y".repeat(1_000));
    connection.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    for _ in 0..1_000 {
        if connection.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = all_of(&mut connection).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    plaudit.get("/healthz").await.expect(200);
    plaudit.stop().await;
}

/// The limits of the recorder's queue, with a store that blocks until the test opens its gate.
mod bounds {
    use super::{Arc, Duration, Inside, Overrides, PATIENCE, config, join_all, talk};
    use crate::support::{FakeStore, Mode, contribution};

    async fn inside(store: &Arc<FakeStore>) -> Inside {
        let overrides = Overrides::default();
        Inside::start(&config(&[]), Arc::clone(store) as Arc<dyn plaudit::store::Store>, overrides).await
    }

    #[tokio::test]
    async fn beyond_what_may_wait_a_post_is_503_and_no_waiter_hangs() {
        use plaudit::domain::Milestones;
        use plaudit::outbox::Outbox;
        use plaudit::record::{RecordError, Recorder, deadline};
        use plaudit::runtime::{Clock, Tasks};
        use plaudit::telemetry::Metrics;

        let store = FakeStore::new(Mode::Blocked);
        let store_too: Arc<dyn plaudit::store::Store> = store.clone();
        let (milestones, clock) = (Milestones::default(), Clock::system());
        let (metrics, tasks) = (Metrics::new(&["github", "gitlab"]).unwrap(), Tasks::default());
        let outbox =
            Outbox::new(store_too.clone(), Vec::new(), milestones.clone(), clock.clone(), metrics.clone());
        let recorder =
            Arc::new(Recorder::start(&store_too, &Arc::new(outbox), &milestones, &clock, &metrics, &tasks));
        let one = |i: usize| contribution(&format!("who-{}", i % 50), &i.to_string());
        let waiting: Vec<_> = (0..10_050)
            .map(|i| {
                let recorder = Arc::clone(&recorder);
                tokio::spawn(async move { recorder.record(vec![one(i)], deadline()).await })
            })
            .collect();
        // The tasks beyond the bound end at once; the others wait.
        let mut refused = 0;
        while refused < 50 {
            tokio::task::yield_now().await;
            refused = waiting.iter().filter(|task| task.is_finished()).count();
        }
        assert!(matches!(recorder.record(vec![one(99_999)], deadline()).await, Err(RecordError::Full)));
        // A delivery of many contributions is refused as a whole, and releases its places in the queue.
        assert!(matches!(
            recorder.record((0..20).map(one).collect(), deadline()).await,
            Err(RecordError::Full)
        ));
        store.set_mode(Mode::Good);
        store.gate.add_permits(1);
        let mut counted = 0;
        for task in waiting {
            match task.await.unwrap() {
                Ok(outcomes) => counted += outcomes.len(),
                Err(RecordError::Full) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(counted, 10_000);
        assert!(store.batches.lock().unwrap().iter().all(|size| *size <= 100));
        recorder.record(vec![one(99_999)], deadline()).await.unwrap();
        tasks.end().await;
    }

    #[tokio::test]
    async fn while_the_store_blocks_waiters_get_503_and_what_was_taken_counts_once() {
        let store = FakeStore::new(Mode::Blocked);
        let inside = inside(&store).await;
        let posts: Vec<_> = (0..5).map(|i| talk("mona", &format!("n{i}"))).collect();
        let answers = tokio::time::timeout(PATIENCE, join_all(posts.iter().map(|post| inside.post(post))));
        for answer in answers.await.expect("a waiter hangs") {
            answer.problem(503, "unavailable");
        }
        store.set_mode(Mode::Good);
        store.gate.add_permits(10);
        for post in &posts {
            let answer = inside.post(post).await;
            assert!([200, 201].contains(&answer.status), "{answer:?}");
        }
        assert_eq!(inside.tallies().await["mona"], 5);
        inside.stop().await;
    }

    #[tokio::test]
    async fn what_waits_while_a_commit_is_under_way_goes_into_the_next_together() {
        let store = FakeStore::new(Mode::Blocked);
        let inside = inside(&store).await;
        let posts: Vec<_> = (0..40).map(|i| talk(&format!("who-{}", i % 4), &format!("n{i}"))).collect();
        let release = async {
            // The first is in the store; all others wait.
            while store.batches.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            store.set_mode(Mode::Good);
            store.gate.add_permits(1);
        };
        let (answers, ()) = tokio::join!(join_all(posts.iter().map(|post| inside.post(post))), release);
        for answer in answers {
            answer.expect(201);
        }
        let batches = store.batches.lock().unwrap().clone();
        assert_eq!(batches.iter().sum::<usize>(), 40);
        assert!(batches.len() <= 10, "they did not go together: {batches:?}");
        assert!(inside.tallies().await.values().all(|tally| *tally == 10));
        inside.stop().await;
    }

    #[tokio::test]
    async fn one_refused_contribution_does_not_affect_its_batch() {
        let store = FakeStore::new(Mode::Blocked);
        let inside = inside(&store).await;
        let posts: Vec<_> = (0..30)
            .map(|i| {
                let who = if i == 17 { store.impossible.to_owned() } else { format!("who-{}", i % 3) };
                talk(&who, &format!("n{i}"))
            })
            .collect();
        let release = async {
            while store.batches.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            store.set_mode(Mode::Good);
            store.gate.add_permits(1);
        };
        let (answers, ()) = tokio::join!(join_all(posts.iter().map(|post| inside.post(post))), release);
        for (i, answer) in answers.into_iter().enumerate() {
            if i == 17 {
                let problem = answer.problem(400, "refused");
                assert!(!problem.to_string().contains("secret of the inside"), "{problem}");
            } else {
                answer.expect(201);
            }
        }
        let batches = store.batches.lock().unwrap().clone();
        assert!(batches.iter().any(|size| *size > 1), "it never had neighbours: {batches:?}");
        assert_eq!(inside.tallies().await.values().sum::<u64>(), 29);
        inside.stop().await;
    }

    #[tokio::test]
    async fn a_store_that_is_down_or_panics_is_503_and_the_service_lives_on() {
        let store = FakeStore::new(Mode::Good);
        let inside = inside(&store).await;
        inside.post(&talk("mona", "a")).await.expect(201);
        for (mode, status, code) in [(Mode::down(), 503, "unavailable"), (Mode::Panics, 500, "internal")] {
            store.set_mode(mode);
            for id in ["b", "c"] {
                let problem = inside.post(&talk("mona", id)).await.problem(503, "unavailable");
                assert!(!problem.to_string().contains("inside"), "{problem}");
            }
            let problem = inside.get("/v1/contributors").await.problem(status, code);
            assert!(!problem.to_string().contains("the store panics"), "{problem}");
            let drain = inside.request(http::Method::POST, "/internal/drain");
            inside.send(drain).await.problem(status, code);
            inside.get("/healthz").await.expect(200);
        }
        store.set_mode(Mode::Good);
        for id in ["b", "c"] {
            inside.post(&talk("mona", id)).await.expect(201);
        }
        assert_eq!(inside.recognitions().await, ["mona:3"]);
        assert_eq!(inside.drain().await["waiting"], 0);
        inside.stop().await;
    }
}

/// Strangers with a well-formed wrong signature, who fill both rooms and then trickle; when their connection is
/// closed they come again.
mod full_rooms {
    use super::{
        Arc, Duration, GITHUB_SECRET, Inside, Limits, MIB, Method, Overrides, PATIENCE, TcpStream, config,
        github_signature, head, ledger, pull_request,
    };
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const SMALL_PART: usize = 200 * 1024;

    /// Sends `part` and trickles, again `pause` after the connection was closed; counts how often it was.
    async fn trickle(address: String, part: usize, pause: Duration, closed: Arc<AtomicUsize>) {
        loop {
            let Ok(mut connection) = TcpStream::connect(&address).await else { return };
            let head = head(&address, &format!("content-length: {}", 25 * MIB));
            let _ = connection.write_all(head.as_bytes()).await;
            let _ = connection.write_all(&vec![b' '; part]).await;
            let (mut from, mut to) = connection.into_split();
            let trickling = async {
                while to.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            let mut answer = [0; 64];
            tokio::select! {
                () = trickling => {}
                _ = from.read(&mut answer) => {}
            }
            closed.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(pause).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn slow_strangers_in_both_rooms_keep_no_genuine_delivery_out() {
        let limits = Limits { small_budget: MIB, large_budget: 30 * MIB, ..Limits::default() };
        let (_folder, store) = ledger();
        let overrides = Overrides { limits, ..Overrides::default() };
        let inside = Inside::start(&config(&[]), store, overrides).await;
        // Each of these alone overfills its room: 12 times 200 KiB, and 40 times 1 MiB.
        let closed = [Arc::new(AtomicUsize::default()), Arc::new(AtomicUsize::default())];
        let strangers: Vec<_> = (0..52)
            .map(|i| {
                let small = (SMALL_PART, Duration::from_secs(1), &closed[0]);
                let large = (MIB, Duration::from_secs(5), &closed[1]);
                let (part, pause, closed) = if i < 12 { small } else { large };
                tokio::spawn(trickle(inside.address(), part, pause, Arc::clone(closed)))
            })
            .collect();
        let full = async {
            while closed.iter().any(|closed| closed.load(Ordering::SeqCst) == 0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, full).await.expect("the rooms are never full");
        // Bodies in their first second are not yet judged.
        tokio::time::sleep(limits.silence / 4).await;
        for number in 0..30 {
            inside.github("pull_request", &pull_request(number, "mona")).await.expect(200);
        }
        for number in 30..34 {
            let body = pull_request(number, "mona") + &" ".repeat(2 * MIB);
            let request = inside
                .request(Method::POST, "/webhooks/github")
                .header("content-type", "application/json")
                .header("x-github-event", "pull_request")
                .header("x-hub-signature-256", github_signature(GITHUB_SECRET, body.as_bytes()));
            inside.send(request.body(body)).await.expect(200);
        }
        assert_eq!(inside.tallies().await["github:mona"], 34);
        for stranger in strangers {
            stranger.abort();
        }
        inside.stop().await;
    }

    #[tokio::test]
    async fn a_large_first_part_pays_for_no_trickle() {
        // The whole body has all the time that the test has: only the rate can end it.
        let limits = Limits {
            whole: 10 * PATIENCE,
            silence: Duration::from_millis(600),
            rate: 1_000.0,
            ..Limits::default()
        };
        let (_folder, store) = ledger();
        let inside = Inside::start(&config(&[]), store, Overrides { limits, ..Overrides::default() }).await;
        let closed = Arc::new(AtomicUsize::default());
        let stranger = tokio::spawn(trickle(inside.address(), MIB, PATIENCE, Arc::clone(&closed)));
        let cut = async {
            while closed.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, cut).await.expect("it trickles for ever");
        stranger.abort();
        inside.stop().await;
    }
}

/// What a connection may cost.
mod connections {
    use super::{
        Duration, Inside, Limits, Overrides, PATIENCE, Plaudit, TcpStream, address, all_of, status_line,
    };
    use crate::support::in_the_end;
    use tokio::io::AsyncWriteExt as _;

    async fn limited(limits: Limits) -> Inside {
        Inside::alone_with(&[], Overrides { limits, ..Overrides::default() }).await
    }

    fn get(address: &str, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n")
    }

    #[tokio::test]
    async fn a_client_that_asks_and_never_reads_is_cut_off() {
        let inside = limited(Limits { unread: Duration::from_secs(1), ..Limits::default() }).await;
        let mut connection = TcpStream::connect(inside.address()).await.unwrap();
        let requests = get(&inside.address(), "/openapi.json").repeat(100);
        // Once all buffers are full, only the connection's end lets this go on.
        in_the_end("the end of the connection", async {
            while connection.write_all(requests.as_bytes()).await.is_ok() {}
        })
        .await;
        inside.get("/healthz").await.expect(200);
        inside.stop().await;
    }

    #[tokio::test]
    async fn beyond_so_many_connections_a_new_one_is_503_until_another_ends() {
        let inside = limited(Limits { connections: 3, ..Limits::default() }).await;
        let address = inside.address();
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut connection = TcpStream::connect(&address).await.unwrap();
            connection.write_all(get(&address, "/healthz").as_bytes()).await.unwrap();
            assert_eq!(status_line(&mut connection).await, "HTTP/1.1 200 OK");
            held.push(connection);
        }
        let answer = all_of(&mut TcpStream::connect(&address).await.unwrap()).await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
        assert!(answer.contains("\"type\":\"urn:plaudit:problem:unavailable\""), "{answer}");
        held.pop();
        in_the_end("a place", async {
            loop {
                let mut connection = TcpStream::connect(&address).await.unwrap();
                let _ = connection.write_all(get(&address, "/healthz").as_bytes()).await;
                if status_line(&mut connection).await == "HTTP/1.1 200 OK" {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        drop(held);
        inside.stop().await;
    }

    #[tokio::test]
    async fn beyond_so_many_event_streams_a_new_one_is_503_until_another_ends() {
        let inside = limited(Limits { streams: 2, ..Limits::default() }).await;
        let held = [inside.stream(None).await, inside.stream(None).await];
        let problem = inside.get("/v1/recognitions/stream").await.problem(503, "unavailable");
        assert!(problem["detail"].as_str().unwrap().contains("event streams"), "{problem}");
        inside.get("/v1/recognitions").await.expect(200);
        drop(held);
        in_the_end("a place", async {
            let path = "/v1/recognitions/stream";
            while inside.request(http::Method::GET, path).send().await.unwrap().status() != 200 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        inside.stop().await;
    }

    #[tokio::test]
    async fn an_idle_connection_outlives_the_deadline_of_a_head() {
        let inside =
            limited(Limits { head: Duration::from_millis(500), idle: PATIENCE * 2, ..Limits::default() })
                .await;
        let address = inside.address();
        let mut kept = TcpStream::connect(&address).await.unwrap();
        kept.write_all(get(&address, "/healthz").as_bytes()).await.unwrap();
        assert_eq!(status_line(&mut kept).await, "HTTP/1.1 200 OK");
        // Both began after that one was idle.
        let mut unused = TcpStream::connect(&address).await.unwrap();
        let mut half = TcpStream::connect(&address).await.unwrap();
        half.write_all(get(&address, "/healthz").as_bytes()).await.unwrap();
        assert_eq!(status_line(&mut half).await, "HTTP/1.1 200 OK");
        half.write_all(b"GET /").await.unwrap();
        assert_eq!(all_of(&mut unused).await, "");
        assert_eq!(all_of(&mut half).await, "");
        kept.write_all(get(&address, "/healthz").as_bytes()).await.unwrap();
        assert_eq!(status_line(&mut kept).await, "HTTP/1.1 200 OK");
        inside.stop().await;
    }

    #[tokio::test]
    async fn a_head_that_cannot_be_parsed_is_a_problem_with_an_id_a_line_and_a_metric() {
        let plaudit = Plaudit::start().await;
        let address = address(&plaudit.url);
        let headers = "x-header: 1\r\n".repeat(101);
        let cases = [
            ("GET\r\n\r\n".to_owned(), "400", "malformed"),
            ("GET / HTTP/1.1\r\nhost: localhost\r\nno header\r\n\r\n".to_owned(), "400", "malformed"),
            ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), "400", "malformed"),
            (
                "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n".to_owned(),
                "400",
                "malformed",
            ),
            (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(65_535)), "414", "target_too_long"),
            (format!("GET / HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"), "431", "head_too_large"),
        ];
        for (head, status, code) in &cases {
            let mut connection = TcpStream::connect(&address).await.unwrap();
            connection.write_all(head.as_bytes()).await.unwrap();
            let answer = all_of(&mut connection).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("application/problem+json"), "{answer}");
            let problem: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(problem["type"], format!("urn:plaudit:problem:{code}"));
            let id = problem["request_id"].as_str().unwrap();
            assert!(head.contains(&format!("x-request-id: {id}")), "{answer}");
            let line = plaudit.log.wait(0, |line| line.contains(id) && line.contains("httpRequest")).await;
            assert!(line.contains(&format!("\"reason\":\"{code}\"")), "{line}");
        }
        let metrics = plaudit.get("/metrics").await.text;
        for status in ["414", "431"] {
            let counted = format!("plaudit_request_seconds_count{{route=\"none\",status=\"{status}\"}} 1");
            assert!(metrics.contains(&counted), "{counted} is not in {metrics}");
        }
        plaudit.stop().await;
    }
}

#[tokio::test]
async fn slow_connections_keep_no_probe_away_from_a_start_that_waits_for_its_ledger() {
    // Nothing listens there, so that it waits until the end of the test.
    let environment = Environment::new("firestore:demo").with("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1");
    let mut plaudit = environment.start().await;
    let address = address(&plaudit.url);
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.write_all(b"GET /readyz HTTP/1.1\r\n").await.unwrap();
        slow.push(connection);
    }
    plaudit.get("/healthz").await.expect(200);
    plaudit.end().await;
}
