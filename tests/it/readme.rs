//! What the documents say is so: their tables against the program.

use clap::CommandFactory;
use plaudit::domain::GiveUp;
use plaudit::hosts::Reason;
use plaudit::http::verdict::Verdict;
use plaudit::settings::Flags;
use plaudit::store::State;

#[path = "../../benches/load/rows.rs"]
#[allow(dead_code, reason = "a part of the benchmark, of which only the titles are used")]
mod measured;

const README: &str = include_str!("../../README.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const COUNTING: &str = include_str!("../../docs/counting.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

#[test]
fn the_page_on_counting_explains_every_reason_code_in_the_words_of_the_program() {
    for reason in Reason::ALL {
        let row = format!("| `{}` | {} |", reason.code(), reason.meaning());
        assert!(COUNTING.contains(&row), "docs/counting.md lacks the row {row}");
    }
}

#[test]
fn the_page_on_comments_explains_every_reason_to_give_up_in_the_words_of_the_program() {
    const COMMENTS: &str = include_str!("../../docs/comments.md");
    for reason in GiveUp::ALL {
        let row = format!("| `{}` | {} |", reason.code(), reason.meaning());
        assert!(COMMENTS.contains(&row), "docs/comments.md lacks the row {row}");
        assert_eq!(GiveUp::from_code(reason.code()), Some(reason));
    }
}

#[test]
fn the_page_on_counting_explains_every_verdict_in_the_words_of_the_program() {
    for verdict in Verdict::ALL {
        let row = format!("| `{}` | {} |", verdict.code(), verdict.meaning());
        assert!(COUNTING.contains(&row), "docs/counting.md lacks the row {row}");
    }
}

#[test]
fn the_operators_page_explains_every_state_of_a_recognition_in_the_words_of_the_program() {
    for state in State::ALL {
        let words = format!("`{}`: {}", state.code(), state.meaning());
        assert!(OPERATIONS.contains(&words), "docs/operations.md lacks {words}");
    }
}

#[test]
fn the_page_on_configuration_lists_every_variable_that_is_a_flag() {
    #[derive(clap::Parser)]
    struct All {
        #[command(flatten)]
        _flags: Flags,
    }
    let command = All::command();
    let variables: Vec<_> = command.get_arguments().filter_map(|flag| flag.get_env()?.to_str()).collect();
    assert!(variables.len() > 15, "{variables:?}");
    for variable in variables {
        let row = format!("`{variable}`");
        assert!(CONFIGURATION.contains(&row), "docs/configuration.md does not explain {variable}");
    }
}

#[test]
fn every_page_that_a_document_links_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let documents = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name)).into_iter();
    let pages = documents.chain(docs.filter(|path| path.extension().is_some_and(|it| it == "md")));
    let mut links = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let outside_code: String = text.split("```").step_by(2).collect();
        let targets = outside_code.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in targets.filter(|link| !link.starts_with("http")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{} links {link}, which is not there", page.display());
            assert!(heading.is_empty() || headings(&target).contains(heading), "{}: {link}", page.display());
            links += 1;
        }
    }
    assert!(links > 50, "{links}");
}

/// The anchors of a page's headings.
fn headings(page: &std::path::Path) -> std::collections::BTreeSet<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        heading
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .collect::<String>()
            .replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn the_readme_is_short() {
    let words = README.split_whitespace().count();
    assert!(words < 1_500, "{words} words: what is longer has a page of its own in docs/");
}

#[test]
fn every_test_that_the_page_on_reliability_names_is_there() {
    const RELIABILITY: &str = include_str!("../../docs/reliability.md");
    let rows = RELIABILITY.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [.., file, test, ""] = cells.as_slice() else { return None };
        file.rsplit_once('.')
            .is_some_and(|(_, kind)| kind == "rs")
            .then(|| ((*file).to_owned(), (*test).to_owned()))
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 25, "{rows:?}");
    for (file, test) in rows {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(&file);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        assert!(text.contains(&format!("fn {test}(")), "docs/reliability.md names {test} in {file}");
    }
}

#[test]
fn the_page_on_performance_has_every_receiver_and_every_subject_that_the_benchmark_measures() {
    const PERFORMANCE: &str = include_str!("../../docs/performance.md");
    for row in measured::ROWS {
        let cell = format!("| {} |", row.title);
        assert!(PERFORMANCE.contains(&cell), "docs/performance.md lacks the row {cell}");
    }
    for subject in measured::SUBJECTS {
        let heading = format!("## {}\n", subject.title);
        assert!(PERFORMANCE.contains(&heading), "docs/performance.md lacks the heading {heading}");
    }
}
