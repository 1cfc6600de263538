//! What a person reads after a mistake: one line with what failed, why, and what to do.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::machine::at_hand;
use crate::support::{Output, Plaudit, command, isolated, run};

/// Runs the program with these arguments and settings as on a terminal; its one line of error, and its exit code.
fn mistake(arguments: &[&str], settings: &[(&str, &str)]) -> (String, Option<i32>) {
    let mut plaudit = command(&[settings, &[("PLAUDIT_LOG_FORMAT", "text")]].concat());
    let Output { code, out, err } = run(plaudit.args(arguments));
    assert_eq!(out, "", "{arguments:?}");
    assert_eq!(err.lines().count(), 1, "{arguments:?} {settings:?}: {err}");
    assert!(err.starts_with("plaudit: "), "{err}");
    for dump in ["Error {", "Some(", "GrpcStatus", "os error"] {
        assert!(!err.contains(dump), "{err}");
    }
    (err.trim().to_owned(), code)
}

#[test]
fn a_wrong_setting_is_one_line_with_the_value_and_a_right_one() {
    let table: &[(&[&str], &[&str])] = &[
        (&["--listen", ":8080"], &["PLAUDIT_LISTEN: \":8080\" is wrong", "127.0.0.1:8080", "0.0.0.0:8080"]),
        (&["--listen", "9000"], &["PLAUDIT_LISTEN: \"9000\" is wrong", "127.0.0.1:9000"]),
        (&["--listen", "localhost:81"], &["PLAUDIT_LISTEN: \"localhost:81\" is wrong", "127.0.0.1:81"]),
        (&["--milestones", ""], &["PLAUDIT_MILESTONES: \"\" is wrong", "PLAUDIT_MILESTONES=3,10,100"]),
        (&["--milestones", "0"], &["PLAUDIT_MILESTONES: \"0\" is wrong", "from 1 to"]),
        (&["--milestones", "3,3"], &["PLAUDIT_MILESTONES: \"3,3\" is wrong", "ascending"]),
        (&["--milestones", "10,3"], &["PLAUDIT_MILESTONES: \"10,3\" is wrong", "ascending"]),
        (&["--milestones", "three"], &["PLAUDIT_MILESTONES: \"three\" is wrong", "whole numbers"]),
        (&["--milestones", "3;10"], &["PLAUDIT_MILESTONES: \"3;10\" is wrong", "separated by commas"]),
        (&["--milestones=-3"], &["PLAUDIT_MILESTONES: \"-3\" is wrong", "from 1 to"]),
        (&["--store", "plaudit.db"], &["PLAUDIT_STORE: \"plaudit.db\" is wrong", "write sqlite:plaudit.db"]),
        (&["--store", "sqlite:"], &["PLAUDIT_STORE: \"sqlite:\" is wrong", "sqlite:PATH"]),
        (&["--store", "sqlite://x"], &["PLAUDIT_STORE: \"sqlite://x\" is wrong", "no URL"]),
        (
            &["--store", "sqlite:~/x.db"],
            &["PLAUDIT_STORE: \"sqlite:~/x.db\" is wrong", "does not expand '~'"],
        ),
        (&["--github-secret", "hush-hush"], &["--github-secret is no flag", "PLAUDIT_GITHUB_SECRET_FILE"]),
        (&["--api-tokens=hush-hush"], &["--api-tokens is no flag", "set PLAUDIT_API_TOKENS"]),
        (&["watch", "--token", "hush-hush"], &["--token is no flag", "set PLAUDIT_TOKEN"]),
        (&["watch", "--exec", "no-such-program --now"], &["--exec", "no-such-program", "write its path"]),
    ];
    for (arguments, words) in table {
        let (line, code) = mistake(arguments, &[]);
        assert_eq!(code, Some(2), "{line}");
        assert!(words.iter().all(|word| line.contains(word)), "{arguments:?}: {line}");
        assert!(!line.contains("hush"), "{line}");
    }
}

#[test]
fn a_ledger_that_cannot_be_opened_is_one_line_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let store = |path: &Path| format!("sqlite:{}", path.display());
    let start = |path: &Path| {
        let (line, code) = mistake(&["--store", &store(path), "--listen", "127.0.0.1:0"], &[]);
        assert_eq!(code, Some(1), "{line}");
        line.strip_prefix(&format!("plaudit: cannot open the ledger {}: ", path.display()))
            .unwrap()
            .to_owned()
    };
    let missing = path("missing");
    let expected = format!("the folder {0} does not exist; mkdir -p {0}", missing.display());
    assert_eq!(start(&missing.join("p.db")), expected);

    fs::create_dir(path("folder")).unwrap();
    let named = path("folder").join("plaudit.db");
    assert_eq!(
        start(&path("folder")),
        format!("it is a folder; name a file in it, such as {}", named.display())
    );

    fs::write(path("text"), "Dear diary\n".repeat(1_000)).unwrap();
    assert!(start(&path("text")).starts_with("the file is no SQLite database"));
    assert!(start(&path("text").join("p.db")).ends_with("text is no folder"));

    let other = rusqlite::Connection::open(path("other.db")).unwrap();
    other.execute_batch("CREATE TABLE mine (x)").unwrap();
    assert!(start(&path("other.db")).starts_with("the file is a database of another program"));

    let locked = rusqlite::Connection::open(path("locked.db")).unwrap();
    locked.execute_batch("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    assert!(start(&path("locked.db")).starts_with("another process holds the file locked"));
}

#[test]
fn a_port_in_use_is_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("plaudit.db").display());
    let (line, code) = mistake(&["--store", &store, "--listen", &address], &[]);
    let expected = format!(
        "plaudit: cannot listen on {address}: address already in use; set PLAUDIT_LISTEN to another address"
    );
    assert_eq!((line, code), (expected, Some(1)));
}

#[test]
fn a_client_without_a_server_says_so_in_one_line() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/github/ping.repository.json");
    let (line, code) = mistake(&["send", file, "--to", &url], &[("PLAUDIT_GITHUB_SECRET", "hush-hush-hush")]);
    let expected = format!(
        "plaudit: {url}/webhooks/github does not answer: connection refused; is `plaudit serve` running there?"
    );
    assert_eq!((line, code), (expected, Some(1)));
}

#[test]
fn a_password_in_the_url_of_an_instance_is_refused_and_not_shown() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/github/issues.opened.json");
    let settings =
        [("PLAUDIT_URL", "http://me:hush@127.0.0.1:1"), ("PLAUDIT_GITHUB_SECRET", "a-long-secret")];
    for arguments in [&["top"][..], &["show", "ada"], &["watch"], &["import", "/dev/null"], &["send", file]] {
        let (line, code) = mistake(arguments, &settings);
        assert_eq!(code, Some(2), "{arguments:?}: {line}");
        assert!(line.contains("user name or password") && line.contains("PLAUDIT_TOKEN"), "{line}");
        assert!(!line.contains("hush"), "{line}");
    }
}

/// Answers with a redirect to the other address.
async fn elsewhere(
    axum::extract::State(to): axum::extract::State<String>,
) -> (http::StatusCode, [(http::HeaderName, String); 1]) {
    (http::StatusCode::TEMPORARY_REDIRECT, [(http::header::LOCATION, to)])
}

#[tokio::test(flavor = "multi_thread")]
async fn send_follows_no_redirect_which_would_take_the_secret_along() {
    let bind = || tokio::net::TcpListener::bind("127.0.0.1:0");
    let (listener, other) = (bind().await.unwrap(), bind().await.unwrap());
    let url = format!("http://{}", listener.local_addr().unwrap());
    let to = format!("http://{}/webhooks/gitlab", other.local_addr().unwrap());
    let tasks = plaudit::runtime::Tasks::default();
    tasks.spawn(axum::serve(listener, axum::Router::new().fallback(elsewhere).with_state(to)).into_future());
    let followed = tasks.spawn(async move { other.accept().await.is_ok() });
    let mut send: tokio::process::Command = command(&[("PLAUDIT_GITLAB_SECRET", "hush-hush-hush")]).into();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/gitlab/issue.open.json");
    let output = send.args(["send", file, "--to", &url]).kill_on_drop(true).output();
    let output = tokio::select! {
        output = crate::support::in_the_end("the end of send", output) => output.unwrap(),
        _ = followed => panic!("it connects to the other address"),
    };
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("issue.open.json 307"), "{output:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_one_line_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("binary"), [0xff, 0xfe, 0x00]).unwrap();
    let (missing, directory, binary) = (path("missing"), folder.path().display().to_string(), path("binary"));
    let table = [
        (
            &missing,
            format!("{missing:?} cannot be read: no such file or directory; write the path of the file"),
        ),
        (&directory, format!("{directory:?} cannot be read: is a directory; name the file in it")),
        (
            &binary,
            format!("{binary:?} cannot be read: it is not text in UTF-8; write the secret into it again"),
        ),
    ];
    for (path, words) in table {
        for arguments in [&["serve"][..], &["check"], &["send", "x"]] {
            let (line, code) = mistake(arguments, &[("PLAUDIT_GITHUB_SECRET_FILE", path.as_str())]);
            assert_eq!(code, Some(2), "{line}");
            assert!(line.contains(&format!("PLAUDIT_GITHUB_SECRET_FILE: {words}")), "{line}");
            assert!(line.contains("PLAUDIT_GITHUB_SECRET_FILE=/run/secrets/plaudit"), "{line}");
        }
    }
    // The secret itself, where the path of its file is expected.
    let (line, _) = mistake(&["check"], &[("PLAUDIT_API_TOKENS_FILE", "hush-hush-hush")]);
    assert!(
        line.contains("PLAUDIT_API_TOKENS_FILE: the file cannot be read") && !line.contains("hush"),
        "{line}"
    );

    for (file, why) in [(&missing, "no such file or directory"), (&directory, "is a directory")] {
        let (line, code) = mistake(&["send", file], &[("PLAUDIT_GITHUB_SECRET", "hush-hush-hush")]);
        let advice = "name a file that holds a payload, such as fixtures/github/issues.opened.json";
        assert_eq!((line, code), (format!("plaudit: {file} cannot be read: {why}; {advice}"), Some(2)));
    }
}

#[test]
fn a_firestore_that_cannot_be_opened_is_one_line_with_what_to_do() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let missing = "/nowhere/key.json";
    let advice = "gcloud auth application-default login makes some, or set GOOGLE_APPLICATION_CREDENTIALS to the file of a key";
    let none = |why: &str| format!("there are no Google credentials that work ({why}); {advice}");
    let no_file = format!("could not find or open the credentials file {missing}");
    let table: [(&[(&str, &str)], String); 3] = [
        (
            &[("FIRESTORE_EMULATOR_HOST", &nobody)],
            format!(
                "Firestore cannot be reached: connection refused; start the emulator at {nobody}, which \
                 FIRESTORE_EMULATOR_HOST names, or unset the variable"
            ),
        ),
        (&[("GOOGLE_APPLICATION_CREDENTIALS", missing)], none(&no_file)),
        (&[("GCE_METADATA_HOST", &nobody)], none("connection refused")),
    ];
    for (settings, words) in table {
        let settings = [settings, &[("PLAUDIT_STORE", "firestore:my-project")]].concat();
        let Output { code, out, err } = run(command(&settings).arg("check"));
        assert_eq!(code, Some(1), "{out} {err}");
        let wrong: Vec<_> = out.lines().filter_map(|line| line.strip_prefix("wrong  ")).collect();
        assert_eq!(wrong, [format!("store firestore:my-project/(default): {words}")], "{out}");
    }
}

#[test]
fn check_says_what_is_off_and_how_to_turn_it_on() {
    let folder = tempfile::tempdir().unwrap();
    let check = |settings: &[(&str, &str)]| {
        let Output { code, out, .. } = run(command(settings).arg("check").current_dir(folder.path()));
        assert_eq!(code, Some(0), "{out}");
        out
    };
    let all_off = check(&[]);
    let off: Vec<_> = all_off.lines().filter_map(|line| line.strip_prefix("off    ")).collect();
    let expected = [
        "github: to take its webhooks set PLAUDIT_GITHUB_SECRET",
        "gitlab: to take its webhooks set PLAUDIT_GITLAB_SIGNING_TOKEN or PLAUDIT_GITLAB_SECRET",
        "reconciling: to have failed deliveries sent again set PLAUDIT_RECONCILE=github:OWNER/REPO with PLAUDIT_GITHUB_TOKEN, \
         or PLAUDIT_GITHUB_APP_ID and PLAUDIT_GITHUB_APP_KEY, or PLAUDIT_RECONCILE=gitlab:GROUP/PROJECT with \
         PLAUDIT_GITLAB_TOKEN",
        "pubsub: to publish recognitions to a topic set PLAUDIT_PUBLISH=pubsub:PROJECT/TOPIC",
        "comment: to thank in comments set PLAUDIT_COMMENT=true",
    ];
    assert_eq!(off, expected, "{all_off}");
    let on = check(&[("PLAUDIT_GITHUB_SECRET", "hush-hush")]);
    assert!(on.contains("right  github: deliveries to /webhooks/github are verified"), "{on}");
    assert!(!on.contains("off    github"), "{on}");
}

#[test]
fn check_says_of_an_ignored_name_without_a_host_that_no_account_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for (ignored, said) in [("ada", true), ("github:mona,ada", true), ("github:ada,*-robot", false)] {
        let settings = [("PLAUDIT_IGNORE", ignored)];
        let Output { code, out, .. } = run(command(&settings).arg("check").current_dir(folder.path()));
        assert_eq!(code, Some(0), "{out}");
        let advice = "PLAUDIT_IGNORE has ada, which names no host";
        assert_eq!(out.contains(advice) && out.contains("write github:ada"), said, "{ignored}: {out}");
    }
}

#[test]
fn a_slip_in_a_variables_name_is_refused_with_the_right_name() {
    for (slip, meant) in [
        ("PLAUDIT_GITHUB_SECERT", "PLAUDIT_GITHUB_SECRET"),
        ("PLAUDIT_GITHUB_SECRETS", "PLAUDIT_GITHUB_SECRET"),
        ("PLAUDIT_API_TOKEN", "PLAUDIT_API_TOKENS"),
        ("PLAUDIT_MILESTONE", "PLAUDIT_MILESTONES"),
        ("PLAUDIT_GITLAB_SECRET_FIEL", "PLAUDIT_GITLAB_SECRET_FILE"),
        ("PLAUDIT_PORT_TOKENS", "PLAUDIT_POST_TOKENS"),
    ] {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/github/ping.repository.json");
        for arguments in [&["serve"][..], &["check"], &["send", file], &["watch"]] {
            let (line, code) = mistake(arguments, &[(slip, "hush-hush")]);
            assert_eq!(code, Some(2), "{line}");
            assert!(
                line.contains(&format!("{slip}: there is no such variable; the nearest one is {meant}")),
                "{line}"
            );
            assert!(!line.contains("hush"), "{line}");
        }
    }
    let (message, code) = {
        let settings = [("PLAUDIT_LOG_FORMAT", "text"), ("PLAUDIT_MILESTONE", "3"), ("PLAUDIT_FORKS", "2")];
        let Output { code, err, .. } = run(&mut command(&settings));
        (err, code)
    };
    assert_eq!(code, Some(2));
    assert!(message.contains("PLAUDIT_MILESTONE:") && message.contains("PLAUDIT_FORKS:"), "{message}");
}

#[tokio::test]
async fn another_unknown_variable_is_a_warning_and_fails_the_check() {
    let kubernetes = [
        ("PLAUDIT_SERVICE_HOST", "10.0.0.1"),
        ("PLAUDIT_PORT", "tcp://10.0.0.1:8080"),
        ("PLAUDIT_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
    ];
    let clients = [("PLAUDIT_URL", "http://127.0.0.1:1"), ("PLAUDIT_WATCH_COUNT", "1")];
    let settings = [&[("PLAUDIT_FOO", "hush-hush")][..], &kubernetes, &clients].concat();
    let plaudit = Plaudit::with(&settings).await;
    plaudit.logged("PLAUDIT_FOO is no setting of plaudit").await;
    let warnings = plaudit.log.lines().iter().filter(|line| line.contains("WARNING")).count();
    assert_eq!(warnings, 1, "{:#?}", plaudit.log.lines());
    plaudit.stop().await;

    let folder = tempfile::tempdir().unwrap();
    let Output { code, out, .. } = run(command(&settings).arg("check").current_dir(folder.path()));
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("wrong  PLAUDIT_FOO: it is no setting of plaudit"), "{out}");
    assert_eq!(out.matches("wrong  ").count(), 1, "{out}");
    assert!(!out.contains("hush"), "{out}");
}

#[test]
fn check_makes_nothing_where_there_is_no_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let nothing: [(&str, &str); 0] = [];
    let Output { code, out, .. } = run(command(&nothing).arg("check").current_dir(folder.path()));
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("right  store sqlite:plaudit.db: there is no ledger yet"), "{out}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "check has made a file");
}

#[tokio::test]
async fn check_finds_a_damaged_ledger_and_leaves_a_whole_one_as_it_is() {
    let mut plaudit = Plaudit::start().await;
    for talk in 0..200 {
        plaudit.post(&crate::support::talk("mona", &format!("talk {talk}"))).await.expect(201);
    }
    let database = plaudit.database();
    let store = format!("sqlite:{}", database.display());
    let check = || run(command(&[("PLAUDIT_STORE", store.as_str())]).arg("check"));
    let running = check();
    assert_eq!(running.code, Some(0), "it is checked while the service runs: {}", running.out);
    plaudit.end().await;

    let before = fs::read(&database).unwrap();
    let Output { code, out, .. } = check();
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains(": it is whole"), "{out}");
    assert_eq!(fs::read(&database).unwrap(), before);
    assert_eq!(fs::read_dir(database.parent().unwrap()).unwrap().count(), 1, "check has made a file");

    let mut damaged = before.clone();
    let pages = damaged.len() / 4_096;
    assert!(pages > 12, "{pages}");
    for page in pages - 8..pages - 3 {
        damaged[page * 4_096..(page + 1) * 4_096].fill(0x5a);
    }
    fs::write(&database, damaged).unwrap();
    let Output { code, out, .. } = check();
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("the file is damaged; restore a copy"), "{out}");
    fs::write(&database, before).unwrap();
    plaudit.restart().await;
    plaudit.stop().await;
}

#[test]
fn on_a_terminal_the_demo_is_a_short_aligned_story_in_colour() {
    if !at_hand("the demo on a terminal", &["script"]) {
        return;
    }
    let nothing: [(&str, &str); 0] = [];
    let on_terminal = |environment: &[(&str, &str)]| {
        let mut script = isolated(Command::new("script"), &nothing);
        script.envs(environment.iter().copied()).env("TERM", "xterm");
        let demo = format!("'{}' demo", env!("CARGO_BIN_EXE_plaudit"));
        run(script.args(["-qec", &demo, "/dev/null"]))
    };
    let coloured = on_terminal(&[]);
    assert_eq!(coloured.code, Some(0), "{coloured:?}");
    assert!(coloured.out.contains("\u{1b}[") && coloured.out.contains('★'), "{}", coloured.out);
    let Output { code, out, .. } = on_terminal(&[("NO_COLOR", "1")]);
    assert_eq!(code, Some(0), "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
    let rows: Vec<_> = out.lines().map(str::trim_end).collect();
    assert!(rows.len() <= 20 && rows.iter().all(|row| row.chars().count() <= 80), "{out}");
    let row = |words: &str| {
        *rows.iter().find(|row| row.contains(words)).unwrap_or_else(|| panic!("{words}: {out}"))
    };
    assert!(row("opens it (sent again)").contains("●●○"), "a redelivery counts once: {out}");
    assert!(
        row("merges it (the same work)").contains("●●○"),
        "a pull request and its merge count once: {out}"
    );
    assert!(row("somebody forges a push").ends_with("refused, nothing stored"), "{out}");
    assert_eq!(rows.iter().filter(|row| row.contains("●●● ★ counts")).count(), 3, "{out}");
    assert!(
        rows[rows.len() - 1].ends_with("open http://127.0.0.1:8080/ in a browser, or: cargo run -- top"),
        "{out}"
    );
    let columns: Vec<_> = rows.iter().filter_map(|row| row.chars().position(|c| "●○".contains(c))).collect();
    assert!(columns.len() > 10 && columns.iter().all(|column| *column == columns[0]), "{out}");
}

#[test]
fn piped_the_demo_is_one_json_line_a_step() {
    let nothing: [(&str, &str); 0] = [];
    let Output { code, out, .. } = run(command(&nothing).args(["demo", "--json"]));
    assert_eq!(code, Some(0), "{out}");
    let steps: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| steps.iter().filter(|step| step["step"] == kind).collect::<Vec<_>>();
    assert_eq!(of("recognition").len(), 3, "{out}");
    assert_eq!(of("forgery")[0]["status"], 401, "{out}");
    assert_eq!(of("ledger")[0]["contributors"].as_array().unwrap().len(), 3, "{out}");
}

#[tokio::test]
async fn the_start_says_on_one_screen_what_is_on_and_what_to_open() {
    let mut plaudit = Plaudit::start().await;
    let first = plaudit.printed().await;
    for words in [
        "ledger       sqlite:",
        ", which is new",
        "host         github at /webhooks/github",
        "posting      ",
        "reading      ",
        "milestones   3",
        "recognitions the event stream",
        "reconciling  off: to have failed deliveries sent again set PLAUDIT_RECONCILE=github:OWNER/REPO with ",
        &format!("leaderboard  plaudit top --from {}\n", plaudit.url),
        &format!("open         {0}/ or, for the API, {0}/docs", plaudit.url),
    ] {
        assert!(first.contains(words), "{words}: {first}");
    }
    plaudit.end().await;
    plaudit.restart().await;
    assert!(!plaudit.printed().await.contains("which is new"), "{}", plaudit.printed().await);
    plaudit.stop().await;
}
