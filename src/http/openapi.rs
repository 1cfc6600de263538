//! The description of the API: OpenAPI 3.1, made from the code.
//!
//! Operations are described at their handlers, schemas at the types of the answers. This file collects them
//! and adds what every operation has in common. `docs/openapi.json` is a copy for readers of the repository;
//! `tests/it/openapi.rs` fails where it differs, or where an example is not a real answer. To write both
//! anew: `PLAUDIT_BLESS=1 cargo test --test it openapi`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::response::IntoResponse;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::OpenApi as _;

use super::problem::{Problem, ProblemKind};
use super::{
    accounts, batch, contribution_list, contributions, contributors, docs, forget, mailmap, operations,
    pages, recognitions, webhooks,
};

/// The handlers that are described. Anything missing here fails `every_route_is_described`.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "plaudit", description = include_str!("openapi/about.md")),
    paths(
        webhooks::described::github,
        webhooks::described::gitlab,
        contributions::create,
        batch::create,
        contribution_list::list,
        contributions::show,
        contributions::retract,
        contributors::list,
        contributors::show,
        forget::forget,
        accounts::link,
        accounts::unlink,
        contributors::contributions,
        mailmap::add,
        recognitions::list,
        recognitions::stream,
        recognitions::show,
        operations::alive,
        operations::ready,
        operations::metrics,
        operations::drain,
        operations::reconcile,
        pages::home::show,
        pages::contributor::show,
        pages::rules::show,
        pages::badge::show,
        pages::asset::serve,
        serve,
        docs::page,
        docs::asset,
    ),
    components(schemas(Problem)),
    servers((url = "/", description = "This instance")),
    tags(
        (name = "contributions", description = "Posted by any client, or sent by a host."),
        (name = "contributors", description = "Who contributed, and how often."),
        (name = "recognitions", description = "Whose tally reached a milestone."),
        (name = "webhooks", description = "Where GitHub and GitLab send their deliveries."),
        (name = "operations", description = "For operators of plaudit."),
        (name = "description", description = "The API and its documentation."),
    ),
)]
struct Described;

/// A request, and the real answer to it, as an example.
#[derive(Debug, Deserialize)]
pub struct Example {
    /// The operation's id.
    pub operation: String,
    /// Its name in the document.
    pub name: String,
    /// One sentence for readers.
    pub summary: String,
    /// The body of the request, where there is one.
    pub request: Option<Value>,
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer: JSON, or a string where it is not JSON.
    pub answer: Value,
}

/// The examples of this version.
const EXAMPLES: &str = include_str!("openapi/examples.json");

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| document(&serde_json::from_str::<Vec<Example>>(EXAMPLES).unwrap_or_default()));

/// The document, with these examples in it.
#[must_use]
pub fn document(examples: &[Example]) -> String {
    let mut document = serde_json::to_value(Described::openapi()).unwrap_or_default();
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.get_mut("schemas").and_then(Value::as_object_mut).into_iter().for_each(refer);
        components.insert("securitySchemes".into(), security_schemes());
        components.insert("headers".into(), headers());
        components.insert("responses".into(), of_no_operation(examples));
    }
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let items = paths.into_iter().flat_map(|paths| paths.iter_mut());
    for (path, item) in items {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let Some(operation) = operation.as_object_mut() else { continue };
            if method == "get" && is_revalidated(path) {
                revalidated(operation);
            }
            finish(operation, examples);
        }
    }
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

/// Serves the description of this API.
///
/// OpenAPI 3.1. Anyone may read it.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "readDescription", tag = "description",
    responses((status = 200, description = "This document.", body = Object, content_type = "application/json")),
)]
pub(super) async fn serve() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    (headers, DOCUMENT.as_str())
}

/// Makes the items of a list a reference to their component: utoipa writes generic types out in full.
fn refer(schemas: &mut Map<String, Value>) {
    for (name, list) in schemas {
        if let (Some(of), Some(items)) =
            (name.strip_prefix("ListOf_"), list.pointer_mut("/properties/items/items"))
        {
            *items = json!({"$ref": format!("#/components/schemas/{of}")});
        }
    }
}

/// Whether the answers of this path pass [`super::cache`].
fn is_revalidated(path: &str) -> bool {
    let is_read = path.starts_with("/v1/") && path != "/v1/recognitions/stream";
    is_read || path == "/openapi.json" || path.starts_with("/docs")
}

/// Adds what a client needs to ask whether an answer that it has is still the same.
fn revalidated(operation: &mut Map<String, Value>) {
    let known = json!({
        "name": "If-None-Match", "in": "header", "required": false, "schema": {"type": "string"},
        "description": "The `ETag` of an answer that you have: 304 if it would be the same.",
    });
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    parameters.as_array_mut().into_iter().for_each(|parameters| parameters.push(known.clone()));
    let tag = json!({"ETag": {"$ref": "#/components/headers/ETag"}});
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    responses.insert("304".into(), json!({"description": "The answer that you have is still the same."}));
    for status in ["200", "304"] {
        responses.get_mut(status).into_iter().for_each(|response| merge(response, "headers", tag.clone()));
    }
}

/// Replaces an operation's `x-problems` by the answers with these problems, and adds its examples.
fn finish(operation: &mut Map<String, Value>, examples: &[Example]) {
    let codes = operation.remove("x-problems");
    let codes: Vec<&str> =
        codes.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
    let mut by_status = BTreeMap::<StatusCode, Vec<ProblemKind>>::new();
    for kind in ProblemKind::ALL.into_iter().filter(|kind| codes.contains(&kind.code())) {
        by_status.entry(kind.status()).or_default().push(kind);
    }
    let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut own: Vec<&Example> = examples.iter().filter(|example| example.operation == id).collect();
    own.sort_by_key(|example| example.status);
    if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
        responses.extend(
            by_status.iter().map(|(status, kinds)| (status.as_str().to_owned(), failure(*status, kinds))),
        );
        for (status, response) in responses {
            let with_id = json!({"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}});
            merge(response, "headers", with_id);
            let answers = own.iter().filter(|example| example.status.to_string() == *status);
            show(response, answers.map(|example| (*example, &example.answer)));
        }
    }
    // A header or query parameter that is optional cannot be null.
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(kind) = parameter.pointer_mut("/schema/type")
            && let Some(first) = kind.as_array().and_then(|kinds| kinds.first()).cloned()
        {
            *kind = first;
        }
    }
    if let Some(body) = operation.get_mut("requestBody") {
        // An example of a body keeps to its schema, so the requests that are refused show only their answers.
        let taken = own.iter().filter(|example| example.status < 300);
        show(body, taken.filter_map(|example| Some((*example, example.request.as_ref()?))));
    }
    // Without it, readers cannot tell an operation that is for anyone from one that nobody thought about.
    operation.entry("security").or_insert_with(|| json!([]));
}

/// An answer that is a problem of one of these kinds, which all have this status.
fn failure(status: StatusCode, kinds: &[ProblemKind]) -> Value {
    let titles: Vec<_> = kinds.iter().map(|kind| format!("`{}`: {}.", kind.code(), kind.title())).collect();
    let types: Vec<_> = kinds.iter().map(|kind| kind.urn()).collect();
    let mut response = json!({
        "description": titles.join(" "),
        "content": {"application/problem+json": {"schema": {
            "$ref": "#/components/schemas/Problem",
            "properties": {"type": {"enum": types}, "status": {"const": status.as_u16()}},
        }}},
    });
    let header = match status.as_u16() {
        401 => "WWW-Authenticate",
        405 => "Allow",
        503 => "Retry-After",
        _ => return response,
    };
    merge(&mut response, "headers", json!({header: {"$ref": format!("#/components/headers/{header}")}}));
    response
}

/// The answers to requests that no operation describes: an unknown path, a wrong method, too large a head.
fn of_no_operation(examples: &[Example]) -> Value {
    let answers = [
        ("NoSuchPath", ProblemKind::NotFound),
        ("NoSuchMethod", ProblemKind::MethodNotAllowed),
        ("UnparsableTarget", ProblemKind::TargetTooLong),
        ("UnparsableHead", ProblemKind::HeadTooLarge),
    ];
    let answer = |(name, kind): (&str, ProblemKind)| {
        let mut response = failure(kind.status(), &[kind]);
        show(&mut response, examples.iter().filter(|e| e.operation == name).map(|e| (e, &e.answer)));
        (name.to_owned(), response)
    };
    Value::Object(answers.map(answer).into_iter().collect())
}

fn headers() -> Value {
    json!({
        "X-Request-Id": {
            "description": "The request's id, as in the log.", "required": true,
            "schema": {"type": "string", "format": "uuid"},
        },
        "WWW-Authenticate": {"description": "How to authenticate.", "required": true, "schema": {"type": "string"}},
        "ETag": {
            "description": "Which answer this is, for `If-None-Match`; the same with and without compression.",
            "required": true, "schema": {"type": "string"},
        },
        "Allow": {"description": "The methods of this path.", "required": true, "schema": {"type": "string"}},
        "Retry-After": {
            "description": "In how many seconds to send it again.", "required": true,
            "schema": {"type": "integer", "minimum": 0},
        },
    })
}

fn security_schemes() -> Value {
    json!({
        "token": {
            "type": "http", "scheme": "bearer",
            "description": "One of the tokens in `PLAUDIT_API_TOKENS`, which may do everything, in `PLAUDIT_POST_TOKENS`, which may only post contributions, or in `PLAUDIT_READ_TOKENS`, which may only read. Reading needs none with `PLAUDIT_PUBLIC_READ=true`, posting none with `PLAUDIT_OPEN_API=true`; where neither a token nor the secret of a host is configured, posting and draining are open to this very machine.",
        },
        "oidc": {
            "type": "openIdConnect", "openIdConnectUrl": "https://accounts.google.com/.well-known/openid-configuration",
            "description": "An OIDC token of the service account in `PLAUDIT_DRAIN_EMAIL` for the audience in `PLAUDIT_DRAIN_AUDIENCE`, as Cloud Scheduler sends it.",
        },
        "githubSignature": {
            "type": "apiKey", "in": "header", "name": "X-Hub-Signature-256",
            "description": "`sha256=` and the HMAC-SHA256 of the body's bytes in hex, with the webhook's secret.",
        },
        "gitlabSignature": {
            "type": "apiKey", "in": "header", "name": "webhook-signature",
            "description": "`v1,` and the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}` in base64, with the signing token.",
        },
        "gitlabToken": {
            "type": "apiKey", "in": "header", "name": "X-Gitlab-Token",
            "description": "The webhook's secret token; used only while no signing token is set.",
        },
    })
}

/// Adds examples to the first media type of a request or an answer.
fn show<'a>(described: &mut Value, examples: impl Iterator<Item = (&'a Example, &'a Value)>) {
    let content = described.get_mut("content").and_then(Value::as_object_mut);
    let Some(media) = content.and_then(|content| content.values_mut().next()) else { return };
    let shown: Map<String, Value> = examples
        .map(|(example, value)| (example.name.clone(), json!({"summary": example.summary, "value": value})))
        .collect();
    if !shown.is_empty() {
        merge(media, "examples", Value::Object(shown));
    }
}

/// Adds to the object under `key`, which is created if absent.
fn merge(value: &mut Value, key: &str, more: Value) {
    let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) else { return };
    let inner = object.entry(key).or_insert_with(|| json!({}));
    inner.as_object_mut().into_iter().for_each(|inner| inner.extend(more.clone()));
}
