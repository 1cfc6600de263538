//! The bots of `docs/bots.md`, run as they are printed.

use std::process::{Command, Output, Stdio};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::support::machine::at_hand;

/// The fenced block whose first line ends with `name`.
fn printed(name: &str) -> String {
    let page = std::fs::read_to_string(format!("{}/docs/bots.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut lines = page.lines().skip_while(|line| !(line.starts_with("```") && line.ends_with(name)));
    assert!(lines.next().is_some(), "docs/bots.md prints no {name}");
    lines.take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect()
}

/// Writes the bot into a file, as a reader would, and runs it as `watch --exec` does.
async fn run(place: &tempfile::TempDir, name: &str, chat: &str, input: &str) -> Output {
    let path = place.path().join(name);
    std::fs::write(&path, printed(name)).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&path).status().unwrap().success());
    let mut bot = tokio::process::Command::new("sh")
        .args(["-c", &format!("./{name}")])
        .current_dir(place.path())
        .env("CHAT_URL", chat)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    bot.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    bot.wait_with_output().await.unwrap()
}

fn example() -> Value {
    serde_json::from_str(include_str!("../../docs/recognition.example.json")).unwrap()
}

#[tokio::test]
async fn the_shell_bot_says_thank_you_in_a_chat() {
    async fn hook(
        State(said): State<UnboundedSender<(HeaderMap, Value)>>,
        headers: HeaderMap,
        body: axum::Json<Value>,
    ) -> StatusCode {
        let down = body.0["text"].as_str().unwrap().contains("down");
        said.send((headers, body.0)).unwrap();
        if down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    }
    if !at_hand("the shell bot of docs/bots.md", &["curl", "jq"]) {
        return;
    }
    let (to, mut said) = unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let chat = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().route("/hook", axum::routing::post(hook)).with_state(to);
    plaudit::runtime::Tasks::default().spawn(axum::serve(listener, router).into_future());

    let place = tempfile::tempdir().unwrap();
    let ended = run(&place, "thank.sh", &chat, &format!("{}\n", example())).await;
    assert!(ended.status.success(), "{ended:?}");
    let (headers, body) = said.recv().await.unwrap();
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(body, json!({"text": "Thank you, octocat, for 3 contributions!"}));

    let mut plain = example();
    plain["contributor"] =
        json!({"id": "<!channel> & co", "host": null, "login": "<!channel> & co", "url": null});
    run(&place, "thank.sh", &chat, &plain.to_string()).await;
    let expected = "Thank you, &lt;!channel&gt; &amp; co, for 3 contributions!";
    assert_eq!(said.recv().await.unwrap().1, json!({"text": expected}));

    plain["contributor"]["login"] = json!("down");
    let refused = run(&place, "thank.sh", &chat, &plain.to_string()).await;
    assert!(!refused.status.success(), "what the chat refuses must come again");
    let garbage = run(&place, "thank.sh", &chat, "no JSON").await;
    assert!(!garbage.status.success());
}

#[tokio::test]
async fn the_python_bot_writes_each_recognition_once() {
    if !at_hand("the Python bot of docs/bots.md", &["python3"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mut plain = example();
    plain["id"] = json!("änne:3");
    plain["contributor"] = json!({"id": "änne", "host": null, "login": "änne", "url": null});
    plain["contribution"] = Value::Null;
    for message in [&example(), &plain, &example()] {
        let ended = run(&place, "thank.py", "", &format!("{message}\n")).await;
        assert!(ended.status.success(), "{ended:?}");
    }
    let written = std::fs::read_to_string(place.path().join("THANKS.md")).unwrap();
    let expected = "- [octocat](https://github.com/octocat): 3 contributions <!-- github:octocat:3 -->\n\
                    - änne: 3 contributions <!-- änne:3 -->\n";
    assert_eq!(written, expected);
    let garbage = run(&place, "thank.py", "", "no JSON").await;
    assert!(!garbage.status.success());
}
