//! The private key of an application that signs its own tokens.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::Secret;

/// An RSA private key.
#[derive(Clone)]
pub struct AppKey(EncodingKey);

#[derive(Serialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: String,
}

impl AppKey {
    /// Reads a PEM file; its line breaks may be written as `\n`, for variables that hold one line.
    pub fn parse(pem: &str) -> Result<Self, String> {
        let pem = pem.replace("\\n", "\n");
        EncodingKey::from_rsa_pem(pem.trim().as_bytes())
            .map(Self)
            .map_err(|_| "no RSA private key in PEM".to_owned())
    }

    /// The token with which the application of this id speaks for itself for nine minutes. Its start is set a minute
    /// back, for clocks that differ.
    pub fn token(&self, id: u64, now: DateTime<Utc>) -> Result<Secret, String> {
        let now = now.timestamp();
        let claims = Claims { iat: now - 60, exp: now + 9 * 60, iss: id.to_string() };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.0)
            .map(Secret::new)
            .map_err(|error| format!("the App's key cannot sign: {error}"))
    }
}

impl std::fmt::Debug for AppKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppKey")
    }
}
