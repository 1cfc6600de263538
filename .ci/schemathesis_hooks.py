"""What schemathesis cannot read from the description: how hosts sign, and the rules that no schema can express."""

import hashlib
import hmac
import os

import schemathesis

SECRET = os.environ["PLAUDIT_GITHUB_SECRET"].encode()
TOKEN = os.environ["PLAUDIT_GITLAB_SECRET"]
SIGNED = os.environ.get("SIGNED") == "1"


@schemathesis.hook
def before_call(context, case, kwargs):
    """Signs every delivery over the bytes that are sent, if SIGNED is set."""
    if SIGNED:
        kwargs["auth"] = prove


def prove(request):
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else body
    if isinstance(body, bytes):
        request.headers["X-Hub-Signature-256"] = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    request.headers["X-Gitlab-Token"] = TOKEN
    return request


# The allowed reasons for refusing data that fits its schema: the field, and a word of the reason.
REASONS = {
    "listContributions": [
        ("cursor", ""),
        ("contributor", "exactly one"),
        ("contributor", "plain name"),
        ("contributor", "the ':'"),
        ("repository", "a name"),
        ("since", "RFC 3339"),
        ("until", "RFC 3339"),
    ],
    "listContributors": [("cursor", ""), ("order", "not together with search"), ("host", "a host"), ("search", "bytes")],
    "listContributionsOf": [("cursor", ""), ("since", "RFC 3339"), ("until", "RFC 3339")],
    "listRecognitions": [
        ("cursor", ""),
        ("contributor", "plain name"),
        ("contributor", "the ':'"),
        ("since", "RFC 3339"),
    ],
    "linkAccount": [
        ("id", "bytes"),
        ("id", "the ':'"),
        ("account", "bytes"),
        ("account", "forgotten"),
        ("account", "the ':'"),
    ],
    "createContribution": [
        ("id", "not both"),
        ("id", "bytes"),
        ("Idempotency-Key", "bytes"),
        ("contributor", "bytes"),
        ("contributor", "the ':'"),
        ("contributor", "forgotten"),
        ("repository", "bytes"),
        ("url", "URL"),
        ("occurred_at", "RFC 3339"),
    ],
}


@schemathesis.check
def refused_for_a_reason(ctx, response, case):
    """Data that fits the schema is refused only by a rule that no schema can express."""
    operation = case.operation.definition.raw.get("operationId")
    if response.status_code != 400 or operation not in REASONS or case.meta is None:
        return
    if case.meta.generation.mode.is_negative:
        return
    for error in response.json().get("errors", [{"field": "", "detail": response.json()["detail"]}]):
        known = any(error["field"] == field and word in error["detail"] for field, word in REASONS[operation])
        assert known, f"refused, though it fits the schema: {error['field']}: {error['detail']}"
