"""The features, one file each; ORDER is the order in which their hooks run in every phase.

A feature's name is its configuration key, its file name, and the `by` of its verdicts.
"""

from __future__ import annotations

ORDER = (
    # identify
    "real_ip",
    "request_id",
    "trace",
    # admit
    "https_redirect",
    "redirect",
    "respond",
    # prepare and deliver
    "rewrite",
    "forwarded",
    "request_headers",
    "response_headers",
    "security_headers",
    # log
    "metrics",
    "access_log",
)
