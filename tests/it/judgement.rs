//! What the ledger makes of what people did: one piece of work once, for its author, while it is accepted.

use http::Method;
use plaudit::domain::{Kind, Labels, Recognition, RecognitionId, Ruling};
use plaudit::hosts::{PullRequests, Reading, Rules};
use plaudit::publish::Message;
use serde_json::{Value, json};

use crate::readings::{credited, only, try_read};
use crate::support::{Answer, GITHUB_SECRET, Plaudit, github_signature};

/// The name of a commit, by one hexadecimal digit.
fn sha(digit: char) -> String {
    digit.to_string().repeat(40)
}

/// A repository on GitHub.
fn repository() -> Value {
    json!({
        "id": 4401, "full_name": "quay-works/crane", "html_url": "https://github.com/quay-works/crane",
        "private": false, "visibility": "public", "default_branch": "trunk", "fork": false,
    })
}

fn by_github() -> Value {
    json!({"name": "GitHub", "email": "noreply@github.com", "username": "web-flow"})
}

/// Somebody with an account, as a commit's author.
fn author(login: &str) -> Value {
    json!({"name": login, "email": format!("{login}@mail.example"), "username": login})
}

/// Somebody whose address belongs to no account.
fn stranger(name: &str) -> Value {
    json!({"name": name, "email": format!("{name}@mail.example")})
}

fn commit(digit: char, message: &str, author: &Value, committer: &Value) -> Value {
    json!({
        "id": sha(digit), "message": message, "timestamp": "2026-05-04T08:00:00Z", "distinct": true,
        "url": format!("https://github.com/quay-works/crane/commit/{}", sha(digit)),
        "author": author, "committer": committer,
    })
}

/// A commit that GitHub made by squashing.
fn squash(digit: char, number: u64, login: &str) -> Value {
    commit(digit, &format!("Grease the winch (#{number})"), &author(login), &by_github())
}

/// A push to GitHub's default branch by `otto-vane`.
fn push(commits: &[Value]) -> Value {
    let head = commits.last().cloned().unwrap_or_default();
    json!({
        "ref": "refs/heads/trunk", "before": sha('9'), "after": head["id"], "deleted": false, "forced": false,
        "compare": "https://github.com/quay-works/crane/compare/9...a", "commits": commits,
        "head_commit": head, "repository": repository(),
        "pusher": {"name": "otto-vane", "email": "otto@vane.example"},
        "sender": {"login": "otto-vane", "id": 61, "type": "User"},
    })
}

fn pull_request(action: &str, number: u64, login: &str) -> Value {
    json!({
        "action": action, "number": number, "repository": repository(),
        "pull_request": {
            "number": number, "title": "Grease the winch", "draft": false, "merged": false, "labels": [],
            "html_url": format!("https://github.com/quay-works/crane/pull/{number}"),
            "created_at": "2026-05-01T08:00:00Z", "updated_at": "2026-05-02T08:00:00Z",
            "user": {"login": login, "id": 62, "type": "User"},
        },
        "sender": {"login": "otto-vane", "id": 61, "type": "User"},
    })
}

fn issue(action: &str, number: u64, login: &str) -> Value {
    let mut body = pull_request(action, number, login);
    let mut issue = body["pull_request"].take();
    issue["html_url"] = json!(format!("https://github.com/quay-works/crane/issues/{number}"));
    body.as_object_mut().unwrap().remove("pull_request");
    body["issue"] = issue;
    body
}

fn project(url: &str) -> Value {
    let path = url.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/");
    json!({
        "id": 88, "path_with_namespace": path, "web_url": url, "default_branch": "trunk", "visibility_level": 20,
    })
}

const GITLAB: &str = "https://gitlab.com/quay/winch";

fn gitlab_commit(digit: char, message: &str, name: &str, email: &str) -> Value {
    json!({
        "id": sha(digit), "message": message, "timestamp": "2026-05-04T08:00:00+02:00",
        "url": format!("{GITLAB}/-/commit/{}", sha(digit)), "author": {"name": name, "email": email},
    })
}

/// A push to GitLab's default branch by `otto.vane`.
fn gitlab_push(commits: &[Value]) -> Value {
    json!({
        "object_kind": "push", "event_name": "push", "ref": "refs/heads/trunk", "before": sha('9'),
        "after": commits.last().unwrap()["id"], "user_id": 71, "user_name": "Otto Vane",
        "user_username": "otto.vane", "user_email": "otto@vane.example", "project_id": 88,
        "project": project(GITLAB), "commits": commits, "total_commits_count": commits.len(),
    })
}

/// What `nell.harrow` does with a merge request of hers.
fn merge_request(action: &str, iid: u64, url: &str) -> Value {
    json!({
        "object_kind": "merge_request", "event_type": "merge_request", "labels": [], "changes": {},
        "user": {"id": 72, "name": "Nell Harrow", "username": "nell.harrow", "email": "[REDACTED]"},
        "project": project(url),
        "object_attributes": {
            "iid": iid, "action": action, "author_id": 72, "title": "Grease the winch", "draft": false,
            "url": format!("{url}/-/merge_requests/{iid}"), "created_at": "2026-05-01 08:00:00 UTC",
            "updated_at": "2026-05-02 08:00:00 UTC",
        },
    })
}

fn gitlab_issue(iid: u64, url: &str) -> Value {
    let mut body = merge_request("open", iid, url);
    body["object_kind"] = json!("issue");
    body["event_type"] = json!("issue");
    body
}

fn github_reads(event: &str, body: &Value, rules: &Rules) -> Reading {
    try_read("github", event, body.to_string().as_bytes(), rules).unwrap()
}

fn gitlab_reads(event: &str, body: &Value, rules: &Rules) -> Reading {
    try_read("gitlab", event, body.to_string().as_bytes(), rules).unwrap()
}

fn pushed(commits: &[Value]) -> Vec<String> {
    names(&github_reads("push", &push(commits), &Rules::default()))
}

fn names(reading: &Reading) -> Vec<String> {
    credited(reading).into_iter().map(str::to_owned).collect()
}

/// The ids of contributions without what all of one repository begin with.
fn ids(reading: &Reading) -> Vec<String> {
    match reading {
        Reading::Counts(all) => {
            all.iter().map(|c| c.id.as_str().split(':').skip(2).collect::<Vec<_>>().join(":")).collect()
        }
        other => panic!("nothing counts: {other:?}"),
    }
}

fn verdict(answer: Answer) -> String {
    let answer = answer.expect(200).json();
    match answer["reason"].as_str() {
        Some(reason) => format!("ignored: {reason}"),
        None => answer["verdict"].as_str().unwrap().to_owned(),
    }
}

mod one_piece_of_work {
    use super::*;

    #[tokio::test]
    async fn an_issue_a_pull_request_and_the_squash_that_lands_it_are_two() {
        let plaudit = Plaudit::start().await;
        plaudit.github("issues", &issue("opened", 6, "nell-harrow").to_string()).await.expect(200);
        plaudit
            .github("pull_request", &pull_request("opened", 7, "nell-harrow").to_string())
            .await
            .expect(200);
        let landed = plaudit.github("push", &push(&[squash('a', 7, "nell-harrow")]).to_string()).await;
        assert_eq!(verdict(landed), "duplicate");
        assert_eq!(plaudit.tallies().await, [("github:nell-harrow".to_owned(), 2)].into());
        assert!(plaudit.recognitions().await.is_empty());
        plaudit.stop().await;
    }

    #[tokio::test]
    async fn a_pull_request_that_is_landed_before_it_is_opened_has_a_place_for_a_comment() {
        let plaudit = Plaudit::start().await;
        let landed = plaudit.github("push", &push(&[squash('a', 7, "nell-harrow")]).to_string()).await;
        let id = landed.expect(200).json()["contributions"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(id, "github:4401:pull_request:7:nell-harrow");
        let opened =
            plaudit.github("pull_request", &pull_request("opened", 7, "nell-harrow").to_string()).await;
        assert_eq!(verdict(opened), "duplicate");
        let shown = plaudit.get(&format!("/v1/contributions/{id}")).await.expect(200).json();
        assert_eq!(shown["url"], "https://github.com/quay-works/crane/pull/7");
        assert_eq!(shown["title"], "Grease the winch");
        plaudit.stop().await;
    }

    #[test]
    fn a_merge_commit_lands_what_is_before_it_back_to_the_landing_before() {
        let (nell, ruth, otto) = (author("nell-harrow"), author("ruth-kell"), author("otto-vane"));
        let reading = github_reads(
            "push",
            &push(&[
                commit('1', "Oil the hook", &ruth, &ruth),
                squash('2', 3, "ida-crewe"),
                commit('3', "Count the turns", &nell, &nell),
                commit('4', "Show the turns", &ruth, &ruth),
                commit(
                    '5',
                    "Merge pull request #4 from quay-works/turns\n\nCount turns",
                    &otto,
                    &by_github(),
                ),
                commit('6', "Paint the hook", &ruth, &ruth),
            ]),
            &Rules::default(),
        );
        let push = sha('6');
        assert_eq!(
            ids(&reading),
            [
                "pull_request:3:ida-crewe".to_owned(),
                "pull_request:4:nell-harrow".into(),
                "pull_request:4:ruth-kell".into(),
                format!("push:{push}:ruth-kell"),
            ]
        );
        let Reading::Counts(parts) = reading else { unreachable!() };
        assert_eq!(parts[1].title.as_deref(), Some("Count turns"));
        assert_eq!(parts[1].landed_at, Some("2026-05-04T08:00:00Z".parse().unwrap()));
        assert_eq!(parts[3].landed_at, None);
    }

    #[test]
    fn only_what_github_itself_squashed_lands_by_its_title() {
        let nell = author("nell-harrow");
        let own =
            github_reads("push", &push(&[commit('a', "Grease it (#7)", &nell, &nell)]), &Rules::default());
        assert_eq!(ids(&own), [format!("push:{}:nell-harrow", sha('a'))]);
        let unnamed = json!({"name": "GitHub", "email": "noreply@github.com"});
        for message in ["Grease it (#7)", "Revert \"Grease it (#6)\" (#7)\n\nIt squeaks."] {
            let landed =
                github_reads("push", &push(&[commit('a', message, &nell, &unnamed)]), &Rules::default());
            assert_eq!(ids(&landed), ["pull_request:7:nell-harrow"], "{message}");
        }
        for message in ["Grease it (#7) again", "Grease it (#x)", "Grease it #7", "(#7"] {
            let plain =
                github_reads("push", &push(&[commit('a', message, &nell, &by_github())]), &Rules::default());
            assert_eq!(ids(&plain), [format!("push:{}:nell-harrow", sha('a'))], "{message}");
        }
    }

    #[test]
    fn gitlabs_last_paragraph_names_the_merge_request_of_this_project() {
        let nell = "72-nell.harrow@users.noreply.gitlab.com";
        let read = |last: &str| {
            let message = format!("Merge branch 'oil' into 'trunk'\n\nOil it\n\n{last}\n");
            let commits = [
                gitlab_commit('1', "Oil it\n", "Nell Harrow", nell),
                gitlab_commit('2', &message, "Otto Vane", "otto@vane.example"),
            ];
            gitlab_reads("Push Hook", &gitlab_push(&commits), &Rules::default())
        };
        for last in ["See merge request quay/winch!5", "See merge request !5"] {
            let landed = only(read(last));
            assert_eq!(landed.id.as_str(), "gitlab:88:pull_request:5:nell.harrow", "{last}");
            assert_eq!(landed.url.as_deref(), Some("https://gitlab.com/quay/winch/-/merge_requests/5"));
            assert_eq!((landed.title.as_deref(), landed.user_id), (Some("Oil it"), Some(72)));
        }
        for last in ["See merge request other/winch!5", "See merge request quay/winch!x", "See quay/winch!5"]
        {
            assert_eq!(ids(&read(last)), [format!("push:{}:nell.harrow", sha('2'))], "{last}");
        }
        let squashed = gitlab_commit('3', "Oil it\n\nSee merge request quay/winch!6", "Nell Harrow", nell);
        let before = gitlab_commit('1', "Scrub it", "Otto Vane", "otto@vane.example");
        let reading = gitlab_reads("Push Hook", &gitlab_push(&[before, squashed]), &Rules::default());
        let expected = ["pull_request:6:nell.harrow".to_owned(), format!("push:{}:otto.vane", sha('3'))];
        assert_eq!(ids(&reading), expected);
    }

    #[test]
    fn what_is_left_out_of_the_count_is_not_landed_and_a_landing_needs_no_pushes() {
        let counting = |kind| Rules { count: vec![kind], ..Rules::default() };
        let nell = author("nell-harrow");
        let both = push(&[squash('1', 7, "ida-crewe"), commit('2', "Oil it", &nell, &nell)]);
        let pushes = github_reads("push", &both, &counting(Kind::PUSH));
        assert_eq!(
            ids(&pushes),
            [format!("push:{}:ida-crewe", sha('2')), format!("push:{}:nell-harrow", sha('2'))]
        );
        let landings = github_reads("push", &both, &counting(Kind::PULL_REQUEST));
        assert_eq!(ids(&landings), ["pull_request:7:ida-crewe"]);
        let plain = push(&[commit('2', "Oil it", &nell, &nell)]);
        assert_eq!(names(&github_reads("push", &plain, &counting(Kind::PULL_REQUEST))), ["kind_not_counted"]);
        assert_eq!(names(&github_reads("push", &both, &counting(Kind::ISSUE))), ["kind_not_counted"]);
    }

    #[tokio::test]
    async fn what_a_merge_queue_tries_and_then_lands_counts_once_where_all_branches_count() {
        let plaudit = Plaudit::with(&[("PLAUDIT_BRANCHES", "all")]).await;
        for digit in ['1', '2', '3'] {
            let mut tried = push(&[squash(digit, 12, "nell-harrow")]);
            tried["ref"] = json!("refs/heads/gh-readonly-queue/trunk/pr-12-999999");
            let tried = plaudit.github("push", &tried.to_string()).await;
            assert_eq!(verdict(tried), "ignored: not_default_branch");
        }
        let mut landed = squash('3', 12, "nell-harrow");
        landed["distinct"] = json!(false);
        let landed = plaudit.github("push", &push(&[landed]).to_string()).await;
        assert_eq!(verdict(landed), "recorded");
        assert_eq!(plaudit.tallies().await, [("github:nell-harrow".to_owned(), 1)].into());
        plaudit.stop().await;
    }

    #[tokio::test]
    async fn a_push_to_a_fork_counts_where_it_came_from() {
        let plaudit = Plaudit::start().await;
        let nell = author("nell-harrow");
        let upstream = push(&[commit('a', "Oil it", &nell, &nell)]);
        let mut fork = upstream.clone();
        fork["repository"]["id"] = json!(4402);
        fork["repository"]["fork"] = json!(true);
        assert_eq!(verdict(plaudit.github("push", &upstream.to_string()).await), "recorded");
        assert_eq!(verdict(plaudit.github("push", &fork.to_string()).await), "ignored: fork");
        assert_eq!(plaudit.tallies().await["github:nell-harrow"], 1);
        plaudit.stop().await;
        let rules = Rules { forks: true, ..Rules::default() };
        assert_eq!(names(&github_reads("push", &fork, &rules)), ["github:nell-harrow"]);
    }
}

mod authors {
    use super::*;

    #[tokio::test]
    async fn who_merges_on_gitlab_is_not_thanked_for_the_commits_of_others() {
        let plaudit = Plaudit::start().await;
        for iid in ['1', '2', '3'] {
            let message = format!("Merge branch 'oil' into 'trunk'\n\nSee merge request quay/winch!{iid}");
            let commits = [
                gitlab_commit('7', "Oil it", "Nell Harrow", "nell@harrow.example"),
                gitlab_commit(iid, &message, "Otto Vane", "otto@vane.example"),
            ];
            let merged = plaudit.gitlab("Push Hook", &gitlab_push(&commits).to_string()).await;
            assert_eq!(verdict(merged), "ignored: author_unknown");
        }
        let opened =
            plaudit.gitlab("Merge Request Hook", &merge_request("open", 1, GITLAB).to_string()).await;
        assert_eq!(verdict(opened), "recorded");
        assert_eq!(plaudit.tallies().await, [("gitlab:nell.harrow".to_owned(), 1)].into());
        plaudit.stop().await;
    }

    #[test]
    fn a_commit_is_the_pushers_only_if_the_payload_says_so() {
        let by = |name: &str, email: &str| {
            let commits = [gitlab_commit('1', "Oil it", name, email)];
            names(&gitlab_reads("Push Hook", &gitlab_push(&commits), &Rules::default()))
        };
        assert_eq!(by("O.", "Otto@Vane.example"), ["gitlab:otto.vane"]);
        assert_eq!(by("Otto Vane", "otto@laptop.local"), ["gitlab:otto.vane"]);
        assert_eq!(by("Nell Harrow", "nell@harrow.example"), ["author_unknown"]);
        assert_eq!(by("", ""), ["author_unknown"]);
        let (nell, otto) = (stranger("nell"), json!({"name": "O.", "email": "OTTO@vane.example"}));
        assert_eq!(pushed(&[commit('1', "Oil it", &otto, &by_github())]), ["github:otto-vane"]);
        assert_eq!(pushed(&[commit('1', "Oil it", &nell, &by_github())]), ["author_unknown"]);
        assert_eq!(pushed(&[commit('1', "Oil it", &nell, &stranger("ruth"))]), ["author_unknown"]);
    }

    #[test]
    fn on_github_the_only_author_without_an_account_who_also_committed_is_the_pusher() {
        let (nell, ruth, ida) = (stranger("nell"), stranger("ruth"), author("ida-crewe"));
        let own = |digit, who: &Value| commit(digit, "Oil it", who, who);
        assert_eq!(pushed(&[own('1', &nell), own('2', &nell)]), ["github:otto-vane"]);
        assert_eq!(pushed(&[own('1', &nell), own('2', &ida)]), ["github:ida-crewe", "github:otto-vane"]);
        assert_eq!(pushed(&[own('1', &nell), own('2', &ruth)]), ["author_unknown"]);
        let merge = commit('3', "Merge pull request #4 from q/w", &author("otto-vane"), &by_github());
        assert_eq!(pushed(&[own('1', &nell), merge]), ["author_unknown"]);
        assert_eq!(pushed(&[squash('1', 3, "ida-crewe"), own('2', &nell)]), ["github:ida-crewe"]);
    }

    #[test]
    fn a_queue_that_is_a_machine_makes_no_machine_of_an_author_without_an_account() {
        let mut body = push(&[commit('1', "Oil it", &stranger("nell"), &by_github())]);
        body["pusher"] = json!({"name": "github-merge-queue[bot]", "email": null});
        body["sender"] = json!({"login": "github-merge-queue[bot]", "id": 9, "type": "Bot"});
        assert_eq!(names(&github_reads("push", &body, &Rules::default())), ["author_unknown"]);
    }

    #[test]
    fn the_number_in_a_noreply_address_is_kept() {
        let nell = json!({"name": "Nell", "email": "7001+Nell-Harrow@users.noreply.github.com"});
        let reading = github_reads("push", &push(&[commit('1', "Oil it", &nell, &nell)]), &Rules::default());
        let contribution = only(reading);
        assert_eq!(contribution.contributor.as_str(), "github:nell-harrow");
        assert_eq!(contribution.user_id, Some(7001));
    }

    #[test]
    fn a_merge_commit_is_known_by_its_full_wording() {
        let (nell, otto) = (author("nell-harrow"), author("otto-vane"));
        for (message, merges) in [
            ("Merge branch 'oil'", true),
            ("Merge branch 'oil' of https://git.example/upstream", true),
            ("Merge remote-tracking branch 'up/trunk'", true),
            ("Merge tag 'v2'", true),
            ("Merge commit '1a2b3c4'", true),
            ("Auto merge of #12 - nell:oil, r=otto", true),
            ("Merge branch and tag tables", false),
            ("Merge pull request templates into one", false),
            ("Merge tags and labels", false),
        ] {
            let credited =
                pushed(&[commit('1', "Oil it", &nell, &nell), commit('2', message, &otto, &by_github())]);
            let expected: &[&str] =
                if merges { &["github:nell-harrow"] } else { &["github:nell-harrow", "github:otto-vane"] };
            assert_eq!(credited, expected, "{message}");
        }
    }

    #[test]
    fn trailers_are_the_last_paragraph() {
        let nell = author("nell-harrow");
        let line = "Co-authored-by: Ruth <ruth-kell@users.noreply.github.com>";
        for (message, also) in [
            (format!("Oil it\n\n{line}"), true),
            (format!("Oil it\r\n\r\nText.\r\n \r\n{line}\r\nSigned-off-by: N <n@h.example>\r\n\r\n"), true),
            (
                format!("Oil it\n\nWrite\n\n    {line}\n\nat the end.\n\nSigned-off-by: N <n@h.example>"),
                false,
            ),
            (format!("Oil it\n\n{line}\n\nThat was a line of another message."), false),
            (format!("Oil it\n\nAs in\n    {line}"), false),
            (line.to_owned(), false),
        ] {
            let credited = pushed(&[commit('1', &message, &nell, &nell)]);
            let expected: &[&str] =
                if also { &["github:nell-harrow", "github:ruth-kell"] } else { &["github:nell-harrow"] };
            assert_eq!(credited, expected, "{message:?}");
        }
    }

    #[test]
    fn machines_are_nobody_unless_the_configuration_says_that_they_are_people() {
        for login in [
            "actions-user",
            "invalid-email-address",
            "claude",
            "renovate-bot",
            "k8s-ci-robot",
            "Copilot",
            "web-flow",
        ] {
            assert_eq!(pushed(&[commit('1', "Oil it", &author(login), &by_github())]), ["bot"], "{login}");
        }
        for email in [
            "github-actions@users.noreply.github.com",
            "41898282+github-actions[bot]@users.noreply.github.com",
            "action@github.com",
            "noreply@anthropic.com",
        ] {
            let machine = json!({"name": "A machine", "email": email});
            assert_eq!(pushed(&[commit('1', "Oil it", &machine, &machine)]), ["bot"], "{email}");
        }
        for email in [
            "project_88_bot_0a1b@noreply.gitlab.com",
            "group_7_bot_0a1b@noreply.gitlab.com",
            "9-service_account_0a1b@users.noreply.gitlab.com",
        ] {
            let commits = [gitlab_commit('1', "Oil it", "token", email)];
            let reading = gitlab_reads("Push Hook", &gitlab_push(&commits), &Rules::default());
            assert_eq!(names(&reading), ["bot"], "{email}");
        }
        let mut agent = merge_request("open", 3, GITLAB);
        agent["user"]["username"] = json!("duo-developer-quay");
        assert_eq!(names(&gitlab_reads("Merge Request Hook", &agent, &Rules::default())), ["bot"]);
        let rules = Rules { people: vec!["github:claude".into()], ..Rules::default() };
        let mut person = pull_request("opened", 7, "Claude");
        assert_eq!(names(&github_reads("pull_request", &person, &rules)), ["github:claude"]);
        person["pull_request"]["user"]["type"] = json!("Bot");
        assert_eq!(names(&github_reads("pull_request", &person, &rules)), ["github:claude"]);
        assert_eq!(names(&github_reads("pull_request", &person, &Rules::default())), ["bot"]);
    }
}

mod accepted {
    use super::*;

    fn merged_only() -> Rules {
        Rules { pull_requests: PullRequests::Merged, ..Rules::default() }
    }

    #[tokio::test]
    async fn drafts_that_are_closed_count_for_nobody() {
        let plaudit = Plaudit::start().await;
        for number in [1, 2, 3] {
            let mut draft = pull_request("opened", number, "nell-harrow");
            draft["pull_request"]["draft"] = json!(true);
            let opened = plaudit.github("pull_request", &draft.to_string()).await;
            assert_eq!(verdict(opened), "ignored: draft");
            draft["action"] = json!("closed");
            let closed = plaudit.github("pull_request", &draft.to_string()).await;
            assert_eq!(verdict(closed), "ignored: action_not_counted");
        }
        assert!(plaudit.tallies().await.is_empty());
        let ready = pull_request("ready_for_review", 1, "nell-harrow");
        assert_eq!(verdict(plaudit.github("pull_request", &ready.to_string()).await), "recorded");
        plaudit.stop().await;
    }

    #[test]
    fn a_pull_request_counts_at_the_latest_when_it_is_merged() {
        let mut merged = pull_request("closed", 7, "nell-harrow");
        let rules = Rules::default();
        assert_eq!(names(&github_reads("pull_request", &merged, &merged_only())), ["not_merged"]);
        merged["pull_request"]["merged"] = json!(true);
        merged["pull_request"]["merged_at"] = json!("2026-05-03T08:00:00Z");
        let at = Some("2026-05-03T08:00:00Z".parse().unwrap());
        let counted = only(github_reads("pull_request", &merged, &rules));
        assert_eq!((counted.landed_at, counted.occurred_at), (at, "2026-05-01T08:00:00Z".parse().unwrap()));
        let counted = only(github_reads("pull_request", &merged, &merged_only()));
        assert_eq!((counted.landed_at, Some(counted.occurred_at)), (at, at));
        for action in ["opened", "ready_for_review"] {
            let reading =
                github_reads("pull_request", &pull_request(action, 7, "nell-harrow"), &merged_only());
            assert_eq!(names(&reading), ["not_merged"], "{action}");
        }
    }

    #[test]
    fn a_merge_request_counts_when_it_is_opened_made_ready_or_merged_by_its_author() {
        let read = |body: &Value, rules: &Rules| names(&gitlab_reads("Merge Request Hook", body, rules));
        let rules = Rules::default();
        let mut draft = merge_request("open", 5, GITLAB);
        draft["object_attributes"]["draft"] = json!(true);
        assert_eq!(read(&draft, &rules), ["draft"]);
        let mut ready = merge_request("update", 5, GITLAB);
        assert_eq!(read(&ready, &rules), ["action_not_counted"]);
        ready["changes"] = json!({"draft": {"previous": true, "current": false}});
        assert_eq!(read(&ready, &rules), ["gitlab:nell.harrow"]);
        assert_eq!(read(&ready, &merged_only()), ["not_merged"]);
        let mut merged = merge_request("merge", 5, GITLAB);
        assert_eq!(read(&merged, &merged_only()), ["gitlab:nell.harrow"]);
        let landed = only(gitlab_reads("Merge Request Hook", &merged, &rules));
        assert_eq!(landed.landed_at, Some("2026-05-02T08:00:00Z".parse().unwrap()));
        merged["user"] = json!({"id": 71, "username": "otto.vane"});
        assert_eq!(read(&merged, &rules), ["author_unknown"]);
    }

    #[test]
    fn labels_are_read_with_their_time_and_a_label_that_rejects_is_a_review() {
        let at = "2026-05-02T08:00:00Z".parse().unwrap();
        let mut opened = pull_request("opened", 7, "nell-harrow");
        opened["pull_request"]["labels"] = json!([{"name": "crane"}, {"name": "SPAM"}]);
        let labels = only(github_reads("pull_request", &opened, &Rules::default())).labels;
        assert_eq!(labels, Some(Labels { rejected: true, at }));
        for (action, label, left, rejected) in
            [("labeled", "Spam", json!([{"name": "Spam"}]), true), ("unlabeled", "invalid", json!([]), false)]
        {
            for (event, kind) in [("pull_request", "pull_request"), ("issues", "issue")] {
                let make = if event == "issues" { issue } else { pull_request };
                let mut body = make(action, 7, "nell-harrow");
                body["label"] = json!({"name": label});
                body[kind]["labels"] = left.clone();
                let Reading::Reviews(review) = github_reads(event, &body, &Rules::default()) else {
                    panic!("{event} {action}")
                };
                assert_eq!(review.work.as_str(), format!("github:4401:{kind}:7"));
                let part = if event == "issues" {
                    "github:4401:issue:7"
                } else {
                    "github:4401:pull_request:7:nell-harrow"
                };
                assert_eq!(review.part.unwrap().as_str(), part);
                assert_eq!(review.ruling, Ruling::Labels(Labels { rejected, at }));
                body["label"] = json!({"name": "crane"});
                assert_eq!(names(&github_reads(event, &body, &Rules::default())), ["action_not_counted"]);
            }
        }
    }

    #[tokio::test]
    async fn a_pull_request_merged_with_a_label_that_rejects_on_it_counts() {
        let plaudit = Plaudit::start().await;
        let with_label = |action: &str, at: &str| {
            let mut body = pull_request(action, 7, "nell-harrow");
            body["label"] = json!({"name": "spam"});
            body["pull_request"]["labels"] = json!([{"name": "spam"}]);
            body["pull_request"]["updated_at"] = json!(at);
            body
        };
        let mut merged = with_label("closed", "2026-05-03T08:00:01Z");
        merged["pull_request"]["merged"] = json!(true);
        merged["pull_request"]["merged_at"] = json!("2026-05-03T08:00:00Z");
        let labelled = with_label("labeled", "2026-05-02T08:00:00Z");
        for body in [&merged, &labelled, &merged] {
            plaudit.github("pull_request", &body.to_string()).await.expect(200);
        }
        assert_eq!(plaudit.tallies().await["github:nell-harrow"], 1);
        plaudit.stop().await;
    }

    #[test]
    fn an_issue_that_is_deleted_is_taken_back() {
        let reading = github_reads("issues", &issue("deleted", 6, "nell-harrow"), &Rules::default());
        let Reading::Reviews(review) = reading else { panic!("{reading:?}") };
        assert_eq!((review.work.as_str(), review.ruling), ("github:4401:issue:6", Ruling::Deleted));
    }

    #[test]
    fn gitlabs_labels_are_a_review_where_those_that_reject_have_changed() {
        let mut body = merge_request("update", 5, GITLAB);
        body["labels"] = json!([{"title": "crane"}, {"title": "Spam"}]);
        body["changes"] = json!({"labels": {"previous": [{"title": "crane"}], "current": body["labels"]}});
        let read = |body: &Value| gitlab_reads("Merge Request Hook", body, &Rules::default());
        let Reading::Reviews(review) = read(&body) else { panic!() };
        assert_eq!(review.work.as_str(), "gitlab:88:pull_request:5");
        assert!(matches!(review.ruling, Ruling::Labels(Labels { rejected: true, .. })));
        body["user"]["id"] = json!(71);
        let Reading::Reviews(review) = read(&body) else { panic!() };
        assert_eq!(review.part, None);
        body["changes"]["labels"]["previous"] = json!([{"title": "spam"}]);
        assert_eq!(names(&read(&body)), ["action_not_counted"]);
    }
}

mod places {
    use super::*;

    #[tokio::test]
    async fn two_gitlabs_under_two_paths_of_one_host_share_nothing() {
        let plaudit = Plaudit::start().await;
        for base in [
            "https://forge.quay.example/inner",
            "https://forge.quay.example/outer",
            "http://forge.quay.example:8929",
        ] {
            let opened = plaudit
                .gitlab("Issue Hook", &gitlab_issue(3, &format!("{base}/quay/winch")).to_string())
                .await;
            assert_eq!(verdict(opened), "recorded", "{base}");
        }
        let contributors: Vec<_> = plaudit.tallies().await.into_keys().collect();
        assert_eq!(
            contributors,
            [
                "forge.quay.example/inner:nell.harrow",
                "forge.quay.example/outer:nell.harrow",
                "forge.quay.example:8929:nell.harrow",
            ]
        );
        for contributor in contributors {
            let path = format!("/v1/contributors/{}", contributor.replace('/', "%2F"));
            assert_eq!(plaudit.get(&path).await.expect(200).json()["tally"], 1);
        }
        plaudit.stop().await;
    }

    #[test]
    fn an_account_is_where_the_payload_says() {
        for (url, expected) in [
            ("https://forge.example/gitlab/quay/winch", Some("https://forge.example/gitlab/nell.harrow")),
            ("http://forge.example:8929/quay/winch", Some("http://forge.example:8929/nell.harrow")),
            (GITLAB, None),
        ] {
            let issue = only(gitlab_reads("Issue Hook", &gitlab_issue(3, url), &Rules::default()));
            assert_eq!(issue.account_url.as_deref(), expected, "{url}");
            let recognition = Recognition {
                id: RecognitionId::of(&issue.contributor, 1),
                contributor: issue.contributor.clone(),
                milestone: 1,
                tally: 1,
                recognized_at: issue.occurred_at,
                account_url: issue.account_url.clone(),
                contribution: Some(issue),
            };
            let shown = Message::public(&recognition).contributor.url;
            assert_eq!(shown.as_deref(), expected.or(Some("https://gitlab.com/nell.harrow")), "{url}");
        }
        let mut body = issue("opened", 6, "nell-harrow");
        body["repository"]["html_url"] = json!("http://git.quay.example:8080/quay-works/crane");
        let read = only(github_reads("issues", &body, &Rules::default()));
        assert_eq!(read.account_url.as_deref(), Some("http://git.quay.example:8080/nell-harrow"));
    }

    #[tokio::test]
    async fn wherever_a_gitlab_lives_it_is_answered_with_200() {
        let plaudit = Plaudit::start().await;
        for (base, host) in [
            ("http://gitlab", "gitlab:80"),
            ("http://forge", "forge"),
            ("http://git_lab.example", "git_lab.example"),
            ("http://[fd00::9]", "[fd00::9]"),
            ("https://www.gitlab.com", "gitlab"),
            ("https://gitlab.com:443", "gitlab"),
        ] {
            let body = merge_request("open", 5, &format!("{base}/quay/winch"));
            let answer = plaudit.gitlab("Merge Request Hook", &body.to_string()).await.expect(200).json();
            assert_eq!(answer["contributions"][0]["contributor"], format!("{host}:nell.harrow"), "{base}");
        }
        plaudit.stop().await;
    }

    #[tokio::test]
    async fn a_name_that_is_posted_is_folded_or_refused_with_the_nearest_right_one() {
        let plaudit = Plaudit::start().await;
        let post = async |who: &str| plaudit.post(&json!({"contributor": who, "kind": "talk"})).await;
        for who in ["github.com:octocat", "GitHub:OctoCat", "github:octocat"] {
            post(who).await.expect(201);
        }
        for (who, nearest) in [
            ("gihtub:octocat", "github:octocat"),
            ("@octocat", "octocat"),
            ("api:bob", "bob"),
            ("github:not a login!", "github:not-a-login"),
        ] {
            let problem = post(who).await.problem(400, "invalid_fields").to_string();
            assert!(problem.contains(&format!("nearest right one is {nearest}\"")), "{who}: {problem}");
        }
        assert_eq!(plaudit.tallies().await, [("github:octocat".to_owned(), 3)].into());
        plaudit.get("/v1/contributors/github.com:octocat").await.expect(200);
        plaudit.stop().await;
    }
}

mod odd_payloads {
    use super::*;

    /// A body of any bytes, signed as GitHub signs.
    async fn github_bytes(plaudit: &Plaudit, event: &str, body: Vec<u8>, more: &[(&str, &str)]) -> Answer {
        let mut request = plaudit
            .request(Method::POST, "/webhooks/github")
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-hub-signature-256", github_signature(GITHUB_SECRET, &body));
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        plaudit.send(request.body(body)).await
    }

    #[tokio::test]
    async fn a_text_that_is_broken_costs_nobody_a_contribution() {
        let plaudit = Plaudit::start().await;
        let text = |number, title: &str| {
            pull_request("opened", number, "nell-harrow").to_string().replace("Grease the winch", title)
        };
        let half = text(1, r"A lamp \ud83d").into_bytes();
        assert_eq!(verdict(github_bytes(&plaudit, "pull_request", half, &[]).await), "recorded");
        let mut latin = text(2, "caf~").into_bytes();
        latin.iter_mut().filter(|byte| **byte == b'~').for_each(|byte| *byte = 0xe9);
        assert_eq!(verdict(github_bytes(&plaudit, "pull_request", latin, &[]).await), "recorded");
        let marked = [b"\xef\xbb\xbf".as_slice(), text(3, "A lamp").as_bytes()].concat();
        assert_eq!(verdict(github_bytes(&plaudit, "pull_request", marked, &[]).await), "recorded");
        for (number, title) in [(1, "A lamp \u{fffd}"), (2, "caf\u{fffd}"), (3, "A lamp")] {
            let path = format!("/v1/contributions/github:4401:pull_request:{number}:nell-harrow");
            assert_eq!(plaudit.get(&path).await.expect(200).json()["title"], title);
        }
        let plain = text(4, "A lamp").into_bytes();
        let answer = github_bytes(&plaudit, "pull_request", plain, &[("content-encoding", "identity")]).await;
        assert_eq!(verdict(answer), "recorded");
        plaudit.stop().await;
    }

    #[test]
    fn a_hole_in_what_decides_nothing_costs_nothing() {
        let nell = author("nell-harrow");
        let body = push(&[commit('1', "Oil it", &nell, &nell)]);
        for hole in
            [json!(null), json!({}), json!([1]), json!(7), json!("x"), json!({"login": null, "id": null})]
        {
            for at in
                ["sender", "pusher", "compare", "head_commit", "forced", "deleted", "base_ref", "before"]
            {
                let mut body = body.clone();
                body[at] = hole.clone();
                assert_eq!(
                    names(&github_reads("push", &body, &Rules::default())),
                    ["github:nell-harrow"],
                    "{at} {hole}"
                );
            }
            for at in ["timestamp", "url", "distinct", "committer", "message", "id"] {
                let mut body = body.clone();
                body["commits"][0][at] = hole.clone();
                assert_eq!(
                    names(&github_reads("push", &body, &Rules::default())),
                    ["github:nell-harrow"],
                    "{at} {hole}"
                );
            }
            for at in ["title", "html_url", "created_at", "updated_at", "labels", "draft", "merged"] {
                let mut body = pull_request("opened", 7, "nell-harrow");
                body["pull_request"][at] = hole.clone();
                let reading = github_reads("pull_request", &body, &Rules::default());
                assert_eq!(names(&reading), ["github:nell-harrow"], "{at} {hole}");
            }
            for at in ["event_type", "labels", "changes", "project_id"] {
                let mut body = merge_request("open", 5, GITLAB);
                body[at] = hole.clone();
                let reading = gitlab_reads("Merge Request Hook", &body, &Rules::default());
                assert_eq!(names(&reading), ["gitlab:nell.harrow"], "{at} {hole}");
            }
        }
    }

    #[test]
    fn gitlabs_old_and_empty_payloads_are_read() {
        let commits = [gitlab_commit('1', "Oil it", "Otto Vane", "otto@laptop.local")];
        let mut body = gitlab_push(&commits);
        body["project"].as_object_mut().unwrap().remove("id");
        body["total_commits_count"] = json!("1");
        let id = only(gitlab_reads("Push Hook", &body, &Rules::default())).id;
        assert_eq!(id.as_str(), format!("gitlab:88:push:{}:otto.vane", sha('1')));
        body["project"]["default_branch"] = Value::Null;
        assert_eq!(names(&gitlab_reads("Push Hook", &body, &Rules::default())), ["not_default_branch"]);
        body["before"] = json!(sha('0'));
        assert_eq!(names(&gitlab_reads("Push Hook", &body, &Rules::default())), ["gitlab:otto.vane"]);
    }

    #[test]
    fn a_merge_request_has_a_project_and_a_groups_epic_may_have_none() {
        for project in [json!({}), Value::Null] {
            let mut epic = gitlab_issue(3, GITLAB);
            epic["object_kind"] = json!("work_item");
            epic["project"] = project.clone();
            assert_eq!(names(&gitlab_reads("Issue Hook", &epic, &Rules::default())), ["event_not_counted"]);
            let mut merge = merge_request("open", 5, GITLAB);
            merge["project"] = project;
            let body = merge.to_string();
            assert!(try_read("gitlab", "Merge Request Hook", body.as_bytes(), &Rules::default()).is_err());
        }
    }

    #[tokio::test]
    async fn system_hooks_count_as_a_projects_own_do() {
        let plaudit = Plaudit::start().await;
        let commits = [gitlab_commit('1', "Oil it", "Otto Vane", "otto@vane.example")];
        let pushed = gitlab_push(&commits);
        let mut unmarked = pushed.clone();
        unmarked.as_object_mut().unwrap().remove("object_kind");
        let tag = json!({"object_kind": "tag_push"});
        for (body, expected) in [
            (pushed, "recorded"),
            (unmarked, "duplicate"),
            (merge_request("open", 5, GITLAB), "recorded"),
            (gitlab_issue(3, GITLAB), "recorded"),
            (tag, "ignored: tag"),
            (json!({"event_name": "project_create"}), "ignored: event_not_counted"),
        ] {
            let answer = plaudit.gitlab("System Hook", &body.to_string()).await;
            assert_eq!(verdict(answer), expected, "{body}");
        }
        plaudit.stop().await;
    }

    #[tokio::test]
    async fn a_token_with_a_comma_is_one_token_in_a_file() {
        let mut plaudit = Plaudit::start().await;
        plaudit.end().await;
        let file = plaudit.folder().path().join("token");
        std::fs::write(&file, "left-half,right-half\n").unwrap();
        plaudit.unset("PLAUDIT_GITLAB_SECRET");
        plaudit.set("PLAUDIT_GITLAB_SECRET_FILE", file.to_str().unwrap());
        plaudit.restart().await;
        for (token, status) in [("left-half,right-half", 200), ("left-half", 401), ("right-half", 401)] {
            let request = plaudit
                .request(Method::POST, "/webhooks/gitlab")
                .header("content-type", "application/json")
                .header("x-gitlab-event", "Merge Request Hook")
                .header("x-gitlab-token", token);
            plaudit.send(request.body(merge_request("open", 5, GITLAB).to_string())).await.expect(status);
        }
        plaudit.stop().await;
    }
}
