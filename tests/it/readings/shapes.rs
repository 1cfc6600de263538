//! Payloads that no host sends: malformed, oversized, with fields missing or of another type.

use super::*;

const EVENTS: [(&str, &str); 9] = [
    ("github", "push"),
    ("github", "pull_request"),
    ("github", "issues"),
    ("github", "ping"),
    ("github", "an_event_of_tomorrow"),
    ("gitlab", "Push Hook"),
    ("gitlab", "Merge Request Hook"),
    ("gitlab", "Issue Hook"),
    ("gitlab", "Note Hook"),
];

fn wrong(host: &str, event: &str, body: &[u8]) -> String {
    try_read(host, event, body, &Rules::default()).unwrap_err().0
}

#[test]
fn a_body_that_is_no_json_object_is_malformed_whatever_the_event() {
    for (host, event) in EVENTS {
        for body in
            ["", " ", "{", "[]", "null", "\"x\"", "{\"a\":1}}", "{'a':1}", "payload=%7B%7D", "{}\u{feff}"]
        {
            assert!(!wrong(host, event, body.as_bytes()).is_empty(), "{event} {body}");
        }
    }
}

#[test]
fn a_hundred_thousand_brackets_overflow_nothing() {
    let deep = "[".repeat(100_000);
    let closed = format!("{deep}{}", "]".repeat(100_000));
    for (host, event) in EVENTS {
        wrong(host, event, deep.as_bytes());
        wrong(host, event, closed.as_bytes());
        wrong(host, event, "{\"a\":".repeat(100_000).as_bytes());
        wrong(host, event, format!("{{\"x\":{deep}").as_bytes());
    }
    for key in ["repository", "issue", "action", "changes"] {
        wrong("github", "issues", format!("{{\"{key}\":{closed}}}").as_bytes());
    }
    let beside =
        json_fixture("github/issues.opened.json").to_string().replacen('{', &format!("{{\"x\":{closed},"), 1);
    assert!(try_read("github", "issues", beside.as_bytes(), &Rules::default()).is_ok());
}

#[test]
fn a_duplicate_of_a_key_that_is_read_is_refused() {
    for (host, event, file, key) in [
        ("github", "issues", "github/issues.opened.json", "action"),
        ("github", "issues", "github/issues.opened.json", "issue"),
        ("github", "push", "github/push.default_branch.json", "after"),
        ("gitlab", "Issue Hook", "gitlab/issue.open.json", "object_attributes"),
    ] {
        let body = json_fixture(file);
        let twice = format!("{{\"{key}\":{},{}", body[key], body.to_string().trim_start_matches('{'));
        let message = wrong(host, event, twice.as_bytes());
        assert!(message.starts_with(&format!("duplicate field `{key}` at line 1")), "{message}");
    }
}

#[test]
fn an_error_contains_no_word_of_the_payload() {
    let mut body = json_fixture("github/issues.opened.json");
    body["issue"]["number"] = json!("hush, hush");
    let message = wrong("github", "issues", body.to_string().as_bytes());
    assert!(message.starts_with("a value is not of the documented type at line 1, column "), "{message}");
    body["issue"].as_object_mut().unwrap().remove("number");
    let message = wrong("github", "issues", body.to_string().as_bytes());
    assert!(message.starts_with("missing field `number` at line 1"), "{message}");
}

#[test]
fn numbers_may_be_as_large_as_64_bits_and_never_negative() {
    let number = |n: Value| {
        let mut body = json_fixture("github/issues.opened.json");
        body["repository"]["id"] = n;
        try_read("github", "issues", body.to_string().as_bytes(), &Rules::default())
    };
    let id = only(number(json!(u64::MAX)).unwrap()).id;
    assert_eq!(id.as_str(), "github:18446744073709551615:issue:31");
    for n in [json!(-1), json!(1.5), json!("1"), json!(1e300), Value::Null] {
        assert!(number(n).is_err());
    }
}

#[test]
fn a_push_has_to_name_the_commit_that_identifies_it() {
    for after in ["", "x", "3b37bf6d94e57d0035d9b01cb896e770c2f64f1f:eve", "../..", "3B37BF6D94E57D0035"] {
        let mut body = json_fixture("github/push.default_branch.json");
        body["after"] = json!(after);
        wrong("github", "push", body.to_string().as_bytes());
    }
}

#[test]
fn a_gitlab_payload_under_the_name_of_another_event_is_refused() {
    for (event, file) in [
        ("Issue Hook", "gitlab/merge_request.open.json"),
        ("Merge Request Hook", "gitlab/issue.open.json"),
        ("Push Hook", "gitlab/tag_push.created.json"),
    ] {
        wrong("gitlab", event, json_fixture(file).to_string().as_bytes());
    }
}

#[test]
fn gitlabs_test_of_a_webhook_and_a_groups_epic_do_not_count() {
    let tried = changed("gitlab/merge_request.open.json", &Rules::default(), |body| {
        body["object_attributes"].as_object_mut().unwrap().remove("action");
    });
    assert_eq!(credited(&tried), ["action_not_counted"]);
    let epic = changed("gitlab/work_item.open.task.json", &Rules::default(), |body| {
        body["object_attributes"]["type"] = json!("Epic");
        body["project"] = Value::Null;
    });
    assert_eq!(credited(&epic), ["event_not_counted"]);
}

#[test]
fn white_space_and_escapes_change_nothing() {
    let body = json_fixture("github/issues.opened.non_ascii.json");
    let pretty = serde_json::to_string_pretty(&body).unwrap();
    let escaped: String = body
        .to_string()
        .encode_utf16()
        .map(|unit| match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
            _ => format!("\\u{unit:04x}"),
        })
        .collect();
    let plain = unchanged("github/issues.opened.non_ascii.json", &Rules::default());
    for body in [pretty, escaped] {
        assert_eq!(try_read("github", "issues", body.as_bytes(), &Rules::default()).unwrap(), plain);
    }
}

/// Any JSON, small.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "(refs/heads/|Co-authored-by: |Merge branch|[0-9]{1,3}[+-]).{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The JSON pointer of every value in a payload.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| !key.contains(['/', '~']))
            .for_each(|(key, value)| places(value, &format!("{at}/{key}"), found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| places(value, &format!("{at}/{i}"), found));
        }
        _ => {}
    }
}

/// The fields that the readings use, so that the property tests change what matters.
const READ: [&str; 16] = [
    "ref",
    "after",
    "commits",
    "author",
    "message",
    "timestamp",
    "pusher",
    "sender",
    "user",
    "login",
    "html_url",
    "web_url",
    "created_at",
    "username",
    "email",
    "object_attributes",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_reading_panic(body in prop::collection::vec(any::<u8>(), 0..400), event in 0..EVENTS.len()) {
        let (host, event) = EVENTS[event];
        let _ = try_read(host, event, &body, &Rules::default());
    }

    #[test]
    fn no_payload_makes_a_reading_panic(
        pick in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        value in any_json(),
        all_branches in any::<bool>(),
    ) {
        let fixtures = fixtures();
        let (host, path) = pick.get(&fixtures);
        let mut body: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut found = Vec::new();
        places(&body, "", &mut found);
        found.retain(|at| READ.iter().any(|key| at.contains(key)));
        if !found.is_empty() {
            *body.pointer_mut(place.get::<String>(&found)).unwrap() = value;
        }
        let event = event_of_fixture(host, path.file_name().unwrap().to_str().unwrap()).unwrap();
        let rules = Rules { all_branches, co_authors: true, ..Rules::default() };
        let reading = try_read(host, event, body.to_string().as_bytes(), &rules);
        if let Ok(Reading::Counts(contributions)) = reading {
            let people: BTreeSet<_> = contributions.iter().map(|c| &c.contributor).collect();
            prop_assert!((1..=20).contains(&people.len()));
            let ids: BTreeSet<_> = contributions.iter().map(|c| c.id.as_str()).collect();
            prop_assert_eq!(ids.len(), contributions.len());
        }
    }
}
