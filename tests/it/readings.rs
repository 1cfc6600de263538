//! How the payloads of hosts are read: every fixture, and the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use plaudit::domain::{Contribution, Kind, Labels, Moment, Ruling};
use plaudit::hosts::{DEMO, DemoDelivery, Host, Malformed, Reading, Reason, Rules, event_of_fixture};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{GITHUB_SECRET, GITLAB_SIGNING, Signer, fixture, fixtures, now};

mod shapes;

/// A host that trusts a secret of the tests.
pub(crate) fn host(name: &str) -> Arc<dyn Host> {
    let secrets =
        [("PLAUDIT_GITHUB_SECRET", GITHUB_SECRET), ("PLAUDIT_GITLAB_SIGNING_TOKEN", GITLAB_SIGNING)];
    crate::support::host(name, &secrets).unwrap().unwrap()
}

/// Sends `body` as the host itself would, and reads it.
pub(crate) fn try_read(name: &str, event: &str, body: &[u8], rules: &Rules) -> Result<Reading, Malformed> {
    let host = host(name);
    let signer = match name {
        "github" => Signer::Github(GITHUB_SECRET),
        _ => Signer::Gitlab(GITLAB_SIGNING),
    };
    let delivery = "d3b07384-d113-4ec5-a5a5-000000000001";
    let headers = signer.headers(event, delivery, body, now().timestamp());
    let claim = host.admit(&headers, now()).unwrap();
    let delivery = host.verify(claim, body.to_vec()).unwrap();
    Ok(host.read(&delivery, rules, now())?.reading)
}

fn read(name: &str, event: &str, body: &Value, rules: &Rules) -> Reading {
    try_read(name, event, body.to_string().as_bytes(), rules).unwrap()
}

fn json_fixture(path: &str) -> Value {
    serde_json::from_str(&fixture(path)).unwrap()
}

/// Reads a fixture that `change` has changed.
fn changed(path: &str, rules: &Rules, change: impl FnOnce(&mut Value)) -> Reading {
    let (host, file) = path.split_once('/').unwrap();
    let mut body = json_fixture(path);
    change(&mut body);
    read(host, event_of_fixture(host, file).unwrap(), &body, rules)
}

fn unchanged(path: &str, rules: &Rules) -> Reading {
    changed(path, rules, |_| {})
}

pub(crate) fn credited(reading: &Reading) -> Vec<&str> {
    match reading {
        Reading::Counts(contributions) => contributions.iter().map(|c| c.contributor.as_str()).collect(),
        Reading::Ignored(reason) => vec![reason.code()],
        Reading::Reviews(review) => vec![review.work.as_str()],
    }
}

pub(crate) fn only(reading: Reading) -> Contribution {
    match reading {
        Reading::Counts(mut contributions) if contributions.len() == 1 => contributions.remove(0),
        other => panic!("not one contribution: {other:?}"),
    }
}

fn labels(labels: Labels) -> Value {
    json!({ "rejected": labels.rejected, "at": labels.at })
}

fn summary(reading: &Reading) -> Value {
    match reading {
        Reading::Reviews(review) => {
            let ruling = match review.ruling {
                Ruling::Deleted => json!("deleted"),
                Ruling::Labels(now) => labels(now),
            };
            let mut summary =
                json!({ "reviews": review.work.as_str(), "part": review.part, "ruling": ruling });
            if review.private {
                summary["private"] = true.into();
            }
            summary
        }
        Reading::Ignored(reason) => json!({ "ignored": reason.code() }),
        Reading::Counts(contributions) => {
            let fields = |c: &Contribution| {
                json!({
                    "id": c.id, "contributor": c.contributor, "kind": c.kind, "occurred_at": c.occurred_at,
                    "title": c.title, "url": c.url, "repository": c.repository, "private": c.private,
                    "user_id": c.user_id, "account_url": c.account_url, "landed_at": c.landed_at,
                    "labels": c.labels.map(labels),
                })
            };
            json!({ "counts": contributions.iter().map(fields).collect::<Vec<_>>() })
        }
    }
}

#[test]
fn every_fixture_reads_as_its_snapshot_says() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    let mut names = Vec::new();
    for (host, path) in fixtures() {
        let file = path.file_name().unwrap().to_str().unwrap();
        let event = event_of_fixture(&host, file).unwrap_or_else(|| panic!("no event for {file}"));
        let reading = try_read(&host, event, &std::fs::read(&path).unwrap(), &Rules::default());
        let name = format!("{host}.{}", file.strip_suffix(".json").unwrap());
        insta::assert_json_snapshot!(name.clone(), summary(&reading.unwrap()));
        names.push(format!("{name}.snap"));
    }
    let snapshots =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots")).unwrap();
    for snapshot in snapshots {
        let snapshot = snapshot.unwrap().file_name().into_string().unwrap();
        let reading = snapshot.starts_with("github.") || snapshot.starts_with("gitlab.");
        assert!(!reading || names.contains(&snapshot), "{snapshot} has no fixture");
    }
}

/// Prints the table of `docs/counting.md` too: `cargo test --test it the_fixtures_together -- --nocapture`.
#[test]
fn the_fixtures_together_count_as_the_page_on_counting_says() {
    let mut tallies: BTreeMap<String, usize> = BTreeMap::new();
    let (mut counted, mut third) = (BTreeSet::new(), Vec::new());
    for (host, path) in fixtures() {
        let file = path.file_name().unwrap().to_str().unwrap();
        let event = event_of_fixture(&host, file).unwrap();
        let reading = try_read(&host, event, &std::fs::read(&path).unwrap(), &Rules::default()).unwrap();
        println!("{host}/{file}: {}", credited(&reading).join(", "));
        let Reading::Counts(contributions) = reading else {
            continue;
        };
        for contribution in contributions.into_iter().filter(|c| counted.insert(c.id.to_string())) {
            let tally = tallies.entry(contribution.contributor.to_string()).or_default();
            *tally += 1;
            if *tally == 3 {
                third.push((contribution.contributor.to_string(), format!("{host}/{file}")));
            }
        }
    }
    let tallies: Vec<_> = tallies.iter().map(|(who, tally)| (who.as_str(), *tally)).collect();
    let expected = [
        ("git.seawall.example:tomasz-wrenfield", 2),
        ("github.harbour.example:ada-quillfeather", 2),
        ("github:ada-quillfeather", 6),
        ("github:bo-marlinspike", 7),
        ("github:ines-tidewell", 11),
        ("github:olu-brightwater", 1),
        ("gitlab:tomasz-wrenfield", 4),
        ("gitlab:ulla-oresund", 10),
    ];
    assert_eq!(tallies, expected);
    let third: Vec<_> = third.iter().map(|(who, file)| (who.as_str(), file.as_str())).collect();
    let expected = [
        ("github:ines-tidewell", "github/pull_request.opened.null_body.json"),
        ("github:ada-quillfeather", "github/pull_request.opened.by_another.json"),
        ("github:bo-marlinspike", "github/push.merge_queue.json"),
        ("gitlab:ulla-oresund", "gitlab/issue.open.confidential_by_field.json"),
        ("gitlab:tomasz-wrenfield", "gitlab/push.default_branch.json"),
    ];
    for recognition in expected {
        assert!(third.contains(&recognition), "{recognition:?} in {third:?}");
    }
}

#[test]
fn every_reason_is_shown_by_a_fixture_or_needs_a_rule() {
    let mut reasons: Vec<Reason> = fixtures()
        .into_iter()
        .filter_map(|(host, path)| {
            let event = event_of_fixture(&host, path.file_name()?.to_str()?)?;
            match try_read(&host, event, &std::fs::read(path).ok()?, &Rules::default()) {
                Ok(Reading::Ignored(reason)) => Some(reason),
                _ => None,
            }
        })
        .collect();
    reasons.extend([
        Reason::KindNotCounted,
        Reason::IgnoredContributor,
        Reason::NotMerged,
        Reason::OtherHost,
    ]);
    for reason in Reason::ALL {
        assert!(reasons.contains(&reason), "{}", reason.code());
    }
}

#[test]
fn the_built_in_deliveries_recognise_one_contributor_on_each_host_and_show_one_that_does_not_count() {
    let mut people: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for DemoDelivery { host, event, payload: body, .. } in &DEMO {
        let reading = try_read(host, event, body.as_bytes(), &Rules::default()).unwrap();
        let (who, what) = match &reading {
            Reading::Ignored(reason) => (reason.code().to_owned(), String::new()),
            _ => (credited(&reading).join(" "), only(reading).id.to_string()),
        };
        people.entry(who).or_default().insert(what);
    }
    let tallies = people.into_iter().map(|(who, what)| (who, what.len())).collect::<Vec<_>>();
    let expected = [("github:ada-quillfeather", 3), ("gitlab:tomasz-wrenfield", 3), ("ping", 1)];
    assert_eq!(tallies, expected.map(|(who, n)| (who.to_owned(), n)));
    assert_eq!(DEMO.len(), 8, "one piece of work comes twice");
}

#[test]
fn the_first_word_of_a_fixture_is_its_event() {
    for (host, file, event) in [
        ("github", "pull_request.opened.by_bot.json", Some("pull_request")),
        ("gitlab", "work_item.open.task.json", Some("Issue Hook")),
        ("gitlab", "confidential_issue.open.by_header.json", Some("Confidential Issue Hook")),
        ("gitlab", "unheard_of.json", None),
        ("elsewhere", "push.json", None),
        ("github", "", None),
    ] {
        assert_eq!(event_of_fixture(host, file), event, "{host}/{file}");
    }
}

mod rules {
    use super::*;

    fn all_branches() -> Rules {
        Rules { all_branches: true, ..Rules::default() }
    }

    #[test]
    fn every_branch_counts_if_so_configured() {
        for (fixture, who) in [
            ("github/push.new_branch.json", "github:ada-quillfeather"),
            ("gitlab/push.other_branch.json", "gitlab:tomasz-wrenfield"),
        ] {
            assert_eq!(credited(&unchanged(fixture, &all_branches())), [who]);
            assert_eq!(credited(&unchanged(fixture, &Rules::default())), ["not_default_branch"]);
        }
    }

    #[test]
    fn what_counted_on_its_own_branch_does_not_count_again_when_it_is_merged() {
        let merged = |known: bool| {
            changed("github/push.merge_commit.json", &all_branches(), |body| {
                body["commits"][0]["distinct"] = json!(!known);
                body["commits"][2]["message"] = json!("Merge branch 'lamp-hours'");
            })
        };
        assert_eq!(credited(&merged(true)), ["no_new_commits"]);
        assert_eq!(credited(&merged(false)), ["github:ines-tidewell"]);
        let fork = unchanged("github/push.fork_merged.json", &all_branches());
        assert_eq!(credited(&fork), ["github:olu-brightwater"]);
    }

    #[test]
    fn a_merge_commit_that_comes_alone_credits_its_author() {
        let reading = changed("github/push.merge_commit.json", &Rules::default(), |body| {
            body["commits"].as_array_mut().unwrap().drain(..2);
            body["commits"][0]["message"] = json!("Merge branch 'lamp-hours'");
        });
        assert_eq!(credited(&reading), ["github:ada-quillfeather"]);
    }

    #[test]
    fn co_authors_are_credited_if_so_configured_and_named_by_an_address_of_this_host() {
        let rules = Rules { co_authors: true, ..Rules::default() };
        let reading = unchanged("github/push.several_authors.json", &rules);
        let expected = ["github:bo-marlinspike", "github:ines-tidewell", "github:ada-quillfeather"];
        assert_eq!(credited(&reading), expected);
        for (trailer, also) in [
            ("Co-authored-by: X <x@users.noreply.github.com>", Some("github:x")),
            ("co-Authored-BY:X<7+X@USERS.NOREPLY.GITHUB.COM>", Some("github:x")),
            ("Co-authored-by: X <x@users.noreply.gitlab.com>", None),
            ("Co-authored-by: X <x@users.noreply.github.com.evil.example>", None),
            ("Co-authored-by: X <@users.noreply.github.com>", None),
            ("Co-authored-by: X <7+@users.noreply.github.com>", None),
            ("Co-authored-by: X <y+x@users.noreply.github.com>", None),
            ("Co-authored-by: X <x@users.noreply.github.com", None),
            ("Co-authored-by: ÅÅÅ", None),
            ("Co-authored-bÿ: X <x@users.noreply.github.com>", None),
            ("Co-authored-by: X <7+ada-quillfeather@users.noreply.github.com>", None),
        ] {
            let reading = changed("github/push.default_branch.json", &rules, |body| {
                body["commits"][0]["message"] = json!(format!("A lamp\n\n{trailer}\n"));
            });
            let expected: Vec<_> = ["github:ada-quillfeather"].into_iter().chain(also).collect();
            assert_eq!(credited(&reading), expected, "{trailer}");
        }
    }

    #[test]
    fn a_kind_that_is_left_out_does_not_count_and_still_has_to_be_json() {
        let rules = Rules { count: vec![Kind::ISSUE], ..Rules::default() };
        for fixture in [
            "github/push.default_branch.json",
            "github/pull_request.opened.json",
            "gitlab/push.default_branch.json",
            "gitlab/merge_request.open.json",
        ] {
            assert_eq!(credited(&unchanged(fixture, &rules)), ["kind_not_counted"], "{fixture}");
        }
        assert_eq!(credited(&unchanged("github/issues.opened.json", &rules)), ["github:ada-quillfeather"]);
        assert!(try_read("github", "push", b"{", &rules).is_err());
    }

    #[test]
    fn ignored_contributors_are_left_out_and_their_neighbours_are_not() {
        let ignoring = |pattern: &str| Rules { ignore: vec![pattern.to_owned()], ..Rules::default() };
        let queue = "github/push.merge_queue.json";
        assert_eq!(credited(&unchanged(queue, &ignoring("github:ines-*"))), ["github:bo-marlinspike"]);
        assert_eq!(credited(&unchanged(queue, &ignoring("github:*"))), ["ignored_contributor"]);
        for fixture in ["github/issues.opened.json", "github/push.author_without_username.json"] {
            assert_eq!(credited(&unchanged(fixture, &ignoring("github:*-*"))), ["ignored_contributor"]);
        }
        assert_eq!(
            credited(&unchanged("gitlab/issue.open.json", &ignoring("github:*"))),
            ["gitlab:tomasz-wrenfield"]
        );
    }

    #[test]
    fn twenty_authors_are_a_push_and_twenty_one_are_an_import() {
        let authors = |n: usize, named: bool| {
            changed("github/push.import.json", &Rules::default(), |body| {
                let commits = body["commits"].as_array_mut().unwrap();
                commits.truncate(n);
                for commit in commits.iter_mut().filter(|_| !named) {
                    commit["author"].as_object_mut().unwrap().remove("username");
                }
            })
        };
        assert_eq!(credited(&authors(20, true)).len(), 20);
        assert_eq!(credited(&authors(21, true)), ["too_many_authors"]);
        assert_eq!(credited(&authors(20, false)), ["author_unknown"]);
        assert_eq!(credited(&authors(21, false)), ["too_many_authors"]);
    }

    #[test]
    fn a_message_of_a_hundred_thousand_co_authors_costs_no_more_than_one_of_twenty_one() {
        let rules = Rules { co_authors: true, ..Rules::default() };
        let reading = changed("github/push.default_branch.json", &rules, |body| {
            let trailer = |n| format!("Co-authored-by: X <x{n}@users.noreply.github.com>\n");
            body["commits"][0]["message"] =
                json!(format!("A lamp\n\n{}", (0..100_000).map(trailer).collect::<String>()));
        });
        assert_eq!(credited(&reading), ["too_many_authors"]);
    }
}

mod people {
    use super::*;

    #[test]
    fn bots_are_passed_over_and_people_beside_them_are_not() {
        let reading = changed("github/push.several_authors.json", &Rules::default(), |body| {
            body["commits"][0]["author"] =
                json!({"name": "dependabot[bot]", "email": "x@y", "username": "dependabot[bot]"});
            body["commits"][2]["author"] = json!({"name": "Renovate[BOT]", "email": "bot@renovate.example"});
        });
        assert_eq!(credited(&reading), ["github:ines-tidewell", "github:ada-quillfeather"]);
    }

    #[test]
    fn a_pusher_that_is_a_bot_is_no_stand_in_for_an_author() {
        let reading = changed("github/push.author_without_username.json", &Rules::default(), |body| {
            body["pusher"]["name"] = json!("deployer");
            body["sender"] = json!({"login": "deployer", "id": 7, "type": "Bot"});
        });
        assert_eq!(credited(&reading), ["bot"]);
    }

    #[test]
    fn without_a_pusher_it_is_the_sender_and_without_a_sender_the_author_is_unknown() {
        let push = |with_sender: bool| {
            changed("github/push.author_without_username.json", &Rules::default(), |body| {
                body["pusher"] = json!({"name": "none"});
                if !with_sender {
                    body.as_object_mut().unwrap().remove("sender");
                }
            })
        };
        assert_eq!(credited(&push(true)), ["github:bo-marlinspike"]);
        assert_eq!(credited(&push(false)), ["author_unknown"]);
    }

    #[test]
    fn only_accounts_of_people_are_credited() {
        for (login, kind, expected) in [
            ("Ada", "User", "github:ada"),
            ("ada", "SomethingNew", "github:ada"),
            ("renovate", "Bot", "bot"),
            ("renovate[bot]", "User", "bot"),
            ("Renovate[Bot]", "User", "bot"),
            ("Copilot", "User", "bot"),
            ("ghost", "User", "ghost"),
            ("old-author", "Mannequin", "author_unknown"),
            ("a-company", "Organization", "author_unknown"),
        ] {
            let reading = changed("github/issues.opened.json", &Rules::default(), |body| {
                body["issue"]["user"] =
                    json!({"login": login, "id": 9_007_199_254_740_993_u64, "type": kind});
            });
            assert_eq!(credited(&reading), [expected], "{login} {kind}");
        }
    }

    #[test]
    fn gitlabs_machines_are_known_by_their_names() {
        for (login, bot) in [
            ("project_70010042_bot", true),
            ("project_70010042_bot3", true),
            ("group_9_bot_0a1b2c", true),
            ("Project_9_Bot_x", true),
            ("service_account_group_9_0a1b2c", true),
            ("support-bot", true),
            ("GitLab-Security-Bot", true),
            ("automation-bot", true),
            ("gitlab_security_policy_project_7_bot_0a1b", true),
            ("GitLabDuo", true),
            ("project_bot", false),
            ("project_x_bot", false),
            ("project_9_bottle", false),
            ("talbot", false),
            ("robot-lover", false),
        ] {
            let reading = changed("gitlab/merge_request.open.json", &Rules::default(), |body| {
                body["user"]["username"] = json!(login);
            });
            let login = format!("gitlab:{}", login.to_lowercase());
            assert_eq!(credited(&reading), [if bot { "bot" } else { &login }]);
        }
        let ghost = changed("gitlab/merge_request.open.json", &Rules::default(), |body| {
            body["user"]["username"] = json!("ghost");
        });
        assert_eq!(credited(&ghost), ["ghost"]);
    }

    #[test]
    fn an_invalid_login_is_no_contributor() {
        let long = "x".repeat(201);
        for login in ["../../x", "a:b", "", " ", "a\nb", "a\u{0}b", "\u{1b}[31m", long.as_str(), "Kate"] {
            for (fixture, at) in [
                ("github/issues.opened.json", "/issue/user/login"),
                ("github/push.author_without_username.json", "/pusher/name"),
                ("gitlab/issue.open.json", "/user/username"),
                ("gitlab/push.name_and_email_only.json", "/user_username"),
            ] {
                let login = login.replace("Kate", "\u{212a}ate");
                let reading = changed(fixture, &Rules::default(), |body| {
                    *body.pointer_mut(at).unwrap() = json!(login);
                    if let Some(body) = body.as_object_mut().filter(|body| body.contains_key("pusher")) {
                        body.remove("sender");
                    }
                });
                assert_eq!(credited(&reading), ["author_unknown"], "{fixture} {login:?}");
            }
        }
    }

    #[test]
    fn letters_that_look_alike_and_marks_that_cannot_be_seen_make_another_contributor() {
        let alike = ["octocat", "о\u{441}tocat", "octocat\u{200f}", "\u{202e}tacotco", "oc\u{200b}tocat"];
        let mut seen = Vec::new();
        for login in alike {
            let reading = changed("github/issues.opened.json", &Rules::default(), |body| {
                body["issue"]["user"]["login"] = json!(login);
            });
            seen.push(only(reading).contributor);
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), alike.len());
    }

    #[test]
    fn the_same_login_in_another_case_is_the_same_contributor_once() {
        let rules = Rules { co_authors: false, ..Rules::default() };
        let reading = changed("github/push.several_authors.json", &rules, |body| {
            body["commits"][1]["author"]["username"] = json!("Bo-MARLINSPIKE");
        });
        let contribution = only(reading);
        assert_eq!(contribution.contributor.as_str(), "github:bo-marlinspike");
        assert!(contribution.id.as_str().ends_with(":bo-marlinspike"));
        assert_eq!(contribution.user_id, Some(204_811_974));
    }

    #[test]
    fn a_gitlab_author_is_known_only_where_the_author_acted() {
        for (user, author, expected) in [
            (json!(1), json!(1), "gitlab:tomasz-wrenfield"),
            (json!(1), json!(2), "author_unknown"),
            (json!(null), json!(null), "author_unknown"),
            (json!(null), json!(1), "author_unknown"),
        ] {
            let reading = changed("gitlab/issue.open.json", &Rules::default(), |body| {
                body["user"]["id"] = user.clone();
                body["object_attributes"]["author_id"] = author.clone();
            });
            assert_eq!(credited(&reading), [expected], "{user} {author}");
        }
    }

    #[test]
    fn who_wrote_commits_that_gitlab_does_not_list_is_not_guessed() {
        let push = |total: u64| {
            changed("gitlab/push.default_branch.json", &Rules::default(), |body| {
                body["commits"] = json!([]);
                body["total_commits_count"] = json!(total);
            })
        };
        assert_eq!(credited(&push(3)), ["author_unknown"]);
        assert_eq!(credited(&push(0)), ["no_new_commits"]);
    }
}

mod origins {
    use super::*;

    #[test]
    fn what_is_not_said_to_be_public_is_private() {
        for (private, visibility, expected) in [
            (json!(false), json!("public"), false),
            (json!(false), Value::Null, false),
            (Value::Null, json!("public"), false),
            (json!(true), json!("private"), true),
            (json!(true), json!("public"), true),
            (json!(false), json!("internal"), true),
            (Value::Null, Value::Null, true),
        ] {
            let reading = changed("github/issues.opened.json", &Rules::default(), |body| {
                body["repository"]["private"] = private.clone();
                body["repository"]["visibility"] = visibility.clone();
            });
            assert_eq!(only(reading).private, expected, "{private} {visibility}");
        }
        for (level, expected) in
            [(json!(20), false), (json!(10), true), (json!(0), true), (Value::Null, true)]
        {
            let reading = changed("gitlab/issue.open.json", &Rules::default(), |body| {
                body["project"]["visibility_level"] = level.clone();
            });
            assert_eq!(only(reading).private, expected, "{level}");
        }
    }

    #[test]
    fn a_repositorys_name_is_kept_as_it_is_and_never_followed() {
        let reading = changed("github/issues.opened.json", &Rules::default(), |body| {
            body["repository"]["full_name"] = json!("../../x");
        });
        let contribution = only(reading);
        assert_eq!(contribution.repository.as_deref(), Some("../../x"));
        assert_eq!(contribution.id.as_str(), "github:981237654:issue:31");
    }

    #[test]
    fn a_link_that_is_none_and_a_title_without_end_are_not_kept() {
        let reading = changed("github/issues.opened.json", &Rules::default(), |body| {
            body["issue"]["html_url"] = json!("javascript:alert(1)");
            body["issue"]["title"] = json!("é".repeat(600));
            body["repository"]["full_name"] = json!("é".repeat(600));
        });
        let contribution = only(reading);
        assert_eq!(contribution.url, None);
        assert_eq!(contribution.title.unwrap().chars().count(), 500);
        assert_eq!(contribution.repository.unwrap().len(), 500);
    }

    #[test]
    fn a_host_cannot_take_the_name_of_another() {
        let read = |url| {
            let mut body = json_fixture("github/issues.opened.json");
            body["repository"]["html_url"] = json!(url);
            try_read("github", "issues", body.to_string().as_bytes(), &Rules::default())
        };
        for url in ["https://gitlab.com/o/r", "https://www.gitlab.com/o/r"] {
            assert_eq!(read(url), Ok(Reading::Ignored(Reason::OtherHost)), "{url}");
        }
        for url in ["nowhere", "ftp://github.com/o/r"] {
            assert!(read(url).is_err(), "{url}");
        }
    }

    #[test]
    fn noreply_addresses_count_on_their_own_host_alone() {
        for (email, named) in [
            ("9-Tomasz-Wrenfield@users.noreply.git.seawall.example", true),
            ("tomasz-wrenfield@users.noreply.git.seawall.example", false),
            ("9-tomasz-wrenfield@users.noreply.gitlab.com", false),
            ("9-@users.noreply.git.seawall.example", false),
            ("tomasz-wrenfield@git.seawall.example", false),
        ] {
            let reading = changed("gitlab/push.self_managed.json", &Rules::default(), |body| {
                body["commits"][0]["author"]["email"] = json!(email);
                body["user_username"] = Value::Null;
            });
            let expected = if named { "git.seawall.example:tomasz-wrenfield" } else { "author_unknown" };
            assert_eq!(credited(&reading), [expected], "{email}");
        }
    }
}

mod times {
    use super::*;

    #[test]
    fn every_way_in_which_hosts_write_a_time_is_read() {
        for (text, expected) in [
            (json!("2017-12-10T16:37:38Z"), "2017-12-10T16:37:38Z"),
            (json!("2017-12-10 16:37:38 UTC"), "2017-12-10T16:37:38Z"),
            (json!("2017-12-10T18:37:38.123456789+02:00"), "2017-12-10T16:37:38.123456Z"),
            (json!("2017-12-10 18:37:38 +0200"), "2017-12-10T16:37:38Z"),
            (json!("yesterday"), "2026-11-24T10:00:00Z"),
            (json!(""), "2026-11-24T10:00:00Z"),
            (Value::Null, "2026-11-24T10:00:00Z"),
        ] {
            let reading = changed("gitlab/issue.open.json", &Rules::default(), |body| {
                body["object_attributes"]["created_at"] = text.clone();
            });
            let expected: Moment = expected.parse().unwrap();
            assert_eq!(only(reading).occurred_at, expected, "{text}");
        }
    }

    #[test]
    fn a_commit_from_the_future_was_made_now() {
        let reading = changed("github/push.default_branch.json", &Rules::default(), |body| {
            body["head_commit"]["timestamp"] = json!("2099-01-01T00:00:00Z");
        });
        assert_eq!(only(reading).occurred_at, now());
    }
}
