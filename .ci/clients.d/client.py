"""A client of the package that openapi-python-client makes of /openapi.json."""

import os
from urllib.parse import parse_qs, urlsplit

from plaudit_client import AuthenticatedClient
from plaudit_client.api.contributions import create_contribution, get_contribution, retract_contribution
from plaudit_client.api.contributors import get_contributor, list_contributions_of
from plaudit_client.api.recognitions import get_recognition
from plaudit_client.models import (
    CountedContribution,
    Contributor,
    ListOfCountedContribution,
    NewContribution,
    PostedContribution,
    Problem,
    ProblemType,
    ProgressState,
    RecognitionAndDestinations,
    RetractedContribution,
)
from plaudit_client.types import UNSET, Unset

plaudit = AuthenticatedClient(base_url=os.environ["PLAUDIT_URL"], token=os.environ["PLAUDIT_TOKEN"])

# Posts: new, the same again, and refused with a problem.
for talk in (1, 2, 3):
    body = NewContribution(contributor="Ada", kind="talk", source="python", id=f"talk-{talk}")
    for status in (201, 200):
        posted = create_contribution.sync_detailed(client=plaudit, body=body)
        assert posted.status_code == status, posted
        assert isinstance(posted.parsed, PostedContribution) and posted.parsed.tally == talk, posted
refused = create_contribution.sync(client=plaudit, body=NewContribution(contributor="a/b", kind="Talk"))
assert isinstance(refused, Problem) and refused.type_ is ProblemType.URNPLAUDITPROBLEMINVALID_FIELDS, refused
assert not isinstance(refused.errors, Unset)
assert sorted(error.field for error in refused.errors) == ["contributor", "kind"], refused

# Reads by id.
one = get_contribution.sync("api:python:talk-1", client=plaudit)
assert isinstance(one, CountedContribution) and one.title is None, one
missing = get_contribution.sync("api:python:talk-9", client=plaudit)
assert isinstance(missing, Problem) and missing.status == 404, missing
ada = get_contributor.sync("ada", client=plaudit)
assert isinstance(ada, Contributor) and ada.tally == 3 and ada.host is None, ada

# Reads a list page by page.
ids: list[str] = []
cursor: str | Unset | None = UNSET
while cursor is not None:
    page = list_contributions_of.sync("ada", client=plaudit, limit=1, cursor=cursor)
    assert isinstance(page, ListOfCountedContribution), page
    ids += [item.id for item in page.items]
    cursor = parse_qs(urlsplit(page.next_).query)["cursor"][0] if page.next_ else None
assert ids == ["api:python:talk-3", "api:python:talk-2", "api:python:talk-1"], ids

# Reads the recognition, and where it went.
recognition = get_recognition.sync("ada:3", client=plaudit)
assert isinstance(recognition, RecognitionAndDestinations) and recognition.milestone == 3, recognition
assert [progress.state for progress in recognition.destinations] == [ProgressState.DONE], recognition

# Takes a contribution back.
retracted = retract_contribution.sync("api:python:talk-1", client=plaudit)
assert isinstance(retracted, RetractedContribution) and retracted.tally == 2, retracted
