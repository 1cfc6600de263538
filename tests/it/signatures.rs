//! What proves that a request comes from its host, and what does not.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use plaudit::domain::Moment;
use plaudit::hosts::{Host, Reading, Reason, Rejection, Rules};
use proptest::prelude::*;

use crate::support::{self, GITHUB_SECRET as SECRET, Signer, now};

const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HELLO: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

fn github(secrets: &[&str]) -> Arc<dyn Host> {
    support::host("github", &[("PLAUDIT_GITHUB_SECRET", &secrets.join(","))]).unwrap().unwrap()
}

fn gitlab(signing: &[&str], plain: &[&str]) -> Arc<dyn Host> {
    let (signing, plain) = (signing.join(","), plain.join(","));
    let both =
        [("PLAUDIT_GITLAB_SIGNING_TOKEN", signing.as_str()), ("PLAUDIT_GITLAB_SECRET", plain.as_str())];
    let set: Vec<_> = both.into_iter().filter(|(_, text)| !text.is_empty()).collect();
    support::host("gitlab", &set).unwrap().unwrap()
}

/// Hosts that trust one secret each, and signers with the same secret.
fn trusting() -> [(Arc<dyn Host>, Signer<'static>); 3] {
    [
        (github(&[SECRET]), Signer::Github(SECRET)),
        (gitlab(&[SIGNING], &[]), Signer::Gitlab(SIGNING)),
        (gitlab(&[], &["open sesame"]), Signer::GitlabToken("open sesame")),
    ]
}

fn sign(signer: Signer<'_>, event: &str, body: &[u8]) -> HeaderMap {
    signer.headers(event, "an-id", body, now().timestamp())
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    let mut map = HeaderMap::new();
    for (name, value) in pairs.iter().map(pair) {
        map.append(name, value);
    }
    map
}

fn github_headers(signature: &str) -> HeaderMap {
    headers(&[
        ("content-type", "application/json"),
        ("x-github-event", "ping"),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-hub-signature-256", signature),
    ])
}

/// The test vector of the Standard Webhooks' libraries, with GitLab's headers.
fn standard_headers(signature: &str) -> HeaderMap {
    headers(&[
        ("content-type", "application/json"),
        ("x-gitlab-event", "Note Hook"),
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", signature),
    ])
}

const STANDARD_BODY: &str = r#"{"test": 2432232314}"#;
const STANDARD_SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn then() -> Moment {
    Moment::from_timestamp(1_614_265_330, 0).unwrap()
}

/// Admits and verifies; an error names the step that refused.
fn try_all(
    host: &Arc<dyn Host>,
    headers: &HeaderMap,
    body: &[u8],
    now: Moment,
) -> Result<(), (&'static str, Rejection)> {
    let claim = host.admit(headers, now).map_err(|rejection| ("admit", rejection))?;
    let delivery = host.verify(claim, body.to_vec());
    delivery.map(drop).map_err(|rejection| ("verify", rejection))
}

fn refused_at(result: Result<(), (&'static str, Rejection)>) -> (&'static str, &'static str) {
    let (at, rejection) = result.unwrap_err();
    (at, kind(rejection))
}

fn kind(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::Unsigned(_) => "unsigned",
        Rejection::BadSignature(_) => "bad_signature",
        Rejection::Unsupported(_) => "unsupported",
        Rejection::Malformed(_) => "malformed",
    }
}

#[test]
fn githubs_own_vector_holds() {
    try_all(&github(&[SECRET]), &github_headers(HELLO), b"Hello, World!", now()).unwrap();
}

#[test]
fn githubs_outdated_signature_and_that_of_an_empty_key_are_refused() {
    let host = github(&[SECRET]);
    let sha1 = "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59";
    let result = try_all(&host, &github_headers(sha1), b"Hello, World!", now());
    assert_eq!(refused_at(result), ("admit", "unsigned"));
    let only_sha1 = headers(&[
        ("content-type", "application/json"),
        ("x-github-event", "ping"),
        ("x-hub-signature", sha1),
    ]);
    assert_eq!(refused_at(try_all(&host, &only_sha1, b"Hello, World!", now())), ("admit", "unsigned"));
    let empty_key = "sha256=2bbcfa9524f3218c7a34b30e6936f8b1a4516cb097f1a85a1c7d98b5977ec769";
    let result = try_all(&host, &github_headers(empty_key), b"Hello, World!", now());
    assert_eq!(refused_at(result), ("verify", "bad_signature"));
}

#[test]
fn githubs_form_body_is_verified_as_it_is_and_then_unpacked() {
    let host = github(&[SECRET]);
    let signature = "sha256=8159d769287f2ebd6c3feda2555a34670eb215b67ef81be37d2a4fc36418f7d8";
    let mut headers = github_headers(signature);
    headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    let body = "payload=%7B%22zen%22%3A%22Hello%2C+World%21%22%7D";
    let claim = host.admit(&headers, now()).unwrap();
    let delivery = host.verify(claim, body.as_bytes().to_vec()).unwrap();
    let payload = host.read(&delivery, &Rules::default(), now()).unwrap();
    assert_eq!(payload.reading, Reading::Ignored(Reason::Ping));
}

#[test]
fn a_form_without_exactly_one_payload_is_malformed() {
    let host = github(&[SECRET]);
    for body in ["", "zen=1", "payload=%7B%7D&payload=%7B%7D", "{}"] {
        let mut headers = sign(Signer::Github(SECRET), "ping", body.as_bytes());
        headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        let result = try_all(&host, &headers, body.as_bytes(), now());
        assert_eq!(refused_at(result), ("verify", "malformed"), "{body}");
    }
}

#[test]
fn the_vector_of_the_standard_webhooks_holds() {
    let host = gitlab(&[SIGNING], &[]);
    try_all(&host, &standard_headers(STANDARD_SIGNATURE), STANDARD_BODY.as_bytes(), then()).unwrap();
}

#[test]
fn a_signature_made_with_the_token_as_it_is_written_is_refused() {
    let undecoded = "v1,ELhqG0Ku1gwOc1f4jyKdp3SFGFLAOdJ9bvpWLciCakI=";
    let host = gitlab(&[SIGNING], &[]);
    let result = try_all(&host, &standard_headers(undecoded), STANDARD_BODY.as_bytes(), then());
    assert_eq!(refused_at(result), ("verify", "bad_signature"));
}

#[test]
fn one_good_signature_in_a_list_is_enough_and_unknown_versions_are_passed_over() {
    let host = gitlab(&[SIGNING], &[]);
    let other = "v1,ELhqG0Ku1gwOc1f4jyKdp3SFGFLAOdJ9bvpWLciCakI=";
    for (list, holds) in [
        (format!("{other} {STANDARD_SIGNATURE}"), true),
        (format!("v1a,c2ln {STANDARD_SIGNATURE} v2,xyz"), true),
        (format!("  {STANDARD_SIGNATURE}  "), true),
        (format!("v1,!!! {STANDARD_SIGNATURE}"), true),
        (format!("v1,AAAA {other}"), false),
        (STANDARD_SIGNATURE.replace("v1,", "v2,"), false),
        (STANDARD_SIGNATURE.replace("v1,", ""), false),
        (STANDARD_SIGNATURE.replace(',', ", "), false),
        (STANDARD_SIGNATURE.replace('=', ""), false),
        ("v1,".to_owned(), false),
        (String::new(), false),
        ("v1".to_owned(), false),
    ] {
        let result = try_all(&host, &standard_headers(&list), STANDARD_BODY.as_bytes(), then());
        assert_eq!(result.is_ok(), holds, "{list}");
    }
}

#[test]
fn a_timestamp_is_good_for_five_minutes_either_way() {
    let host = gitlab(&[SIGNING], &[]);
    for (seconds, holds) in
        [(0, true), (300, true), (-300, true), (301, false), (-301, false), (86_400, false)]
    {
        let now = then() + chrono::Duration::seconds(seconds);
        let result = try_all(&host, &standard_headers(STANDARD_SIGNATURE), STANDARD_BODY.as_bytes(), now);
        match result {
            Ok(()) => assert!(holds, "{seconds}"),
            refused => {
                assert!(!holds, "{seconds}");
                assert_eq!(refused_at(refused), ("admit", "bad_signature"));
            }
        }
    }
}

#[test]
fn an_invalid_timestamp_or_a_missing_header_is_refused_before_the_body_is_read() {
    let host = gitlab(&[SIGNING], &[]);
    for timestamp in ["", "-1614265330", "+1614265330", "1614265330.0", "now", "99999999999999999999", "0x60"]
    {
        let mut headers = standard_headers(STANDARD_SIGNATURE);
        headers.insert("webhook-timestamp", HeaderValue::from_static(timestamp));
        assert_eq!(refused_at(try_all(&host, &headers, b"", then())), ("admit", "unsigned"), "{timestamp}");
    }
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut headers = standard_headers(STANDARD_SIGNATURE);
        headers.remove(name);
        assert_eq!(refused_at(try_all(&host, &headers, b"", then())), ("admit", "unsigned"), "{name}");
        let mut headers = standard_headers(STANDARD_SIGNATURE);
        headers.append(name, headers[name].clone());
        assert_eq!(refused_at(try_all(&host, &headers, b"", then())), ("admit", "unsigned"), "two of {name}");
    }
}

#[test]
fn the_id_and_the_timestamp_are_signed_too() {
    let host = gitlab(&[SIGNING], &[]);
    for (name, value) in [("webhook-id", "msg_other"), ("webhook-timestamp", "1614265331")] {
        let mut headers = standard_headers(STANDARD_SIGNATURE);
        headers.insert(name, HeaderValue::from_static(value));
        let result = try_all(&host, &headers, STANDARD_BODY.as_bytes(), then());
        assert_eq!(refused_at(result), ("verify", "bad_signature"));
    }
}

#[test]
fn no_length_of_anything_but_the_right_digits_is_a_signature() {
    let host = github(&[SECRET]);
    for length in 0..=100 {
        for letter in ["0", "f", "g", " ", "=", "é"] {
            let signature = format!("sha256={}", letter.repeat(length));
            let Ok(value) = HeaderValue::from_bytes(signature.as_bytes()) else {
                continue;
            };
            let mut headers = github_headers(HELLO);
            headers.insert("x-hub-signature-256", value);
            let expected = if length == 64 && matches!(letter, "0" | "f") {
                ("verify", "bad_signature")
            } else {
                ("admit", "unsigned")
            };
            assert_eq!(
                refused_at(try_all(&host, &headers, b"Hello, World!", now())),
                expected,
                "{signature}"
            );
        }
    }
    for signature in [
        "",
        "sha256",
        "SHA256=",
        &HELLO[7..],
        &HELLO.replace("sha256", "sha512"),
        &format!("{HELLO},{HELLO}"),
    ] {
        let result = try_all(&host, &github_headers(signature), b"Hello, World!", now());
        assert_eq!(refused_at(result), ("admit", "unsigned"), "{signature}");
    }
}

#[test]
fn two_signatures_prove_nothing_even_if_both_hold() {
    let mut headers = github_headers(HELLO);
    headers.append("x-hub-signature-256", HeaderValue::from_static(HELLO));
    let result = try_all(&github(&[SECRET]), &headers, b"Hello, World!", now());
    assert_eq!(refused_at(result), ("admit", "unsigned"));
}

#[test]
fn white_space_that_was_added_to_the_body_breaks_the_signature_and_white_space_that_was_signed_does_not() {
    let [github, gitlab, _] = trusting();
    for (host, signer) in [github, gitlab] {
        let compact = br#"{"zen":"x"}"#;
        let pretty = b"{\n  \"zen\": \"x\"\n}\n";
        let headers = sign(signer, "ping", compact);
        try_all(&host, &headers, compact, now()).unwrap();
        assert_eq!(refused_at(try_all(&host, &headers, pretty, now())), ("verify", "bad_signature"));
        try_all(&host, &sign(signer, "ping", pretty), pretty, now()).unwrap();
    }
}

#[test]
fn during_a_rotation_every_secret_is_accepted_and_the_first_one_signs() {
    const OLD: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let proofs = ["x-hub-signature-256", "webhook-signature", "x-gitlab-token"];
    for (both, new, old) in [
        (
            github(&["the new one", "the old one"]),
            Signer::Github("the new one"),
            Signer::Github("the old one"),
        ),
        (gitlab(&[SIGNING, OLD], &[]), Signer::Gitlab(SIGNING), Signer::Gitlab(OLD)),
        (
            gitlab(&[], &["the new one", "the old one"]),
            Signer::GitlabToken("the new one"),
            Signer::GitlabToken("the old one"),
        ),
    ] {
        for signer in [new, old] {
            try_all(&both, &sign(signer, "Push Hook", b"{}"), b"{}", now()).unwrap();
        }
        let headers = both.sign("Push Hook", "an-id", b"{}", now());
        try_all(&both, &headers, b"{}", now()).unwrap();
        let (of_new, of_old) = (sign(new, "Push Hook", b"{}"), sign(old, "Push Hook", b"{}"));
        assert!(proofs.iter().all(|name| headers.get(*name) == of_new.get(*name)), "{headers:?}");
        assert!(proofs.iter().any(|name| headers.get(*name) != of_old.get(*name)), "{headers:?}");
    }
}

#[test]
fn a_plain_token_is_compared_before_the_body_is_read() {
    let host = gitlab(&[], &["open sesame"]);
    let with = |token: &[u8]| {
        let mut headers = sign(Signer::GitlabToken("open sesame"), "Push Hook", b"{}");
        headers.insert("x-gitlab-token", HeaderValue::from_bytes(token).unwrap());
        try_all(&host, &headers, b"{}", now())
    };
    with(b"open sesame").unwrap();
    for token in [&b"open"[..], b"open sesam", b"open sesame ", b"OPEN SESAME", b"\xff\xfe"] {
        assert_eq!(refused_at(with(token)), ("admit", "bad_signature"));
    }
    assert_eq!(refused_at(with(b"")), ("admit", "bad_signature"));
    let mut none = sign(Signer::GitlabToken("open sesame"), "Push Hook", b"{}");
    none.append("x-gitlab-token", HeaderValue::from_static("open sesame"));
    assert_eq!(refused_at(try_all(&host, &none, b"{}", now())), ("admit", "unsigned"));
    none.remove("x-gitlab-token");
    assert_eq!(refused_at(try_all(&host, &none, b"{}", now())), ("admit", "unsigned"));
}

#[test]
fn where_a_signing_token_is_set_a_plain_token_alone_is_refused() {
    let both = gitlab(&[SIGNING], &["open sesame"]);
    let headers = sign(Signer::GitlabToken("open sesame"), "Push Hook", b"{}");
    assert_eq!(refused_at(try_all(&both, &headers, b"{}", now())), ("admit", "unsigned"));
    let mut signed = sign(Signer::Gitlab(SIGNING), "Push Hook", b"{}");
    try_all(&both, &signed, b"{}", now()).unwrap();
    signed.insert("x-gitlab-token", HeaderValue::from_static("another"));
    try_all(&both, &signed, b"{}", now()).unwrap();
}

#[test]
fn one_hosts_signature_is_invalid_on_anothers_route() {
    let github = github(&[SECRET]);
    let of_github = sign(Signer::Github(SECRET), "push", b"{}");
    for (host, signer) in [
        (gitlab(&[SIGNING], &[]), Signer::Gitlab(SIGNING)),
        (gitlab(&[], &[SECRET]), Signer::GitlabToken(SECRET)),
    ] {
        assert_eq!(refused_at(try_all(&host, &of_github, b"{}", now())), ("admit", "unsigned"));
        let of_gitlab = sign(signer, "Push Hook", b"{}");
        assert_eq!(refused_at(try_all(&github, &of_gitlab, b"{}", now())), ("admit", "unsigned"));
    }
}

#[test]
fn a_host_without_a_secret_or_with_an_empty_one_is_not_open() {
    for text in ["", " "] {
        support::host("gitlab", &[("PLAUDIT_GITLAB_SECRET", text)]).map(drop).unwrap_err();
    }
    assert!(support::host("github", &[]).unwrap().is_none());
    assert!(support::host("gitlab", &[]).unwrap().is_none());
    for partly in ["", ",a long secret"] {
        support::host("github", &[("PLAUDIT_GITHUB_SECRET", partly)]).map(drop).unwrap_err();
    }
    // What an empty secret would sign.
    let headers = github_headers("sha256=2bbcfa9524f3218c7a34b30e6936f8b1a4516cb097f1a85a1c7d98b5977ec769");
    let result = try_all(&github(&[SECRET]), &headers, b"Hello, World!", now());
    assert_eq!(refused_at(result), ("verify", "bad_signature"));
}

#[test]
fn only_the_content_types_that_the_host_sends_are_let_in() {
    for (content_type, github_takes, gitlab_takes) in [
        ("application/json", true, true),
        ("Application/JSON; charset=utf-8", true, true),
        ("application/json;charset=\"UTF-8\"", true, true),
        ("application/x-www-form-urlencoded", true, false),
        ("application/json; charset=utf-16", false, false),
        ("application/jsonp", false, false),
        ("text/plain", false, false),
        ("multipart/form-data", false, false),
        ("", false, false),
    ] {
        let [github, _, gitlab] = trusting();
        for ((host, signer), takes) in [(github, github_takes), (gitlab, gitlab_takes)] {
            let mut headers = sign(signer, "ping", b"payload=%7B%7D");
            headers.insert("content-type", HeaderValue::from_static(content_type));
            let result = host.admit(&headers, now());
            assert_eq!(result.is_ok(), takes, "{content_type}");
            assert!(takes || matches!(result, Err(Rejection::Unsupported(_))), "{content_type}");
        }
    }
    let host = github(&[SECRET]);
    let mut headers = github_headers(HELLO);
    headers.append("content-type", HeaderValue::from_static("application/json"));
    assert_eq!(kind(host.admit(&headers, now()).unwrap_err()), "unsupported");
    headers.remove("content-type");
    assert_eq!(kind(host.admit(&headers, now()).unwrap_err()), "unsupported");
}

#[test]
fn a_content_encoding_is_refused_and_only_after_the_signature_header() {
    for (encoding, taken) in [
        ("identity", true),
        ("Identity", true),
        ("gzip", false),
        ("br", false),
        ("identity, gzip", false),
        ("", false),
    ] {
        let mut headers = github_headers(HELLO);
        headers.insert("content-encoding", HeaderValue::from_static(encoding));
        let result = github(&[SECRET]).admit(&headers, now());
        assert_eq!(result.is_ok(), taken, "{encoding}");
        assert!(taken || matches!(result, Err(Rejection::Unsupported(_))));
        headers.remove("x-hub-signature-256");
        headers.remove("x-github-event");
        assert_eq!(kind(github(&[SECRET]).admit(&headers, now()).unwrap_err()), "unsigned");
    }
}

#[test]
fn without_its_event_a_request_is_malformed_and_without_its_id_it_is_not() {
    let [github, _, gitlab] = trusting();
    for ((host, signer), event, ids) in [
        (github, "x-github-event", &["x-github-delivery"][..]),
        (gitlab, "x-gitlab-event", &["idempotency-key", "x-gitlab-event-uuid"]),
    ] {
        let signed = sign(signer, "ping", b"{}");
        assert_eq!(host.admit(&signed, now()).unwrap().delivery, "an-id");
        let mut headers = signed.clone();
        for id in ids {
            headers.remove(*id);
        }
        assert_eq!(host.admit(&headers, now()).unwrap().delivery, "unknown");
        let mut headers = signed.clone();
        headers.append(event, HeaderValue::from_static("push"));
        assert_eq!(refused_at(try_all(&host, &headers, b"{}", now())), ("verify", "malformed"));
        headers.remove(event);
        assert_eq!(refused_at(try_all(&host, &headers, b"{}", now())), ("verify", "malformed"));
        headers.insert(event, HeaderValue::from_static(" "));
        assert_eq!(refused_at(try_all(&host, &headers, b"{}", now())), ("verify", "malformed"));
    }
}

#[test]
fn with_a_wrong_signature_no_other_fault_is_reported() {
    let [github, gitlab, _] = trusting();
    for ((host, signer), event) in [(github, "x-github-event"), (gitlab, "x-gitlab-event")] {
        let mut headers = sign(signer, "push", b"another body");
        headers.remove(event);
        assert_eq!(refused_at(try_all(&host, &headers, b"{}", now())), ("verify", "bad_signature"));
    }
}

#[test]
fn ids_and_events_are_cut_to_a_hundred_bytes() {
    let mut headers = github_headers(HELLO);
    headers.insert("x-github-event", HeaderValue::from_bytes("é".repeat(500).as_bytes()).unwrap());
    headers.insert("x-github-delivery", HeaderValue::from_bytes(&[0xff; 500]).unwrap());
    let claim = github(&[SECRET]).admit(&headers, now()).unwrap();
    assert_eq!(claim.event, Ok("é".repeat(50)));
    assert!(claim.delivery.len() <= 100);
}

#[test]
fn an_id_cannot_carry_a_terminals_escape_codes_into_a_log() {
    let mut headers = github_headers(HELLO);
    headers.insert("x-github-delivery", HeaderValue::from_bytes(b"a\xc2\x9b31mb\tc").unwrap());
    let claim = github(&[SECRET]).admit(&headers, now()).unwrap();
    assert_eq!(claim.delivery, "a\u{fffd}31mb\u{fffd}c");
}

#[test]
fn a_delivery_is_shown_without_its_payload() {
    let host = github(&[SECRET]);
    let headers = sign(Signer::Github(SECRET), "ping", b"{\"hush\":1}");
    let claim = host.admit(&headers, now()).unwrap();
    let delivery = host.verify(claim, br#"{"hush":1}"#.to_vec()).unwrap();
    assert_eq!(format!("{delivery:?}"), r#"Delivery { id: "an-id", event: "ping", .. }"#);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_header_makes_admitting_panic_and_none_lets_a_stranger_in(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 12),
        body in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let names = [
            "x-hub-signature-256", "content-type", "content-encoding", "x-github-event", "x-github-delivery",
            "webhook-id", "webhook-timestamp", "webhook-signature", "x-gitlab-token", "x-gitlab-event",
            "idempotency-key", "x-gitlab-event-uuid",
        ];
        let hosts = trusting();
        let mut wild = HeaderMap::new();
        for (name, value) in names.iter().zip(&values) {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                wild.insert(*name, value);
            }
        }
        for (host, signer) in &hosts {
            prop_assert!(try_all(host, &wild, &body, now()).is_err());
            // In a genuine request each header in turn is replaced: never a panic.
            for name in names {
                let mut headers = sign(*signer, "push", &body);
                if let Some(value) = wild.get(name) {
                    headers.insert(name, value.clone());
                }
                let _ = try_all(host, &headers, &body, now());
            }
        }
    }

    #[test]
    fn what_a_host_signs_holds_and_no_other_body_does(body in prop::collection::vec(any::<u8>(), 1..300), at in any::<prop::sample::Index>()) {
        let [github, gitlab, _] = trusting();
        for (host, signer) in [github, gitlab] {
            let headers = sign(signer, "push", &body);
            let its_own = host.sign("push", "an-id", &body, now());
            for name in ["x-hub-signature-256", "webhook-id", "webhook-timestamp", "webhook-signature"] {
                prop_assert_eq!(its_own.get(name), headers.get(name));
            }
            prop_assert!(try_all(&host, &headers, &body, now()).is_ok());
            let mut other = body.clone();
            other[at.index(body.len())] ^= 1;
            prop_assert_eq!(refused_at(try_all(&host, &headers, &other, now())), ("verify", "bad_signature"));
        }
    }
}
