//! Reads log filters and extractors from Terraform's files: as much of their language as those use.

use std::collections::{BTreeMap, BTreeSet};

/// What the files say.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Every filter of the log, by the name of its metric or alert.
    pub(super) filters: BTreeMap<String, String>,
    /// The extractors of a metric, by the name of their label; a distribution's has the name `value`.
    pub(super) extractors: BTreeMap<String, BTreeMap<String, String>>,
    /// Which of the filters are alerts on lines.
    pub(super) alerts: BTreeSet<String>,
    /// The queries for Logs Explorer in runbooks.
    pub(super) runbook_queries: Vec<String>,
    /// What `${…}` may name.
    names: BTreeMap<String, String>,
}

impl Sources {
    pub(super) fn read(known: &[(&str, &str)]) -> Self {
        let mut sources = Self::default();
        sources.names.extend(known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        for file in ["metrics.tf", "alerts.tf"] {
            let path = format!("{}/terraform/{file}", env!("CARGO_MANIFEST_DIR"));
            sources.add(&std::fs::read_to_string(path).unwrap(), file == "alerts.tf");
        }
        sources
    }

    fn add(&mut self, text: &str, alerts: bool) {
        let mut within: Vec<&str> = Vec::new();
        let mut runbook = false;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if runbook {
                runbook = line != "EOT";
                self.add_queries(line);
            } else if line.ends_with("<<-EOT") {
                runbook = true;
            } else if line.ends_with('{') {
                within.push(line.split(' ').next().unwrap());
            } else if line.starts_with('}') {
                within.pop();
            } else if let Some((name, value)) = line.split_once('=') {
                self.assign(&within, name.trim(), value.trim(), alerts);
            }
        }
        assert!(within.is_empty() && !runbook, "{within:?}");
    }

    fn assign(&mut self, within: &[&str], name: &str, value: &str, alerts: bool) {
        let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let literal = quoted.map(|text| text.replace("\\\"", "\"").replace("\\\\", "\\"));
        match (within, name) {
            (["locals"], _) => {
                if let Some(text) = literal.filter(|_| name.ends_with("_logs")) {
                    let text = self.resolved(&text);
                    self.names.insert(format!("local.{name}"), text);
                }
            }
            (["locals", _, key], "filter") => {
                if let Some(text) = literal.or_else(|| self.names.get(value).cloned()) {
                    self.filters.insert((*key).to_owned(), self.resolved(&text));
                    if alerts {
                        self.alerts.insert((*key).to_owned());
                    }
                }
            }
            (["locals", "distributions", key], "value") | (["locals", "counters", key, "labels"], _) => {
                self.extractors
                    .entry((*key).to_owned())
                    .or_default()
                    .insert(name.to_owned(), literal.unwrap());
            }
            _ => {}
        }
    }

    /// The text with each `${…}` replaced; one that is not known is a failure.
    fn resolved(&self, text: &str) -> String {
        let mut parts = text.split("${");
        let mut resolved = parts.next().unwrap().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            let value = self.names.get(name).unwrap_or_else(|| panic!("{name} is not known: {text}"));
            resolved.push_str(value);
            resolved.push_str(rest);
        }
        resolved
    }

    fn add_queries(&mut self, line: &str) {
        for quoted in line.split('`').skip(1).step_by(2) {
            if quoted.starts_with("${local.")
                || quoted.starts_with("resource.type=")
                || quoted.starts_with("protoPayload")
            {
                let text = quoted.replace("${var.latency_seconds}", "1");
                self.runbook_queries.push(self.resolved(&text));
            }
        }
    }
}
