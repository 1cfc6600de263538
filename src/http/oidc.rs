//! Cloud Scheduler's identity: an OIDC token that Google signed for one service account and one audience.
//!
//! Cloud Run does not check it for a service that anyone may call, so plaudit does:
//! <https://cloud.google.com/scheduler/docs/http-target-auth>, and for the claims
//! <https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken>.

mod keys;

use std::time::Duration;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;

use self::keys::Keys;
use crate::runtime::{Clock, Tasks};
use crate::settings::{Setting, Settings};

/// Google's public keys as a JWK set.
pub const GOOGLE_KEYS: &str = "https://www.googleapis.com/oauth2/v3/certs";
/// How long a drain waits for newer keys before those that expired are used.
pub const EXPIRED_WAIT: Duration = Duration::from_secs(1);
/// Who signs.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
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
    keys: Keys,
    clock: Clock,
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
    /// Checks tokens for this identity by the keys found at `keys_url`. While newer ones are fetched, a key that
    /// expired is used after `expired_wait`.
    pub fn new(
        identity: Identity,
        keys_url: String,
        expired_wait: Duration,
        clock: Clock,
        tasks: Tasks,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self { identity, keys: Keys::new(keys_url, expired_wait, clock.clone(), tasks)?, clock })
    }

    /// Whether `token` is genuine, meant for this service, still valid, and of the one service account.
    pub async fn verify(&self, token: &str) -> Result<(), OidcError> {
        let refused = |why: String| OidcError::Refused(why);
        let header = decode_header(token).map_err(|e| refused(format!("not a token: {e}")))?;
        let id = header.kid.ok_or_else(|| refused("the token names no key".into()))?;
        let key = self.keys.find(&id).await?;
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
}
