"""The request corpus as one list: malformed, ambiguous, dangerous, and legitimate but unusual requests.

REFUSED, ACCEPTED and EITHER are its parts by verdict. The cases stand in the modules beside this one, by subject.
"""

from __future__ import annotations

from tests.kit.corpus import beginnings, behaviour, chunks, fields, framing, legitimate, request_lines
from tests.kit.corpus.case import Case, Received

__all__ = ["ACCEPTED", "CASES", "EITHER", "REFUSED", "SUBJECTS", "Case", "Received"]

SUBJECTS: dict[str, tuple[Case, ...]] = {
    "framing": framing.CASES,
    "chunks": chunks.CASES,
    "request lines": request_lines.CASES,
    "fields": fields.CASES,
    "behaviour": behaviour.CASES,
    "legitimate": legitimate.CASES,
    "beginnings": beginnings.CASES,
}
CASES = tuple(case for cases in SUBJECTS.values() for case in cases)
REFUSED = tuple(case for case in CASES if case.verdict == "refuse")
ACCEPTED = tuple(case for case in CASES if case.verdict == "accept")
EITHER = tuple(case for case in CASES if case.verdict == "either")
