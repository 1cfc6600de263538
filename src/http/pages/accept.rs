//! Which form of an answer a client prefers.

use http::{HeaderMap, header};

/// Whether the client names HTML and likes no JSON better: browsers do, programs do not. `*/*` names nothing.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let given: Vec<_> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let given = given.join(",");
    let ranges: Vec<_> = given.split(',').filter_map(range).collect();
    let weight = |wanted: &[&str]| {
        wanted
            .iter()
            .find_map(|name| ranges.iter().find(|range| range.name == *name))
            .map(|range| range.weight)
    };
    let html = weight(&["text/html"]);
    let json = weight(&["application/json", "application/*", "*/*"]).unwrap_or(0.0);
    html.is_some_and(|html| html > 0.0 && html >= json)
}

/// A media range, and how much it is liked (RFC 9110, 12.5.1).
struct Range {
    name: String,
    weight: f32,
}

fn range(text: &str) -> Option<Range> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight = weight.map_or(Some(1.0), |weight| weight.parse().ok())?;
    Some(Range { name, weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_html_and_programs_json() {
        for (accept, html) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", true),
            ("text/html", true),
            ("TEXT/HTML;q=0.3", true),
            ("application/json;q=0.5, text/html", true),
            ("application/json, text/html", true),
            ("", false),
            ("*/*", false),
            ("text/*", false),
            ("application/json", false),
            ("application/json, text/html;q=0.9", false),
            ("text/html;q=0.5, */*", false),
            ("text/html;q=0", false),
            ("text/html;q=much", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(prefers_html(&headers), html, "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }
}
