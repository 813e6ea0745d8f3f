"""The path corpus: every spelling that has walked past a rule, with the one path it means or a refusal.

The rule is ours: unreserved escapes decoded, hexadecimal upper-cased, dot segments removed; `%2F`, `%5C` and `//` kept;
invalid escapes refused. Where another reader of the result might still see a dot segment, it is refused.
"""

from __future__ import annotations

from typing import NamedTuple


class Spelling(NamedTuple):
    """A path as sent, what it is normalised to (None: refused; `also_refused`: that is right too), and why."""

    raw: bytes
    normal: bytes | None
    why: str
    also_refused: bool = False


_DECODED = "unreserved escapes are decoded"
_DOTS = "dot segments are removed"
_KEPT = "kept: applications use it"
_INVALID = "an escape is two hexadecimal digits"
_HIDDEN = "a reader that decodes or cuts once more sees a dot segment"
_BYTES = "not ASCII: to be percent-encoded"
_CONTROL = "control characters are refused"

SPELLINGS: tuple[Spelling, ...] = (
    # plain
    Spelling(b"/", b"/", "the root"),
    Spelling(b"/admin", b"/admin", "nothing to do"),
    Spelling(b"/admin/", b"/admin/", "a slash at the end is another path"),
    Spelling(b"/Admin", b"/Admin", "paths have case"),
    Spelling(b"/a.b/c-d/e_f/g~h", b"/a.b/c-d/e_f/g~h", "unreserved"),
    Spelling(b"/a!$&'()*+,=:@", b"/a!$&'()*+,=:@", "sub-delims and pchar"),
    # unreserved escapes
    Spelling(b"/%61dmin", b"/admin", _DECODED),
    Spelling(b"/%41dmin", b"/Admin", _DECODED),
    Spelling(b"/admi%6e", b"/admin", _DECODED),
    Spelling(b"/admi%6E", b"/admin", _DECODED),
    Spelling(b"/%61%64%6d%69%6e", b"/admin", _DECODED),
    Spelling(b"/a%7Eb%5fc%2dd", b"/a~b_c-d", _DECODED),
    Spelling(b"/%30%39", b"/09", _DECODED),
    Spelling(b"/a%2Eb", b"/a.b", _DECODED),
    # the case of hexadecimal
    Spelling(b"/a%2fb", b"/a%2Fb", "hexadecimal is upper-cased; %2F is kept"),
    Spelling(b"/%e2%82%ac", b"/%E2%82%AC", "hexadecimal is upper-cased"),
    Spelling(b"/%c3%9F", b"/%C3%9F", "hexadecimal is upper-cased"),
    Spelling(b"/a%3bb", b"/a%3Bb", "reserved: stays escaped"),
    Spelling(b"/a%3fb", b"/a%3Fb", "reserved: decoded it would begin a query"),
    Spelling(b"/a%23b", b"/a%23b", "reserved: decoded it would begin a fragment"),
    Spelling(b"/a%20b", b"/a%20b", "a space stays escaped"),
    Spelling(b"/a%2bb", b"/a%2Bb", "reserved: stays escaped"),
    Spelling(b"/a+b", b"/a+b", "a plus is no space in a path"),
    Spelling(b"/a%40b%3ac", b"/a%40b%3Ac", "reserved: stays escaped"),
    # decoded once, never twice
    Spelling(b"/%25", b"/%25", "an escaped percent sign stays"),
    Spelling(b"/a%2561dmin", b"/a%2561dmin", "decoded once"),
    Spelling(b"/%252e%252e/admin", b"/%252e%252e/admin", "decoded once; what is behind decides for itself", True),
    Spelling(b"/a/%252e%252e/admin", b"/a/%252e%252e/admin", "decoded once", True),
    Spelling(b"/a%252fb", b"/a%252fb", "decoded once", True),
    Spelling(b"/%25%32%65", b"/%252e", "decoded once: what is made by decoding is not an escape", True),
    Spelling(b"/%2%35", None, _INVALID),
    # dot segments
    Spelling(b"/.", b"/", _DOTS),
    Spelling(b"/..", b"/", "above the root is the root"),
    Spelling(b"/./", b"/", _DOTS),
    Spelling(b"/../", b"/", "above the root is the root"),
    Spelling(b"/./admin", b"/admin", _DOTS),
    Spelling(b"/../admin", b"/admin", "above the root is the root"),
    Spelling(b"/../../../../etc/passwd", b"/etc/passwd", "above the root is the root"),
    Spelling(b"/public/../admin", b"/admin", _DOTS),
    Spelling(b"/public/./admin", b"/public/admin", _DOTS),
    Spelling(b"/public/x/../../admin", b"/admin", _DOTS),
    Spelling(b"/public/..", b"/", _DOTS),
    Spelling(b"/public/.", b"/public/", _DOTS),
    Spelling(b"/admin/.", b"/admin/", _DOTS),
    Spelling(b"/admin/..", b"/", _DOTS),
    Spelling(b"/admin/./x", b"/admin/x", _DOTS),
    Spelling(b"/a/b/../../../c", b"/c", "above the root is the root"),
    # dot segments written with escapes
    Spelling(b"/%2e%2e/admin", b"/admin", _DOTS),
    Spelling(b"/%2E%2E/admin", b"/admin", _DOTS),
    Spelling(b"/.%2e/admin", b"/admin", _DOTS),
    Spelling(b"/%2e./admin", b"/admin", _DOTS),
    Spelling(b"/%2e/admin", b"/admin", _DOTS),
    Spelling(b"/public/%2e%2e/admin", b"/admin", _DOTS),
    Spelling(b"/public/%2E./admin", b"/admin", _DOTS),
    Spelling(b"/public/%2e", b"/public/", _DOTS),
    Spelling(b"/public/x/%2e%2e/%2e%2e/admin", b"/admin", _DOTS),
    # dots that are names
    Spelling(b"/...", b"/...", "three dots are a name"),
    Spelling(b"/.../admin", b"/.../admin", "three dots are a name"),
    Spelling(b"/..admin", b"/..admin", "a name that begins with dots"),
    Spelling(b"/admin..", b"/admin..", "a name that ends with dots"),
    Spelling(b"/admin.", b"/admin.", "a trailing dot is another path"),
    Spelling(b"/a/.b", b"/a/.b", "a name that begins with a dot"),
    Spelling(b"/admin%2e", b"/admin.", _DECODED),
    # slashes
    Spelling(b"//admin", b"//admin", _KEPT),
    Spelling(b"/public//admin", b"/public//admin", _KEPT),
    Spelling(b"/admin//", b"/admin//", _KEPT),
    Spelling(b"///", b"///", _KEPT),
    Spelling(b"//./admin", b"//admin", "dot segments are removed; the empty segment is kept"),
    Spelling(b"//../admin", b"/admin", "an empty segment is a segment, and dots take it away"),
    Spelling(b"/public//../admin", b"/public/admin", "an empty segment is a segment, and dots take it away"),
    Spelling(b"/public//../../admin", b"/admin", _DOTS),
    Spelling(b"/a%2Fb", b"/a%2Fb", _KEPT),
    Spelling(b"/%2fadmin", b"/%2Fadmin", _KEPT),
    Spelling(b"/%2Fadmin", b"/%2Fadmin", _KEPT),
    Spelling(b"/public%2fadmin", b"/public%2Fadmin", _KEPT),
    Spelling(b"/%2f%2fadmin", b"/%2F%2Fadmin", _KEPT),
    # dots beside an escaped slash
    Spelling(b"/public%2f..%2fadmin", None, _HIDDEN),
    Spelling(b"/public%2F../admin", None, _HIDDEN),
    Spelling(b"/..%2fadmin", None, _HIDDEN),
    Spelling(b"/%2e%2e%2fadmin", None, _HIDDEN),
    Spelling(b"/public/..%2fadmin", None, _HIDDEN),
    Spelling(b"/public/%2e%2e%2fadmin", None, _HIDDEN),
    Spelling(b"/public/.%2e%2Fadmin", None, _HIDDEN),
    Spelling(b"/public/.%2fadmin", None, _HIDDEN),
    Spelling(b"/public%2f..", None, _HIDDEN),
    # backslashes
    Spelling(b"/public\\..\\admin", None, "a backslash is a slash to some"),
    Spelling(b"/\\admin", None, "a backslash is a slash to some"),
    Spelling(b"/public/..\\admin", None, "a backslash is a slash to some"),
    Spelling(b"/admin\\", None, "a backslash is a slash to some"),
    Spelling(b"/a%5cb", b"/a%5Cb", _KEPT),
    Spelling(b"/%5Cadmin", b"/%5Cadmin", _KEPT),
    Spelling(b"/public/..%5cadmin", None, _HIDDEN),
    Spelling(b"/public%5c..%5cadmin", None, _HIDDEN),
    Spelling(b"/%2e%2e%5cadmin", None, _HIDDEN),
    # parameters
    Spelling(b"/admin;v=1", b"/admin;v=1", "parameters are part of a segment"),
    Spelling(b"/admin;", b"/admin;", "parameters are part of a segment"),
    Spelling(b"/;/admin", b"/;/admin", "a segment that is all parameter", True),
    Spelling(b"/;a=b/admin", b"/;a=b/admin", "a segment that is all parameter", True),
    Spelling(b"/..;/admin", None, _HIDDEN),
    Spelling(b"/public/..;/admin", None, _HIDDEN),
    Spelling(b"/public/..;a=b/admin", None, _HIDDEN),
    Spelling(b"/public/.;/admin", None, _HIDDEN),
    Spelling(b"/public/%2e%2e;/admin", None, _HIDDEN),
    Spelling(b"/public/..;", None, _HIDDEN),
    Spelling(b"/public/..%3b/admin", b"/public/..%3B/admin", "an escaped semicolon is a name here", True),
    # overlong and invalid UTF-8
    Spelling(b"/%c0%ae%c0%ae/admin", b"/%C0%AE%C0%AE/admin", "overlong UTF-8 is never decoded here", True),
    Spelling(b"/%c0%af", b"/%C0%AF", "overlong UTF-8 is never decoded here", True),
    Spelling(b"/%e0%80%ae%e0%80%ae/admin", b"/%E0%80%AE%E0%80%AE/admin", "overlong UTF-8 is never decoded here", True),
    Spelling(b"/%c1%9c", b"/%C1%9C", "overlong UTF-8 is never decoded here", True),
    Spelling(b"/%ff", b"/%FF", "bytes that are no UTF-8"),
    Spelling(b"/%EF%BC%8Fadmin", b"/%EF%BC%8Fadmin", "a full-width slash is a character"),
    Spelling(b"/%e2%80%a4%e2%80%a4/admin", b"/%E2%80%A4%E2%80%A4/admin", "one-dot leaders are characters"),
    Spelling(b"/%E2%88%95admin", b"/%E2%88%95admin", "a division slash is a character"),
    # invalid escapes
    Spelling(b"/%", None, _INVALID),
    Spelling(b"/a%", None, _INVALID),
    Spelling(b"/a%2", None, _INVALID),
    Spelling(b"/%zz", None, _INVALID),
    Spelling(b"/%2x", None, _INVALID),
    Spelling(b"/%x2", None, _INVALID),
    Spelling(b"/% 2e", None, _INVALID),
    Spelling(b"/%%32e", None, _INVALID),
    Spelling(b"/%u002e%u002e/admin", None, "the old %u form is invalid"),
    Spelling(b"/%uff0e%uff0e/admin", None, "the old %u form is invalid"),
    Spelling(b"/%+2e/admin", None, _INVALID),
    # control characters
    Spelling(b"/admin%00", None, "an escaped NUL ends a string in some readers"),
    Spelling(b"/%00/admin", None, "an escaped NUL ends a string in some readers"),
    Spelling(b"/admin%00.css", None, "an escaped NUL ends a string in some readers"),
    Spelling(b"/admin\x00", None, _CONTROL),
    Spelling(b"/admin\x0b", None, _CONTROL),
    Spelling(b"/ad\tmin", None, _CONTROL),
    Spelling(b"/ad\x7fmin", None, _CONTROL),
    Spelling(b"/admin%20", b"/admin%20", "a trailing space is another path"),
    Spelling(b"/admin%09", b"/admin%09", "stays escaped", True),
    Spelling(b"/admin%0d%0aX-A:b", b"/admin%0D%0AX-A:b", "stays escaped: never a line", True),
    Spelling(b"/admin%7f", b"/admin%7F", "stays escaped", True),
    # raw bytes
    Spelling(b"/\xc0\xae\xc0\xae/admin", None, _BYTES),
    Spelling("/größe".encode(), None, _BYTES),
    Spelling(b"/admin\xa0", None, _BYTES),
    Spelling(b"/admin#x", None, "a fragment is never sent"),
    Spelling(b"/admin%23x", b"/admin%23x", "an escaped number sign is a character"),
    # not allowed raw, and sent by browsers all the same: escaped
    Spelling(b"/a[b]", b"/a%5Bb%5D", "escaped as a browser should have", True),
    Spelling(b"/a{b}|c", b"/a%7Bb%7D%7Cc", "escaped as a browser should have", True),
    Spelling(b'/a"b', b"/a%22b", "escaped as a browser should have", True),
    Spelling(b"/a<b>", b"/a%3Cb%3E", "escaped as a browser should have", True),
    Spelling(b"/a^b`c", b"/a%5Eb%60c", "escaped as a browser should have", True),
)  # fmt: skip
