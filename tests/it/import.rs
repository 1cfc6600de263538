//! `plaudit import`: a file of contributions into a running instance.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::support::{FakeStore, Inside, Mode, Plaudit, TOKEN, command, config, frozen, in_the_end, talk};

/// A file of these lines.
fn file(folder: &TempDir, lines: &[String]) -> PathBuf {
    let path = folder.path().join("talks.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn talks(count: usize) -> Vec<String> {
    (0..count).map(|n| talk(["mona", "lisa"][n % 2], &n.to_string()).to_string()).collect()
}

/// What an import has printed on standard output and standard error, and its exit code.
async fn import(url: &str, token: &str, arguments: &[&str]) -> (String, String, Option<i32>) {
    let set = [("PLAUDIT_TOKEN", token)];
    let mut import: tokio::process::Command = command(&set[usize::from(token.is_empty())..]).into();
    import.args(["import", "--to", url]).args(arguments);
    let output = in_the_end("the end of the import", import.kill_on_drop(true).output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[tokio::test]
async fn a_file_is_imported_in_batches_as_history_and_again_it_counts_nothing() {
    let plaudit = Plaudit::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &talks(250));
    let path = path.to_str().unwrap();
    let (out, err, code) = import(&plaudit.url, TOKEN, &[path]).await;
    assert_eq!((out.trim(), code), ("250 lines: 250 counted, 0 counted before, 0 wrong", Some(0)), "{err}");
    assert_eq!(plaudit.tallies().await, [("lisa".to_owned(), 125), ("mona".to_owned(), 125)].into());
    assert_eq!(plaudit.drain().await["recognized"], 0);
    assert_eq!(plaudit.recognitions().await, [""; 0]);
    assert_eq!(plaudit.log.lines().iter().filter(|line| line.contains("/batch 200")).count(), 3);
    let (out, _, code) = import(&plaudit.url, TOKEN, &[path]).await;
    assert_eq!((out.trim(), code), ("250 lines: 0 counted, 250 counted before, 0 wrong", Some(0)));
    plaudit.stop().await;
}

#[tokio::test]
async fn with_recognize_an_import_is_live() {
    let plaudit = Plaudit::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &talks(6));
    let (_, _, code) = import(&plaudit.url, TOKEN, &[path.to_str().unwrap(), "--recognize"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(plaudit.recognitions().await, ["lisa:3", "mona:3"]);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_line_that_is_wrong_is_named_with_its_number_and_the_others_go_on() {
    let plaudit = Plaudit::start().await;
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        talk("mona", "a").to_string(),
        String::new(),
        json!({"contributor": "mona", "id": "b"}).to_string(),
        "{\"contributor\": \"mona\", \"kind\"".to_owned(),
        "[1]".to_owned(),
        json!({"contributor": "mona", "kind": "talk"}).to_string(),
        talk("mona", "c").to_string() + "\r",
        r#"{"contributor": "mona", "kind": "talk", "id": "d", "id": "e"}"#.to_owned(),
    ];
    let path = file(&folder, &lines);
    let (out, err, code) = import(&plaudit.url, TOKEN, &[path.to_str().unwrap()]).await;
    assert_eq!((out.trim(), code), ("7 lines: 2 counted, 0 counted before, 5 wrong", Some(1)));
    let mut named: Vec<_> = err.lines().filter(|line| line.starts_with("line ")).collect();
    named.sort_unstable();
    let expected = [
        "line 3: kind: missing",
        "line 4: no JSON: ",
        "line 5: no JSON object",
        "line 6: id: missing",
        "line 8: id: given more than once",
    ];
    assert_eq!(named.len(), expected.len(), "{err}");
    assert!(named.iter().zip(expected).all(|(named, expected)| named.starts_with(expected)), "{err}");
    assert!(err.contains("5 of 7 lines were not imported"), "{err}");
    assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 2)].into());
    plaudit.stop().await;
}

#[tokio::test]
async fn a_byte_order_mark_and_lines_that_are_too_long_cost_the_others_nothing() {
    let plaudit = Plaudit::start().await;
    let folder = tempfile::tempdir().unwrap();
    let long = |bytes| json!({"contributor": "mona", "kind": "talk", "id": "l", "title": "x".repeat(bytes)});
    let obeyed = "{\"contributor\": \"mona\", \"kind\": \"talk\", \"id\": \"o\", \"\\u001b[2J\": 1}";
    let lines = [
        format!("\u{feff}{}", talk("mona", "a")),
        long(3 << 20).to_string(),
        talk("mona", "b").to_string(),
        long(100 << 10).to_string(),
        obeyed.to_owned(),
        talk("mona", "c").to_string(),
    ];
    let path = file(&folder, &lines);
    let (out, err, code) = import(&plaudit.url, TOKEN, &[path.to_str().unwrap()]).await;
    assert_eq!((out.trim(), code), ("6 lines: 3 counted, 0 counted before, 3 wrong", Some(1)), "{err}");
    assert!(err.contains("line 2: longer than 921600 bytes") && err.contains("line 4: "), "{err}");
    assert!(!err.contains(|c: char| c.is_control() && c != '\n'), "{err:?}");
    assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 3)].into());
    let (out, err, code) = import(&plaudit.url, TOKEN, &[folder.path().to_str().unwrap()]).await;
    assert_eq!((out.as_str(), code), ("", Some(2)), "{err}");
    assert!(err.contains("cannot be read: is a directory; name a file"), "{err}");
    plaudit.stop().await;
}

#[tokio::test]
async fn an_import_without_the_right_token_or_instance_ends_with_one_line() {
    let plaudit = Plaudit::with(&[("PLAUDIT_READ_TOKENS", "a-token-for-reading")]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &talks(250));
    let path = path.to_str().unwrap();
    for (url, token, words, exit) in [
        (plaudit.url.as_str(), "", "asks for a token; set PLAUDIT_TOKEN", 1),
        (&plaudit.url, "not-the-token", "does not know the token in PLAUDIT_TOKEN", 1),
        (&plaudit.url, "a-token-for-reading", "may not post", 1),
        ("http://127.0.0.1:1", TOKEN, "does not answer", 1),
    ] {
        let (_, err, code) = import(url, token, &[path]).await;
        assert_eq!((err.lines().count(), code), (1, Some(exit)), "{err}");
        assert!(err.contains(words), "{err}");
    }
    let (_, err, code) = import(&plaudit.url, TOKEN, &["/no/such/file"]).await;
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("/no/such/file cannot be read"), "{err}");
    let refused = plaudit.log.lines();
    assert_eq!(refused.iter().filter(|line| line.contains("/batch 40")).count(), 3, "it stops at the first");
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}

#[tokio::test]
async fn while_the_instance_is_unavailable_an_import_waits_and_goes_on() {
    let store = FakeStore::new(Mode::down());
    let inside = Inside::start(&config(&[]), store.clone(), frozen()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &talks(150));
    let mut importing: tokio::process::Command = command(&[("PLAUDIT_TOKEN", TOKEN)]).into();
    importing.args(["import", "--to", &inside.url]).arg(path);
    importing.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut importing = importing.spawn().unwrap();
    let mut errors = BufReader::new(importing.stderr.take().unwrap()).lines();
    let unavailable = in_the_end("the first try", errors.next_line()).await.unwrap().unwrap();
    assert!(unavailable.ends_with("is unavailable; the next try is in 1 s"), "{unavailable}");
    store.set_mode(Mode::Good);
    let mut out = String::new();
    let mut printed = importing.stdout.take().unwrap();
    in_the_end("the end of the import", printed.read_to_string(&mut out)).await.unwrap();
    assert_eq!(out.trim(), "150 lines: 150 counted, 0 counted before, 0 wrong");
    assert_eq!(importing.wait().await.unwrap().code(), Some(0));
    let tallies: Value = json!(inside.tallies().await);
    assert_eq!(tallies, json!({"lisa": 75, "mona": 75}));
    inside.stop().await;
}
