//! A secret speaks for the hosts that it may speak for, whatever its payloads claim.

use serde_json::Value;

use crate::support::{Answer, Environment, Inside, Output, Plaudit, fixture};

/// An issue that was opened in a repository below `base`.
fn github_issue(base: &str) -> String {
    let mut payload: Value = serde_json::from_str(&fixture("github/issues.opened.json")).unwrap();
    payload["repository"]["full_name"] = "quay/winch".into();
    payload["repository"]["html_url"] = format!("{base}/quay/winch").into();
    payload.to_string()
}

fn gitlab_issue(base: &str) -> String {
    let mut payload: Value = serde_json::from_str(&fixture("gitlab/issue.open.json")).unwrap();
    payload["project"]["path_with_namespace"] = "quay/winch".into();
    payload["project"]["web_url"] = format!("{base}/quay/winch").into();
    payload.to_string()
}

fn outcome(answer: Answer) -> String {
    let answer = answer.expect(200).json();
    let reason = answer["reason"].as_str();
    reason.or(answer["contributions"][0]["id"].as_str()).unwrap().to_owned()
}

#[tokio::test]
async fn no_secret_speaks_for_the_public_site_of_another_kind_of_host() {
    let inside = Inside::alone(&[]).await;
    for base in ["https://gitlab.com", "https://www.gitlab.com", "http://GitLab.com.:80"] {
        assert_eq!(outcome(inside.github("issues", &github_issue(base)).await), "other_host", "{base}");
    }
    for base in ["https://github.com", "https://www.github.com.", "https://github.com:0443"] {
        assert_eq!(outcome(inside.gitlab("Issue Hook", &gitlab_issue(base)).await), "other_host", "{base}");
    }
    assert!(inside.tallies().await.is_empty());
    // For any other host both may speak, as long as no list says otherwise.
    let both = "https://git.example.org";
    assert!(outcome(inside.github("issues", &github_issue(both)).await).starts_with("git.example.org:"));
    assert!(outcome(inside.gitlab("Issue Hook", &gitlab_issue(both)).await).starts_with("git.example.org:"));
    inside.stop().await;
}

#[tokio::test]
async fn a_secret_with_a_list_speaks_for_these_hosts_alone_however_they_are_written() {
    let inside = Inside::alone(&[
        ("PLAUDIT_GITHUB_HOSTS", "github.com:0443, Git.Example.org., code.example.org:8443/Git/"),
        ("PLAUDIT_GITLAB_HOSTS", "gitlab:80"),
    ])
    .await;
    for (base, host) in [
        ("https://github.com", "github"),
        ("http://www.github.com.", "github"),
        ("https://github.com:443", "github"),
        ("https://github.com:0443", "github"),
        ("https://git.example.org", "git.example.org"),
        ("https://GIT.example.org.:443", "git.example.org"),
        ("https://git.example.org:80", "git.example.org:80"),
        ("https://code.example.org:8443/git", "code.example.org:8443/git"),
    ] {
        let outcome = outcome(inside.github("issues", &github_issue(base)).await);
        assert!(outcome.starts_with(&format!("{host}:981237654:")), "{base}: {outcome}");
    }
    for base in [
        "https://gitlab.com",
        "https://git.example.org:8443",
        "https://code.example.org:8443",
        "https://code.example.org/git",
        "https://www.git.example.org",
        "https://github.example.org",
    ] {
        assert_eq!(outcome(inside.github("issues", &github_issue(base)).await), "other_host", "{base}");
    }
    let problem = inside.github("issues", &github_issue("https://github.com:+443")).await;
    problem.problem(400, "malformed");
    let own = outcome(inside.gitlab("Issue Hook", &gitlab_issue("http://gitlab")).await);
    assert!(own.starts_with("gitlab:80:"), "{own}");
    for base in ["https://gitlab.com", "https://gitlab", "https://git.example.org"] {
        assert_eq!(outcome(inside.gitlab("Issue Hook", &gitlab_issue(base)).await), "other_host", "{base}");
    }
    inside.stop().await;
}

#[test]
fn a_wrong_host_is_an_error_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    for (variable, wrong) in [
        ("PLAUDIT_GITHUB_HOSTS", "https://github.com"),
        ("PLAUDIT_GITHUB_HOSTS", "github.com, gitlab.com"),
        ("PLAUDIT_GITHUB_HOSTS", "git example org"),
        ("PLAUDIT_GITHUB_HOSTS", "git.example.org:+443"),
        ("PLAUDIT_GITHUB_HOSTS", ","),
        ("PLAUDIT_GITHUB_HOSTS", "github.com/octo-org"),
        ("PLAUDIT_GITHUB_HOSTS", "www.gitlab.com:443/group"),
        ("PLAUDIT_GITLAB_HOSTS", "www.github.com"),
        ("PLAUDIT_GITLAB_HOSTS", "git.example.org:0"),
    ] {
        let Output { code, err, .. } = Environment::in_folder(&folder).with(variable, wrong).run(&["check"]);
        assert_eq!(code, Some(2), "{wrong}: {err}");
        let example =
            if variable.contains("GITHUB") { "github.example.org" } else { "git.example.org:8443/gitlab" };
        assert!(err.contains(&format!("{variable}: ")) && err.contains(example), "{wrong}: {err}");
    }
}

#[tokio::test]
async fn with_secrets_of_both_hosts_and_no_list_the_start_and_check_advise_to_set_them() {
    let advice = "set PLAUDIT_GITHUB_HOSTS and PLAUDIT_GITLAB_HOSTS to the hosts";
    let plaudit = Plaudit::start().await;
    plaudit.logged(advice).await;
    plaudit.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let both = Environment::in_folder(&folder);
    for (environment, advice) in [
        (both.with("PLAUDIT_GITLAB_SECRET", ""), None),
        // With one list, the other secret could still claim the hosts in it, unless that is a public site.
        (both.with("PLAUDIT_GITHUB_HOSTS", "github.com"), None),
        (
            both.with("PLAUDIT_GITHUB_HOSTS", "github.com,git.example.org"),
            Some("; set PLAUDIT_GITLAB_HOSTS to the hosts"),
        ),
        (both, Some(advice)),
    ] {
        let Output { code, out, .. } = environment.run(&["check"]);
        assert_eq!(code, Some(0), "{out}");
        match advice {
            Some(advice) => assert!(out.contains(advice), "{out}"),
            None => assert!(!out.contains("self-managed"), "{out}"),
        }
    }
}
