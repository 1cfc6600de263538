//! As much of the Logging query language (<https://cloud.google.com/logging/docs/view/logging-query-language>) as Terraform's
//! filters use. What it does not know is a failure, never a guess.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Value, json};

/// A filter, parsed.
#[derive(Debug)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Compare { path: String, operator: String, value: String },
}

const OPERATORS: [&str; 7] = ["=~", ">=", "<=", "=", ">", "<", ":"];
/// <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity>
const SEVERITIES: [&str; 9] =
    ["DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"];

impl Filter {
    pub(super) fn parse(text: &str) -> Self {
        let mut tokens = tokens(text);
        tokens.reverse();
        let filter = all(&mut tokens);
        assert!(tokens.is_empty(), "left over: {tokens:?} of {text}");
        filter
    }

    pub(super) fn matches(&self, entry: &Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(entry)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(entry)),
            Self::Not(part) => !part.matches(entry),
            Self::Compare { path, operator, value } => {
                at(entry, path).is_some_and(|found| compare(path, found, operator, value))
            }
        }
    }

    /// Every field that it names.
    pub(super) fn paths(&self) -> BTreeSet<String> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::paths).collect(),
            Self::Not(part) => part.paths(),
            Self::Compare { path, .. } => BTreeSet::from([path.clone()]),
        }
    }
}

/// Words, texts (with a quote before them), operators and brackets.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let length = if let Some(quoted) = rest.strip_prefix('"') {
            let length = quoted.find('"').unwrap_or_else(|| panic!("an open text: {text}"));
            assert!(!quoted[..length].contains('\\'), "an escape in a text: {text}");
            tokens.push(rest[..=length].to_owned());
            length + 2
        } else if let Some(operator) = OPERATORS.into_iter().find(|operator| rest.starts_with(operator)) {
            tokens.push(operator.to_owned());
            operator.len()
        } else if rest.starts_with(['(', ')', '*']) {
            tokens.push(rest[..1].to_owned());
            1
        } else {
            let is_word = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            assert!(length > 0, "not known to this evaluator: {rest}");
            tokens.push(rest[..length].to_owned());
            length
        };
        rest = rest[length..].trim_start();
    }
    tokens
}

fn next_is(tokens: &mut Vec<String>, word: &str) -> bool {
    let is = tokens.last().is_some_and(|token| token == word);
    if is {
        tokens.pop();
    }
    is
}

/// OR binds more than AND.
fn all(tokens: &mut Vec<String>) -> Filter {
    let mut parts = vec![any(tokens)];
    while next_is(tokens, "AND") {
        parts.push(any(tokens));
    }
    Filter::All(parts)
}

fn any(tokens: &mut Vec<String>) -> Filter {
    let mut parts = vec![one(tokens)];
    while next_is(tokens, "OR") {
        parts.push(one(tokens));
    }
    Filter::Any(parts)
}

fn one(tokens: &mut Vec<String>) -> Filter {
    if next_is(tokens, "NOT") {
        return Filter::Not(Box::new(one(tokens)));
    }
    if next_is(tokens, "(") {
        let filter = all(tokens);
        assert!(next_is(tokens, ")"), "an open bracket before {tokens:?}");
        return filter;
    }
    let path = tokens.pop().unwrap();
    assert!(path.starts_with(|c: char| c.is_ascii_lowercase()), "not the name of a field: {path}");
    let operator = tokens.pop().unwrap_or_default();
    assert!(OPERATORS.contains(&operator.as_str()), "not an operator after {path}: {operator}");
    let with = |value: String| {
        assert!(!OPERATORS.contains(&value.as_str()) && value != ")", "not a value: {path}{operator}{value}");
        Filter::Compare { path: path.clone(), operator: operator.clone(), value }
    };
    if !next_is(tokens, "(") {
        return with(tokens.pop().unwrap());
    }
    let mut values = vec![with(tokens.pop().unwrap())];
    while next_is(tokens, "OR") {
        values.push(with(tokens.pop().unwrap()));
    }
    assert!(next_is(tokens, ")"), "an open bracket before {tokens:?}");
    Filter::Any(values)
}

fn at<'a>(entry: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(entry, |value, part| value.get(part)).filter(|value| !value.is_null())
}

fn compare(path: &str, found: &Value, operator: &str, value: &str) -> bool {
    if operator == ":" && value == "*" {
        return true;
    }
    let text = value.strip_prefix('"').unwrap_or(value);
    let found = shown(found);
    match operator {
        "=" if path == "severity" => ordered(path, &found, text).is_eq(),
        "=" => found.eq_ignore_ascii_case(text),
        ":" => found.to_lowercase().contains(&text.to_lowercase()),
        // JSON Schema's patterns are not anchored either.
        "=~" => jsonschema::is_valid(&json!({"pattern": text}), &json!(found)),
        ">=" => ordered(path, &found, text).is_ge(),
        "<=" => ordered(path, &found, text).is_le(),
        ">" => ordered(path, &found, text).is_gt(),
        "<" => ordered(path, &found, text).is_lt(),
        _ => panic!("not known to this evaluator: {operator}"),
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn ordered(path: &str, found: &str, value: &str) -> Ordering {
    if path == "severity" {
        let rank = |word: &str| SEVERITIES.iter().position(|known| *known == word);
        return rank(found).unwrap().cmp(&rank(value).unwrap_or_else(|| panic!("no severity: {value}")));
    }
    let number = |text: &str| -> f64 {
        text.trim_end_matches('s')
            .parse()
            .unwrap_or_else(|_| panic!("{path} is compared as a number: {text}"))
    };
    number(found).total_cmp(&number(value))
}

/// The field that an extractor reads.
pub(super) fn path_of(extractor: &str) -> String {
    let inside = extractor.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap();
    inside.split(',').next().unwrap().to_owned()
}

/// What an extractor reads: nothing where the field is absent.
pub(super) fn extract(extractor: &str, entry: &Value) -> String {
    let found = at(entry, &path_of(extractor)).map(shown).unwrap_or_default();
    if extractor.starts_with("EXTRACT(") {
        return found;
    }
    // The one form that is used: a text, then a group of small letters.
    let pattern = extractor.strip_prefix("REGEXP_EXTRACT(").and_then(|rest| rest.split_once(", \""));
    let before = pattern.and_then(|(_, pattern)| pattern.strip_suffix("([a-z]+)\")"));
    let before = before.unwrap_or_else(|| panic!("not known to this evaluator: {extractor}"));
    let after = found.split_once(before).map(|(_, after)| after).unwrap_or_default();
    after.chars().take_while(char::is_ascii_lowercase).collect()
}
