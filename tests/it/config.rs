//! The configuration, and what the program prints when it is wrong.

use serde_json::Value;

use crate::support::{Output, Plaudit, command, run, talk};

/// No settings.
const NOTHING: [(&str, &str); 0] = [];

/// Every setting that can be wrong, wrong.
const ALL_WRONG: &[(&str, &str)] = &[
    ("PLAUDIT_LISTEN", "localhost"),
    ("PLAUDIT_STORE", "postgres:here"),
    ("PLAUDIT_PUBLISH", "kafka"),
    ("PLAUDIT_GITHUB_SECRET", "hush-hush-1,,hush-hush-2"),
    ("PLAUDIT_GITLAB_SIGNING_TOKEN", "hush-hush-3"),
    ("PLAUDIT_GITLAB_SECRET", " "),
    ("PLAUDIT_API_TOKENS", "hush-hush-4, "),
    ("PLAUDIT_POST_TOKENS", "hush-hush-5 "),
    ("PLAUDIT_READ_TOKENS", "\"hush-hush-6\""),
    ("PLAUDIT_FORGET_KEY", "hush-hush-7, too short"),
    ("PLAUDIT_OPEN_API", "perhaps"),
    ("PLAUDIT_PUBLIC_READ", "1"),
    ("PLAUDIT_ALLOW_ORIGINS", "app.example.org"),
    ("PLAUDIT_TRUSTED_PROXIES", "all"),
    ("PLAUDIT_MILESTONES", "10,3"),
    ("PLAUDIT_COUNT", "push,star"),
    ("PLAUDIT_PULL_REQUESTS", "closed"),
    ("PLAUDIT_FORKS", "2"),
    ("PLAUDIT_GITHUB_HOSTS", "https://github.com"),
    ("PLAUDIT_GITLAB_HOSTS", "github.com"),
    ("PLAUDIT_BRANCHES", "main"),
    ("PLAUDIT_CO_AUTHORS", "ja"),
    ("PLAUDIT_COMMENT", "true"),
    ("PLAUDIT_COMMENT_FOR", "members"),
    ("PLAUDIT_GITHUB_API", "api.github.com"),
    ("PLAUDIT_GITLAB_API", "gitlab.com"),
    ("PLAUDIT_DRAIN_AUDIENCE", "https://plaudit.example.org"),
    ("PLAUDIT_LOG", "plaudit=louder"),
    ("PLAUDIT_LOG_FORMAT", "xml"),
];

/// Starts the program with wrong settings, and returns the one line of its log.
fn refused(settings: &[(&str, &str)]) -> String {
    let Output { code, out, err } = run(&mut command(settings));
    assert_eq!(code, Some(2), "{settings:?}: {err}");
    assert_eq!(out, "");
    assert_eq!(err.lines().count(), 1, "{err}");
    let line: Value = serde_json::from_str(&err).unwrap();
    assert_eq!(line["severity"], "CRITICAL");
    assert!(line["@type"].as_str().unwrap().ends_with(".ReportedErrorEvent"));
    assert!(line["time"].is_string());
    line["message"].as_str().unwrap().to_owned()
}

#[test]
fn all_faults_are_reported_at_once_each_with_an_example_and_no_secret() {
    let message = refused(ALL_WRONG);
    for (name, _) in ALL_WRONG {
        let name = if *name == "PLAUDIT_DRAIN_AUDIENCE" { "PLAUDIT_DRAIN_EMAIL" } else { *name };
        let line = message.lines().find(|line| line.trim().starts_with(&format!("{name}:")));
        let line = line.unwrap_or_else(|| panic!("{name} is not named: {message}"));
        assert!(line.contains("for example PLAUDIT_"), "no example: {line}");
    }
    assert!(!message.contains("hush-hush"), "{message}");
}

#[test]
fn in_text_format_the_faults_are_readable() {
    let settings =
        [("PLAUDIT_LOG_FORMAT", "text"), ("PLAUDIT_MILESTONES", "0"), ("PLAUDIT_GITHUB_SECRET", "")];
    let Output { code, err, .. } = run(&mut command(&settings));
    assert_eq!(code, Some(2));
    assert!(err.starts_with("plaudit: the configuration is wrong:\n  "), "{err}");
    assert!(err.contains("PLAUDIT_MILESTONES:") && err.contains("PLAUDIT_GITHUB_SECRET:"), "{err}");
}

#[test]
fn a_secret_that_checks_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    for variable in ["PLAUDIT_GITHUB_SECRET", "PLAUDIT_GITLAB_SECRET", "PLAUDIT_API_TOKENS"] {
        for value in ["", " ", ",", "hush-hush,", ",hush-hush", "hush-hush-1, ,hush-hush-2", "\t"] {
            assert!(refused(&[(variable, value)]).contains(variable), "{variable}={value:?}");
        }
        let variable = format!("{variable}_FILE");
        for (name, text) in
            [("empty", ""), ("blank", " \n"), ("gap", "hush-hush-1\n\nhush-hush-2\n"), ("line", "\n")]
        {
            let message = refused(&[(variable.as_str(), file(name, text).as_str())]);
            assert!(message.contains("PLAUDIT_"), "{variable} {name}");
        }
        let message = refused(&[(variable.as_str(), "/nowhere/secret")]);
        assert!(message.contains(&variable), "{message}");
        let both = [(variable.as_str(), "/nowhere"), (variable.strip_suffix("_FILE").unwrap(), "hush-hush")];
        let message = refused(&both);
        assert!(message.contains("not both") && !message.contains("hush-hush"), "{message}");
    }
}

#[test]
fn a_secret_that_no_header_can_carry_is_refused() {
    for variable in
        ["PLAUDIT_GITLAB_SECRET", "PLAUDIT_API_TOKENS", "PLAUDIT_POST_TOKENS", "PLAUDIT_READ_TOKENS"]
    {
        for value in [" leading-space", "trailing-space ", "a-bell\u{7}in-it"] {
            assert!(refused(&[(variable, value)]).contains(variable), "{variable}={value:?}");
        }
    }
}

#[test]
fn a_secret_that_is_guessed_or_never_matches_is_refused() {
    for variable in [
        "PLAUDIT_GITHUB_SECRET",
        "PLAUDIT_GITLAB_SIGNING_TOKEN",
        "PLAUDIT_GITLAB_SECRET",
        "PLAUDIT_API_TOKENS",
        "PLAUDIT_GITHUB_TOKEN",
        "PLAUDIT_GITHUB_APP_KEY",
    ] {
        for (value, why) in [
            ("hush-hu", "shorter than 8 characters"),
            ("\"hush-hush\"", "in quotes"),
            ("'hush-hush'", "in quotes"),
            ("hush-hush\r", "carriage return"),
        ] {
            let message = refused(&[(variable, value)]);
            let line = message.lines().find(|line| line.contains(&format!(" {variable}: ")));
            assert!(line.is_some_and(|line| line.contains(why)), "{variable}={value:?}: {message}");
            assert!(!message.contains("hush"), "{message}");
        }
    }
}

#[test]
fn no_filter_hides_why_it_cannot_run() {
    for filter in ["off", "hyper=info", "info,plaudit=off", "warn"] {
        let settings = [("PLAUDIT_LOG", filter), ("PLAUDIT_STORE", "sqlite:/nowhere/plaudit.db")];
        let Output { code, err, .. } = run(&mut command(&settings));
        assert_eq!((code, err.lines().count()), (Some(1), 1), "{filter}: {err}");
        assert!(
            err.contains("CRITICAL") && err.contains("cannot open the ledger /nowhere/plaudit.db"),
            "{filter}: {err}"
        );
    }
}

#[test]
fn a_filter_of_a_word_that_is_no_level_is_refused() {
    for filter in ["verbose", "information", "info,hyper", "plaudit", "info, louder ,hyper=warn"] {
        let message = refused(&[("PLAUDIT_LOG", filter)]);
        assert!(message.contains("PLAUDIT_LOG: ") && message.contains("is no level"), "{filter}: {message}");
        assert!(message.contains("for example PLAUDIT_LOG=info,plaudit=debug"), "{filter}: {message}");
    }
    for filter in
        ["plaudit=debug", "info", "OFF", "info,hyper=warn", "warn,hyper=off", "[request]=debug", "2"]
    {
        let settings = [("PLAUDIT_LOG", filter), ("PLAUDIT_STORE", "sqlite:/nowhere/plaudit.db")];
        let Output { code, err, .. } = run(&mut command(&settings));
        assert_eq!(code, Some(1), "it is read, and only the store is wrong: {filter}: {err}");
    }
}

#[test]
fn a_value_that_is_not_utf8_is_reported_with_the_other_faults() {
    use std::os::unix::ffi::OsStrExt as _;
    let nonsense = std::ffi::OsStr::from_bytes(b"\xff");
    let mut plaudit = command(&[("PLAUDIT_LISTEN", "nowhere")]);
    plaudit.env("PLAUDIT_MILESTONES", nonsense).env("PLAUDIT_IGNORE", nonsense);
    let Output { code, err, .. } = run(&mut plaudit);
    assert_eq!(code, Some(2), "{err}");
    for variable in ["PLAUDIT_LISTEN:", "PLAUDIT_MILESTONES: not text", "PLAUDIT_IGNORE: not text"] {
        assert!(err.contains(variable), "{variable} in {err}");
    }
}

#[test]
fn every_example_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let message = refused(ALL_WRONG);
    let mut settings = vec![("PLAUDIT_DRAIN_AUDIENCE".to_owned(), "https://plaudit.example.org".to_owned())];
    for line in message.lines().filter_map(|line| line.split_once("; for example ")) {
        let (variable, example) = line.1.split_once('=').unwrap();
        let example = match variable {
            // Right too, but not on this machine.
            "PLAUDIT_STORE" => format!("sqlite:{}", folder.path().join("plaudit.db").display()),
            "PLAUDIT_PUBLISH" => "local".into(),
            _ => example.trim_matches('"').to_owned(),
        };
        if !variable.ends_with("_FILE") {
            settings.push((variable.to_owned(), example));
        }
    }
    assert!(settings.len() >= ALL_WRONG.len() - 1, "{settings:?}");
    let Output { code, err, .. } = run(command(&settings).arg("check"));
    assert_eq!(code, Some(0), "{err}");
}

#[tokio::test]
async fn secrets_come_from_files_too_one_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, "first token\nsecond, with a comma\n").unwrap();
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS_FILE", path.to_str().unwrap())]).await;
    plaudit.post(&talk("mona", "a")).await.problem(401, "token_needed");
    for (i, token) in ["first token", "second, with a comma"].into_iter().enumerate() {
        plaudit.with_token(token).post(&talk("mona", &format!("t{i}"))).await.expect(201);
    }
    let mut plaudit = plaudit;
    plaudit.client = plaudit.client.with_token("first token");
    plaudit.stop().await;
}

#[test]
fn on_cloud_run_a_ledger_on_its_disk_is_refused() {
    let message = refused(&[("K_SERVICE", "plaudit"), ("PORT", "8080")]);
    assert!(message.contains("PLAUDIT_STORE") && message.contains("firestore:"), "{message}");
}

#[test]
fn a_request_timeout_that_leaves_an_event_stream_no_time_is_refused() {
    for wrong in ["10", "0", "300s", "-1", "86401", ""] {
        let message = refused(&[("PLAUDIT_REQUEST_TIMEOUT", wrong)]);
        assert!(message.contains("PLAUDIT_REQUEST_TIMEOUT") && message.contains("from 11 to"), "{message}");
    }
}

#[test]
fn help_names_every_flag_with_its_variable_and_default_and_no_secret_is_a_flag() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["check", "--help"]] {
        let Output { code, out, .. } = run(command(&NOTHING).args(arguments));
        assert_eq!(code, Some(0));
        let words = out.split_whitespace().collect::<Vec<_>>().join(" ");
        for variable in [
            "LISTEN",
            "STORE",
            "PUBLISH",
            "OPEN_API",
            "PUBLIC_READ",
            "ALLOW_ORIGINS",
            "MILESTONES",
            "COUNT",
            "PULL_REQUESTS",
            "REJECT_LABELS",
            "FORKS",
            "BRANCHES",
            "CO_AUTHORS",
            "IGNORE",
            "PEOPLE",
            "GITHUB_HOSTS",
            "GITLAB_HOSTS",
            "COMMENT",
            "GITHUB_APP_ID",
            "GITHUB_API",
            "DRAIN_AUDIENCE",
            "DRAIN_EMAIL",
            "REQUEST_TIMEOUT",
            "LOG",
            "LOG_FORMAT",
        ] {
            let flag = format!("--{}", variable.to_lowercase().replace('_', "-"));
            assert!(words.contains(&flag), "{arguments:?} without {flag}");
            assert!(
                words.contains(&format!("[env: PLAUDIT_{variable}=")),
                "{arguments:?} without PLAUDIT_{variable}"
            );
        }
        assert!(words.matches("[default: ").count() >= 17, "{out}");
        for secret in
            ["--github-secret", "--gitlab-secret", "--api-tokens", "--github-token", "--github-app-key"]
        {
            assert!(!out.contains(secret), "{secret} is a flag");
        }
    }
    // A command's own flags still refuse wrong values.
    assert_eq!(run(command(&NOTHING).args(["watch", "--count", "0"])).code, Some(2));
    for (command_name, flags) in [("demo", 0), ("send", 3), ("watch", 4), ("import", 1)] {
        let Output { code, out, .. } = run(command(&NOTHING).args([command_name, "--help"]));
        assert_eq!(code, Some(0), "{command_name}");
        assert!(out.contains("Usage: plaudit"), "{out}");
        let words = out.split_whitespace().collect::<Vec<_>>().join(" ");
        for each in ["[env: PLAUDIT_", "[default: "] {
            assert_eq!(words.matches(each).count(), flags, "{each} in {out}");
        }
    }
}

#[test]
fn help_shows_no_value_of_a_secret_that_is_set() {
    let settings = [("PLAUDIT_GITHUB_SECRET", "hush-hush"), ("PLAUDIT_API_TOKENS", "hush-hush")];
    for arguments in [&["--help"][..], &["send", "--help"], &["watch", "--help"]] {
        let Output { out, err, .. } = run(command(&settings).args(arguments));
        assert!(!out.contains("hush-hush") && !err.contains("hush-hush"));
    }
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [&["--no-such-flag"][..], &["celebrate"], &["send"], &["--github-secret", "x"]] {
        let Output { code, err, .. } = run(command(&NOTHING).args(arguments));
        assert_eq!(code, Some(2), "{arguments:?}: {err}");
    }
}

#[tokio::test]
async fn flags_go_before_variables() {
    let mut plaudit = Plaudit::start().await;
    plaudit.end().await;
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_plaudit"));
    program.args(["serve", "--milestones", "1"]);
    plaudit.set("PLAUDIT_MILESTONES", "7");
    plaudit.restart_as(program).await;
    let answer = plaudit.post(&talk("mona", "a")).await.expect(201).json();
    assert_eq!(answer["recognitions"], serde_json::json!(["mona:1"]));
    plaudit.stop().await;
}

#[test]
fn an_address_in_use_is_exit_code_1_and_the_log_says_what_to_set() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("plaudit.db").display());
    let settings = [("PLAUDIT_LISTEN", address.as_str()), ("PLAUDIT_STORE", store.as_str())];
    let Output { code, err, .. } = run(&mut command(&settings));
    assert_eq!(code, Some(1));
    let line: Value = serde_json::from_str(&err).unwrap();
    assert_eq!(line["severity"], "CRITICAL");
    assert!(line["message"].as_str().unwrap().contains("PLAUDIT_LISTEN"), "{line}");
}

#[test]
fn check_says_of_each_back_end_what_is_right_or_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("plaudit.db").display());
    let Output { code, out, .. } = run(command(&[("PLAUDIT_STORE", store.as_str())]).arg("check"));
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("right  store sqlite:") && out.contains("set PLAUDIT_GITHUB_SECRET"), "{out}");
    let Output { code, out, .. } =
        run(command(&[("PLAUDIT_STORE", "sqlite:/nowhere/plaudit.db")]).arg("check"));
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("wrong  store sqlite:/nowhere/plaudit.db: "), "{out}");
    let Output { code, err, .. } = run(command(&[("PLAUDIT_MILESTONES", "no")]).arg("check"));
    assert_eq!(code, Some(2));
    assert!(err.contains("PLAUDIT_MILESTONES"), "{err}");
}

#[test]
fn a_secret_that_is_not_utf8_or_can_never_match_is_a_fault_and_does_not_disable_the_check() {
    use std::os::unix::ffi::OsStrExt;
    let mut not_text = command(&NOTHING);
    not_text.env("PLAUDIT_API_TOKENS", std::ffi::OsStr::from_bytes(b"\xff\xfehush"));
    for mut refused in [
        not_text,
        command(&[("PLAUDIT_API_TOKENS", "geh\u{e9}im-geh\u{e9}im")]),
        command(&[("PLAUDIT_API_TOKENS", "padded-token ")]),
    ] {
        let Output { code, err, .. } = run(&mut refused);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains("PLAUDIT_API_TOKENS"), "{err}");
        assert!(!err.contains("hush"), "{err}");
    }
}
