"""May this request push to its source? A token per source, wherever a device can put one.

`Authorization: Bearer`, https://www.rfc-editor.org/rfc/rfc6750; `X-Api-Key`; Basic with the token as password,
https://www.rfc-editor.org/rfc/rfc7617; and, for what can do no other, `?token=`.
"""

import base64
import binascii
import hmac
from collections.abc import Collection

from starlette.requests import Request

from ingest.body import Refused

CHALLENGE = {"WWW-Authenticate": 'Basic realm="citybroker", charset="UTF-8", Bearer realm="citybroker"'}


def check(request: Request, tokens: Collection[str]) -> None:
    """Pass a request with a token of the source. Raises Refused: 401 without one, 403 with a wrong one."""
    given = offered(request)
    if not given:
        raise Refused(401, "a token is wanted: Authorization, X-Api-Key or ?token=", CHALLENGE)
    if not tokens:
        raise Refused(403, "nobody may push to this source: it has no token (CITYBROKER_TOKEN_…)")
    good = [hmac.compare_digest(token.encode(), one.encode()) for token in tokens for one in given]
    if not any(good):  # all were compared, so that time tells nothing
        raise Refused(403, "the token is not one of this source")


def offered(request: Request) -> list[str]:
    """All that may be a token; none of it is ever logged."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    found = [request.headers.get("x-api-key"), request.query_params.get("token")]
    if scheme.lower() == "bearer":
        found.append(value.strip())
    elif scheme.lower() == "basic":
        found.append(_password(value.strip()))
    return [one for one in found if one]


def _password(value: str) -> str | None:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
