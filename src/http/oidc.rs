//! Cloud Scheduler's identity: an OIDC token that Google signed for one service account and one audience.
//!
//! Cloud Run does not check it for a service that anyone may call, so plaudit does:
//! <https://cloud.google.com/scheduler/docs/http-target-auth>, and for the claims
//! <https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken>.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::domain::Moment;
use crate::runtime::Clock;
use crate::settings::{Setting, Settings};

/// Google's public keys as a JWK set.
pub const GOOGLE_KEYS: &str = "https://www.googleapis.com/oauth2/v3/certs";
/// Who signs.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
/// How long keys are kept where the answer does not say.
const KEEP: Duration = Duration::from_hours(1);
/// How soon keys may be asked for again, for a token that names none of them.
const AGAIN: Duration = Duration::from_mins(1);
/// How far clocks may be apart.
const LEEWAY: i64 = 60;

/// The settings of this section.
pub const SETTINGS: &[Setting] = &[AUDIENCE, EMAIL];

const AUDIENCE: Setting = Setting {
    variable: "PLAUDIT_DRAIN_AUDIENCE",
    flag: "drain-audience",
    value: "TEXT",
    example: "https://plaudit.example.org",
    help: "The OIDC audience that may call /internal/drain [default: none; an API token only]",
};
const EMAIL: Setting = Setting {
    variable: "PLAUDIT_DRAIN_EMAIL",
    flag: "drain-email",
    value: "EMAIL",
    example: "scheduler@my-project.iam.gserviceaccount.com",
    help: "The service account that may call /internal/drain [default: none]",
};

/// The identity that may call `/internal/drain` with an OIDC token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub audience: String,
    pub email: String,
}

impl Identity {
    /// `None` where none is configured, or only half of one, which is a fault.
    pub fn read(settings: &mut Settings<'_>) -> Option<Self> {
        let (missing, given) = match (settings.words(&AUDIENCE), settings.words(&EMAIL)) {
            (Some(audience), Some(email)) => return Some(Self { audience, email }),
            (None, None) => return None,
            (Some(_), None) => (EMAIL, AUDIENCE),
            (None, Some(_)) => (AUDIENCE, EMAIL),
        };
        settings.fault(missing.variable, &format!("missing beside {}", given.variable), missing.example);
        None
    }
}

/// Checks OIDC tokens.
#[derive(Debug)]
pub struct Verifier {
    identity: Identity,
    keys_url: String,
    client: reqwest::Client,
    keys: Mutex<Option<Keys>>,
    clock: Clock,
}

#[derive(Debug)]
struct Keys {
    set: JwkSet,
    fetched: Moment,
    expires: Moment,
}

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// The token is not valid.
    #[error("{0}")]
    Refused(String),
    /// It cannot be checked now.
    #[error("{0}")]
    NoKeys(String),
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    iat: i64,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
}

impl Verifier {
    /// Checks tokens for this identity by the keys found at `keys_url`.
    pub fn new(identity: Identity, keys_url: String, clock: Clock) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        Ok(Self { identity, keys_url, client, keys: Mutex::default(), clock })
    }

    /// Whether `token` is genuine, meant for this service, still valid, and of the one service account.
    pub async fn verify(&self, token: &str) -> Result<(), OidcError> {
        let refused = |why: String| OidcError::Refused(why);
        let header = decode_header(token).map_err(|e| refused(format!("not a token: {e}")))?;
        let id = header.kid.ok_or_else(|| refused("the token names no key".into()))?;
        let key = self.key(&id).await?;
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&[&self.identity.audience]);
        rules.set_issuer(&ISSUERS);
        rules.set_required_spec_claims(&["exp", "aud", "iss"]);
        // The time is our clock's, below.
        rules.validate_exp = false;
        let claims = decode::<Claims>(token, &key, &rules).map_err(|e| refused(e.to_string()))?.claims;
        let now = self.clock.now().timestamp();
        if claims.exp + LEEWAY < now {
            return Err(refused("the token has expired".into()));
        }
        if claims.iat - LEEWAY > now {
            return Err(refused("the token is from the future".into()));
        }
        if claims.email.as_deref() != Some(self.identity.email.as_str()) || !claims.email_verified {
            return Err(refused("the token belongs to another account".into()));
        }
        Ok(())
    }

    /// The key with that id. Keys are fetched again when they are old, or when the id is unknown: Google rotates
    /// them.
    async fn key(&self, id: &str) -> Result<DecodingKey, OidcError> {
        let mut keys = self.keys.lock().await;
        let now = self.clock.now();
        let stale = keys.as_ref().is_none_or(|keys| {
            let unknown = keys.set.find(id).is_none();
            keys.expires <= now || (unknown && keys.fetched + AGAIN <= now)
        });
        if stale {
            match self.fetch(now).await {
                Ok(fetched) => *keys = Some(fetched),
                // Keys that expired recently are better than none.
                Err(why) if keys.as_ref().is_none_or(|keys| keys.set.find(id).is_none()) => {
                    return Err(OidcError::NoKeys(why));
                }
                Err(why) => {
                    tracing::warn!(why, "Google's keys cannot be fetched; the previous ones are used");
                }
            }
        }
        let jwk = keys.as_ref().and_then(|keys| keys.set.find(id));
        let jwk = jwk.ok_or_else(|| OidcError::Refused("the token's key is not one of Google's".into()))?;
        DecodingKey::from_jwk(jwk).map_err(|e| OidcError::NoKeys(format!("a key cannot be read: {e}")))
    }

    async fn fetch(&self, now: Moment) -> Result<Keys, String> {
        let answer =
            self.client.get(&self.keys_url).send().await.and_then(reqwest::Response::error_for_status);
        let answer = answer.map_err(|e| e.without_url().to_string())?;
        let keep = answer
            .headers()
            .get(http::header::CACHE_CONTROL)
            .and_then(|value| {
                value
                    .to_str()
                    .ok()?
                    .split(',')
                    .find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok())
            })
            .map_or(KEEP, Duration::from_secs)
            .clamp(AGAIN, 24 * KEEP);
        let set = answer.json().await.map_err(|e| e.without_url().to_string())?;
        Ok(Keys { set, fetched: now, expires: now + keep })
    }
}
