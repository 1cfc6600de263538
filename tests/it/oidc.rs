//! The OIDC token that may drain: of the one service account, for this service, and valid now.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use plaudit::domain::Moment;
use plaudit::http::Overrides;
use plaudit::http::oidc::EXPIRED_WAIT;
use plaudit::runtime::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::support::{Answer, Inside, PATIENCE, TOKEN, config, in_the_end, ledger};

const AUDIENCE: &str = "https://plaudit.example.org";
const EMAIL: &str = "scheduler@my-project.iam.gserviceaccount.com";
/// The time of these tests, in seconds.
const NOW: i64 = 1_795_000_000;

/// How the fake of Google's key server answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mood {
    #[default]
    Well,
    /// With 500.
    Down,
    /// Never.
    Hangs,
    /// With a body that has no end.
    Endless,
}

/// A fake of Google's key server.
#[derive(Default)]
struct Keys {
    rotated: AtomicBool,
    mood: Mutex<Mood>,
    /// How often it was asked.
    asked: watch::Sender<usize>,
    /// The bytes that it sent of bodies without end.
    sent: AtomicUsize,
}

impl Keys {
    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

async fn certificates(State(keys): State<Arc<Keys>>) -> Response {
    let mood = *keys.mood.lock().unwrap();
    keys.asked.send_modify(|asked| *asked += 1);
    match mood {
        Mood::Well => {}
        Mood::Down => return http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::Hangs => std::future::pending().await,
        Mood::Endless => {
            let chunk = move |()| {
                keys.sent.fetch_add(64 * 1024, Ordering::SeqCst);
                (Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]), ())
            };
            let chunks = futures::stream::unfold((), move |()| std::future::ready(Some(chunk(()))));
            return axum::body::Body::from_stream(chunks).into_response();
        }
    }
    let jwk = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let (first, second) =
        (jwk(include_str!("keys/first.jwk.json")), jwk(include_str!("keys/second.jwk.json")));
    let set = if keys.rotated.load(Ordering::SeqCst) { json!([second]) } else { json!([first]) };
    ([("cache-control", "public, max-age=3600, must-revalidate")], axum::Json(json!({"keys": set})))
        .into_response()
}

struct Scene {
    inside: Inside,
    keys: Arc<Keys>,
    now: Arc<AtomicI64>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn set() -> Self {
        Self::waiting(EXPIRED_WAIT).await
    }

    /// One in which drains wait so long for newer keys than those that expired.
    async fn waiting(key_wait: Duration) -> Self {
        let keys = Arc::new(Keys::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let google_keys = format!("http://{}/certs", listener.local_addr().unwrap());
        let router = Router::new().route("/certs", get(certificates)).with_state(Arc::clone(&keys));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let now = Arc::new(AtomicI64::new(NOW));
        let clock_now = Arc::clone(&now);
        let clock =
            Clock::from_fn(move || Moment::from_timestamp(clock_now.load(Ordering::SeqCst), 0).unwrap());
        let config = config(&[
            ("PLAUDIT_DRAIN_AUDIENCE", AUDIENCE),
            ("PLAUDIT_DRAIN_EMAIL", EMAIL),
            ("PLAUDIT_API_TOKENS", TOKEN),
        ]);
        let (folder, store) = ledger();
        let inside =
            Inside::start(&config, store, Overrides { google_keys, key_wait, clock, ..Overrides::default() })
                .await;
        Self { inside, keys, now, _folder: folder }
    }

    async fn drain(&self, token: &str) -> Answer {
        let request = self.inside.stranger().request(Method::POST, "/internal/drain").bearer_auth(token);
        self.inside.send(request).await
    }

    fn asked(&self) -> usize {
        *self.keys.asked.borrow()
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://accounts.google.com", "aud": AUDIENCE, "email": EMAIL, "email_verified": true,
        "sub": "1234567890", "azp": "1234567890", "iat": NOW, "exp": NOW + 3600,
    })
}

fn signing(key: &str) -> EncodingKey {
    let pem: &[u8] = match key {
        "first" => include_bytes!("keys/first.test-key.pem"),
        _ => include_bytes!("keys/second.test-key.pem"),
    };
    EncodingKey::from_rsa_pem(pem).unwrap()
}

/// A token of these claims, signed with `key`, whose header names the key `named`.
fn token_named(claims: &Value, key: &str, named: &str) -> String {
    let header = Header { kid: Some(named.to_owned()), ..Header::new(Algorithm::RS256) };
    encode(&header, claims, &signing(key)).unwrap()
}

fn token(claims: &Value) -> String {
    token_named(claims, "first", "first")
}

#[tokio::test]
async fn the_configured_account_may_drain_and_a_hundred_drains_ask_for_the_keys_once() {
    let scene = Scene::set().await;
    for _ in 0..100 {
        let drained = scene.drain(&token(&claims())).await.expect(200).json();
        assert_eq!(drained, json!({"recognized": 0, "published": 0, "waiting": 0}));
    }
    let mut short = claims();
    short["iss"] = "accounts.google.com".into();
    scene.drain(&token(&short)).await.expect(200);
    assert_eq!(scene.asked(), 1);
    // The token allows reconciling too, which is off here, and nothing else.
    let reconcile = scene.inside.stranger().request(Method::POST, "/internal/reconcile");
    scene.inside.send(reconcile.bearer_auth(token(&claims()))).await.problem(404, "not_found");
    let post =
        scene.inside.stranger().request(Method::POST, "/v1/contributions").bearer_auth(token(&claims()));
    scene.inside.send(post.json(&json!({}))).await.problem(401, "wrong_token");
    scene.drain(TOKEN).await.expect(200);
    scene.inside.stop().await;
}

#[tokio::test]
async fn each_wrong_claim_is_refused() {
    let scene = Scene::set().await;
    scene.drain(&token(&claims())).await.expect(200);
    let wrong = [
        ("iss", json!("https://accounts.example.com")),
        ("iss", json!(null)),
        ("aud", json!("https://another.example.org")),
        ("aud", json!("https://plaudit.example.org/")),
        ("aud", json!(null)),
        ("exp", json!(NOW - 61)),
        ("exp", json!(null)),
        ("iat", json!(NOW + 61)),
        ("iat", json!(null)),
        ("email", json!("another@my-project.iam.gserviceaccount.com")),
        ("email", json!("Scheduler@my-project.iam.gserviceaccount.com")),
        ("email", json!(null)),
        ("email_verified", json!(false)),
        ("email_verified", json!(null)),
        ("email_verified", json!("true")),
    ];
    for (name, value) in wrong {
        let mut claims = claims();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
        let answer = scene.drain(&token(&claims)).await;
        assert_eq!(answer.status, 401, "{name} {value}: {answer:?}");
        answer.problem(401, "wrong_token");
    }
    scene.inside.stop().await;
}

#[tokio::test]
async fn an_invalid_signature_is_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let scene = Scene::set().await;
    let good = token(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, payload) = signed.split_once('.').unwrap();
    let other_payload = URL_SAFE_NO_PAD.encode(json!({"x": 1}).to_string());
    let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "typ": "JWT", "kid": "first"}).to_string());
    // The public key, which everyone knows, as a shared secret.
    let jwk: Value = serde_json::from_str(include_str!("keys/first.jwk.json")).unwrap();
    let confused = |secret: &[u8]| {
        let header = Header { kid: Some("first".into()), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap()
    };
    let without_kid = encode(&Header::new(Algorithm::RS256), &claims(), &signing("first")).unwrap();
    let stronger = Header { kid: Some("first".into()), ..Header::new(Algorithm::RS384) };
    let wrong = [
        token_named(&claims(), "second", "first"),
        token_named(&claims(), "first", "unheard-of"),
        token_named(&claims(), "second", "second"),
        without_kid,
        encode(&stronger, &claims(), &signing("first")).unwrap(),
        format!("{head}.{other_payload}.{signature}"),
        format!("{head}.{payload}."),
        format!("{head}.{payload}"),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        confused(jwk["n"].as_str().unwrap().as_bytes()),
        confused(include_bytes!("keys/first.jwk.json")),
        confused(b""),
        "a.b.c".into(),
        "...".into(),
        "x".repeat(10_000),
    ];
    for token in wrong {
        let answer = scene.drain(&token).await;
        assert_eq!(answer.status, 401, "{token}: {answer:?}");
    }
    let request = scene.inside.stranger().request(Method::POST, "/internal/drain");
    scene.inside.send(request).await.problem(401, "token_needed");
    scene.inside.stop().await;
}

#[tokio::test]
async fn rotated_keys_are_fetched_again_but_not_for_every_unknown_key() {
    let scene = Scene::set().await;
    scene.drain(&token(&claims())).await.expect(200);
    scene.keys.rotated.store(true, Ordering::SeqCst);
    let second = || token_named(&claims(), "second", "second");
    for _ in 0..10 {
        // In the first minute an unknown key does not make plaudit fetch the keys again.
        scene.drain(&second()).await.expect(401);
    }
    assert_eq!(scene.asked(), 1);
    scene.now.store(NOW + 61, Ordering::SeqCst);
    scene.drain(&second()).await.expect(200);
    assert_eq!(scene.asked(), 2);
    scene.drain(&token(&claims())).await.expect(401);
    assert_eq!(scene.asked(), 2);
    scene.inside.stop().await;
}

#[tokio::test]
async fn a_drain_that_finds_its_key_expired_waits_for_the_newer_ones() {
    let scene = Scene::waiting(PATIENCE).await;
    scene.drain(&token(&claims())).await.expect(200);
    scene.keys.rotated.store(true, Ordering::SeqCst);
    scene.now.store(NOW + 3_600, Ordering::SeqCst);
    // They came within this request, so the key that Google has withdrawn is no longer used.
    scene.drain(&token(&claims())).await.problem(401, "wrong_token");
    assert_eq!(scene.asked(), 2);
    scene.inside.stop().await;
}

#[tokio::test]
async fn without_keys_it_is_503_and_cached_keys_stay_in_use() {
    let scene = Scene::set().await;
    scene.keys.set(Mood::Down);
    for _ in 0..10 {
        scene.drain(&token(&claims())).await.problem(503, "unavailable");
    }
    assert_eq!(scene.asked(), 1, "after a failure too there is a pause");
    scene.keys.set(Mood::Well);
    scene.now.store(NOW + 5, Ordering::SeqCst);
    scene.drain(&token(&claims())).await.expect(200);
    scene.keys.set(Mood::Down);
    let until = |seconds: i64| {
        let mut claims = claims();
        claims["exp"] = (NOW + seconds).into();
        token(&claims)
    };
    scene.now.store(NOW + 3_606, Ordering::SeqCst);
    scene.drain(&until(7_200)).await.expect(200);
    // But not for ever: a key may have been withdrawn.
    scene.now.store(NOW + 25 * 3_600 + 6, Ordering::SeqCst);
    scene.drain(&until(26 * 3_600)).await.problem(503, "unavailable");
    scene.inside.stop().await;
}

#[tokio::test]
async fn while_the_key_server_hangs_strangers_delay_no_genuine_token() {
    let scene = Scene::set().await;
    scene.drain(&token(&claims())).await.expect(200);
    scene.keys.set(Mood::Hangs);
    scene.now.store(NOW + 61, Ordering::SeqCst);
    let strangers = async {
        let invented: Vec<_> =
            (0..20).map(|n| token_named(&claims(), "second", &format!("invented-{n}"))).collect();
        futures::future::join_all(invented.iter().map(|token| scene.drain(token))).await
    };
    let genuine = async {
        let mut asked = scene.keys.asked.subscribe();
        in_the_end("a fetch", asked.wait_for(|asked| *asked == 2)).await.unwrap();
        for _ in 0..10 {
            scene.drain(&token(&claims())).await.expect(200);
        }
        // Nor do keys that have expired meanwhile.
        scene.now.store(NOW + 3_601, Ordering::SeqCst);
        scene.drain(&token(&claims())).await.expect(200);
    };
    let mut strangers = Box::pin(strangers);
    tokio::select! {
        biased;
        answers = &mut strangers => panic!("the strangers were answered first: {answers:?}"),
        () = genuine => {}
    }
    // They wait for one fetch together, which has a deadline.
    for answer in in_the_end("the strangers' answers", strangers).await {
        answer.problem(503, "unavailable");
    }
    assert_eq!(scene.asked(), 2);
    scene.inside.stop().await;
}

#[tokio::test]
async fn of_an_answer_without_end_no_more_is_read_than_keys_can_have() {
    let scene = Scene::set().await;
    scene.keys.set(Mood::Endless);
    scene.drain(&token(&claims())).await.problem(503, "unavailable");
    // What is beyond the 256 KiB filled the buffers of the connection.
    let sent = scene.keys.sent.load(Ordering::SeqCst);
    assert!(sent < 16 * 1024 * 1024, "{sent} bytes were sent");
    scene.inside.stop().await;
}
