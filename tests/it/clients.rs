//! docs/clients.md: each block, run as printed, does what the page says.

use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::machine::at_hand;
use crate::support::{Inside, TOKEN};

const PAGE: &str = include_str!("../../docs/clients.md");

/// The blocks of one language, as printed.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// Runs a block against the instance at `url`.
async fn run(program: &str, block: &str, url: &str, token: Option<&str>) -> Output {
    let mut command = Command::new(program);
    command
        .args(["-c", block])
        .env("PLAUDIT_URL", url)
        .env("no_proxy", "127.0.0.1")
        .env_remove("PLAUDIT_TOKEN");
    token.map(|token| command.env("PLAUDIT_TOKEN", token));
    command.kill_on_drop(true).output().await.unwrap()
}

/// What a block prints, line by line.
async fn printed(program: &str, block: &str, inside: &Inside, token: Option<&str>) -> Vec<Value> {
    let output = run(program, block, &inside.url, token).await;
    let (out, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {out}\n{errors}");
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{program} printed {line}")))
        .collect()
}

async fn holds(program: &str, language: &str, source: &str, token: Option<&str>) {
    let needs: &[&str] = if program == "bash" { &["bash", "curl"] } else { &["python3"] };
    if !at_hand(&format!("the {source} client of docs/clients.md"), needs) {
        return;
    }
    let [block] = blocks(language)[..] else { panic!("one block of {language}") };
    let public_read = ("PLAUDIT_PUBLIC_READ", if token.is_none() { "true" } else { "false" });
    let mut settings = vec![("PLAUDIT_API_TOKENS", token.unwrap_or_default()), public_read];
    if token.is_none() {
        // The secret of a host would close the API.
        settings.extend([("PLAUDIT_GITHUB_SECRET", ""), ("PLAUDIT_GITLAB_SECRET", "")]);
    }
    let inside = Inside::alone(&settings).await;
    let lines = printed(program, block, &inside, token).await;
    let [first, second, third, recognition] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(json!([first["tally"], second["tally"], third["tally"]]), json!([1, 2, 3]));
    assert_eq!([&first["recognitions"], &second["recognitions"]], [&json!([]), &json!([])]);

    // The two answers that the page shows; only the client's name in the ids differs.
    let shown: Vec<Value> = blocks("json")
        .iter()
        .map(|block| serde_json::from_str(&block.replace("api:curl:", &format!("api:{source}:"))).unwrap())
        .collect();
    assert_eq!([third, recognition], [&shown[0], &shown[1]]);

    // Sent again, everything counts once.
    let again = printed(program, block, &inside, token).await;
    assert_eq!(again[2]["tally"], 3);
    assert_eq!(again[3], *recognition);
    inside.stop().await;
}

#[tokio::test]
async fn curl_posts_three_contributions_and_reads_the_recognition() {
    holds("bash", "bash", "curl", None).await;
}

#[tokio::test]
async fn curl_does_the_same_with_a_token() {
    holds("bash", "bash", "curl", Some(TOKEN)).await;
}

#[tokio::test]
async fn python_posts_three_contributions_and_reads_the_recognition() {
    holds("python3", "python", "python", None).await;
}

#[tokio::test]
async fn python_does_the_same_with_a_token() {
    holds("python3", "python", "python", Some(TOKEN)).await;
}

#[tokio::test]
async fn a_wrong_token_prints_a_sentence_once_and_no_traceback() {
    if !at_hand("a wrong token in docs/clients.md", &["bash", "curl", "python3"]) {
        return;
    }
    let inside = Inside::alone(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    let sentence = "the token given is none of them";
    for (program, language) in [("bash", "bash"), ("python3", "python")] {
        let output = run(program, blocks(language)[0], &inside.url, Some("not-the-token")).await;
        let (out, errors) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(!output.status.success(), "{program}: {out}\n{errors}");
        assert_eq!(errors.lines().count(), 1, "{program}: {errors}");
        assert_eq!(format!("{out}{errors}").matches(sentence).count(), 1, "{program}: {out}\n{errors}");
    }
    inside.stop().await;
}

#[tokio::test]
async fn without_an_instance_the_python_client_prints_one_line() {
    if !at_hand("the python client of docs/clients.md without an instance", &["python3"]) {
        return;
    }
    let output = run("python3", blocks("python")[0], "http://127.0.0.1:1", None).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        errors.starts_with("no answer from http://127.0.0.1:1: ") && errors.lines().count() == 1,
        "{errors}"
    );
}
