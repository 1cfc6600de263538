//! Which pages of other web origins may call the API: <https://fetch.spec.whatwg.org/#http-cors-protocol>.
//!
//! Never with credentials: a page sends a token of its own, and nothing that the browser keeps for this origin.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::settings::{Setting, Settings};

/// The settings of this section.
pub const SETTINGS: &[Setting] = &[ALLOW_ORIGINS];

const ALLOW_ORIGINS: Setting = Setting {
    variable: "PLAUDIT_ALLOW_ORIGINS",
    flag: "allow-origins",
    value: "LIST",
    example: "https://app.example.org,http://localhost:5173",
    help: "Web origins whose pages may call the API, or * for any [default: none]",
};

/// How long a browser may keep the answer to a preflight.
const KEPT: Duration = Duration::from_mins(10);

/// The web origins whose pages may call the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    #[default]
    Own,
    Any,
    These(Vec<HeaderValue>),
}

impl Origins {
    pub fn read(settings: &mut Settings<'_>) -> Self {
        settings.value(&ALLOW_ORIGINS, Self::default(), Self::parse)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        match parts[..] {
            [] => Ok(Self::Own),
            ["*"] => Ok(Self::Any),
            _ => {
                let wrong = |part: &str| format!("{part} is neither * alone nor scheme://host[:port]");
                let origins = parts.iter().map(|part| origin(part).ok_or_else(|| wrong(part)));
                origins.collect::<Result<_, _>>().map(Self::These)
            }
        }
    }

    /// Answers preflights and marks answers; `None` where pages of other origins may not call the API.
    pub(super) fn layer(&self) -> Option<CorsLayer> {
        let origins = match self {
            Self::Own => return None,
            Self::Any => AllowOrigin::any(),
            Self::These(origins) => AllowOrigin::list(origins.iter().cloned()),
        };
        let layer = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("idempotency-key"),
                HeaderName::from_static("last-event-id"),
                header::IF_NONE_MATCH,
            ])
            .expose_headers([
                header::ETAG,
                header::LINK,
                header::LOCATION,
                header::RETRY_AFTER,
                HeaderName::from_static("x-request-id"),
            ])
            .max_age(KEPT);
        Some(layer)
    }
}

/// An origin as browsers send it: in lower case, without the scheme's own port.
fn origin(text: &str) -> Option<HeaderValue> {
    let url = url::Url::parse(text).ok()?;
    let serialized = url.origin().ascii_serialization();
    let alone = url.as_str().strip_suffix('/') == Some(serialized.as_str());
    let one = !serialized.contains('*');
    (alone && one && ["http", "https"].contains(&url.scheme())).then(|| serialized.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken_in_any_spelling_and_nothing_else_is() {
        let these = |origins: &[&str]| {
            Ok(Origins::These(origins.iter().map(|origin| origin.parse().unwrap()).collect()))
        };
        assert_eq!(Origins::parse(" , "), Ok(Origins::Own));
        assert_eq!(Origins::parse("*"), Ok(Origins::Any));
        let spelt = "https://App.Example.org:443/, http://localhost:5173 , http://[::1]:80";
        assert_eq!(
            Origins::parse(spelt),
            these(&["https://app.example.org", "http://localhost:5173", "http://[::1]"])
        );
        for wrong in [
            "app.example.org",
            "https://app.example.org/path",
            "https://app.example.org?x",
            "https://ada@app.example.org",
            "ftp://app.example.org",
            "null",
            "https://*.example.org",
            "*, https://app.example.org",
        ] {
            assert!(Origins::parse(wrong).is_err(), "{wrong}");
        }
    }
}
