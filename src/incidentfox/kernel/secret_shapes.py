"""What a secret looks like: the shapes that issuers document, and the names that stand before a value.

Sources: the issuers' own documentation of their token formats, RFC 7468 (PEM), RFC 7519 (JWT), RFC 3986 section 3.2.1
(userinfo), RFC 6750 and RFC 7617 (Authorization), and gitleaks, from which the hints are taken as an idea: a pattern is
only tried where one of its literal words occurs.

Rules for whoever adds one, so that hostile text costs no more than other text, and other text next to nothing:

* hints are long enough to be rare in text that holds no secret; patterns that are matched on folded text (`folded`) say
  their names in lower case, so that the engine skips at full speed to where one may begin;
* no unbounded repetition in front of the fixed part, none inside of another, and none that may start at every
  character of what it repeats: a look-behind pins it to the start of the run;
* a token is taken with everything that may belong to it (`{20,}`, not `{20}`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """One shape. `hints` in lower case: where none of them occurs, the pattern is not tried.

    The group `secret` is what is replaced, by `[redacted:<kind>]`, unless `spared(secret)`. `folded`: the pattern is
    matched on the text in lower case. `needs` occurs in every match, too: for hints that are common on their own.
    """

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    spared: Callable[[str], object] = lambda _: False
    folded: bool = False
    needs: str = ""


def _token(kind: str, hints: str, pattern: str) -> Shape:
    """A shape that is only ever a credential, wherever it stands on its own."""
    return Shape(kind, tuple(hints.split()), re.compile(rf"(?<![A-Za-z0-9_-])(?P<secret>{pattern})"))


def _after(
    kind: str, hints: tuple[str, ...], pattern: str, spared: Callable[[str], object] | None = None, needs: str = ""
) -> Shape:
    """A shape of folded text: what the group `secret` holds, behind words that stay."""
    return Shape(kind, hints, re.compile(pattern), spared or (lambda _: False), folded=True, needs=needs)


_WORD = "[A-Za-z0-9_-]"

_TOKENS = (
    _token("github-token", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"gh[pousr]_\w{20,}|github_pat_\w{22,}"),
    _token("gitlab-token",
        "glpat- gldt- glptt- glrt- glcbt- gloas- glsoat- glimt- glagent- glffct- glft-",
        rf"gl(?:pat|dt|ptt|rt|cbt|oas|soat|imt|agent|ffct|ft)-{_WORD}{{20,}}"),
    _token("slack-token", "xox xapp-", rf"xox[a-z]-{_WORD}{{10,}}|xapp-{_WORD}{{10,}}"),
    _token("aws-key", "akia asia aroa aida abia acca", rf"(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{{16}}(?!{_WORD})"),
    _token("google-key", "aiza ya29. gocspx-", rf"AIza{_WORD}{{35,}}|ya29\.{_WORD}{{20,}}|GOCSPX-{_WORD}{{20,}}"),
    _token("stripe-key", "_live_ _test_", r"(?:sk|pk|rk)_(?:live|test)_\w{10,}"),
    _token("webhook-secret", "whsec_", r"whsec_[A-Za-z0-9+/=_-]{16,}"),
    _token("api-key", "sk-", rf"sk-(?={_WORD}{{0,60}}[0-9]){_WORD}{{20,}}"),
    _token(
        "api-key",
        "npm_ pypi- rubygems_ hf_ gsk_ xai- pplx- dop_v1_ glsa_ glc_ shpat_ shpss_ lin_api_ pmak- sntrys_ dckr_pat_",
        rf"(?:npm_|rubygems_|hf_|gsk_|xai-|pplx-|dop_v1_|glsa_|glc_|shp(?:at|ss|ca|pa)_|lin_api_|PMAK-|sntrys_"
        rf"|dckr_pat_|pypi-){_WORD}{{20,}}",
    ),
    _token("api-key", "sg.", rf"SG\.{_WORD}{{16,}}\.{_WORD}{{16,}}"),
    _token("api-key", "atatt3 atctt3 hvs. hvb. age-secret-key-1 dapi", rf"(?:ATATT3|ATCTT3)[A-Za-z0-9_=-]{{20,}}"
           rf"|hv[sb]\.{_WORD}{{20,}}|AGE-SECRET-KEY-1[A-Z0-9]{{20,}}|dapi[0-9a-f]{{32}}(?!{_WORD})"),
    _token("token", "ifo_ ift_ ifc_", rf"if[oct]_{_WORD}{{49,}}"),
    _token("jwt", "eyj", rf"eyJ{_WORD}{{8,}}\.{_WORD}{{8,}}(?:\.{_WORD}*)?"),
)  # fmt: skip

# Names whose value is a secret, whatever it looks like.
_NAMES = (
    r"password|passwd|passphrase|passcode|(?<![a-z])pass|pwd"
    r"|secret(?:[_-]?access)?(?:[_-]?key(?:[_-]base)?)?"
    r"|(?:api|access|private|account|shared[_-]?access|encryption|signing|master)[_-]?key"
    r"|(?:access|auth|refresh|id|session|security|bearer|csrf)[_-]?token|token"
    r"|credentials?"
)
_NAME_HINTS = ("pass", "pwd", "secret", "key", "token", "credential")

SECRET_KEY = re.compile(rf"(?:{_NAMES}|authorization|cookie)\Z")
"""A field whose text is a secret: its name, in lower case, ends in one of the names."""

_CLOSING = r"[\"'`\\\]]{0,4}"  # what may stand between a name and its sign: `"password":`, `env["TOKEN"] =`
_SIGN = rf"{_CLOSING}\s{{0,4}}(?:=>|:=|==?|:)\s{{0,4}}"
_TYPED = r"\s{0,4}:\s{0,4}[\w.\[\]|]{1,40}\s{1,4}=\s{0,4}"  # `password: str = "…"`
_MARK = r"(?!\[redacted:)"

# Not a value but what stands for one, and what people write after "token:" when they speak of it.
_STANDS_FOR_ONE = re.compile(
    r"(?:[A-Za-z_][\w.]{0,200}\(|\$\{?\w|\{\{|%[({]|os\.|process\.|self\.|env\b|[\]*.]+\Z"
    r"|(?:none|null|nil|true|false|undefined|str|string|bytes|optional|any|secretstr|int|bool)\b)",
)
_SPOKEN_OF = re.compile(
    r"(?:expired|invalid|missing|required|revoked|rejected|denied|refused|failed|unknown|empty|mismatch|malformed"
    r"|unauthori[sz]ed|authentication|validation|verification|rotation|rotated|changed|refresh\w*|not|error|found"
    r"|disabled|enabled|wrong|incorrect)[.:!]?\Z"
)


def _is_no_value(value: str) -> object:
    return _STANDS_FOR_ONE.match(value) or _SPOKEN_OF.match(value)


def _is_placeholder(value: str) -> object:
    return value.startswith(("${", "{{", "<", "%("))


_VALUE = r"(?P<secret>[^\s\"'`\\,;&)}<>\[][^\s\"'`\\,;&)}<>]{3,})"

_NAMED = (
    # In quotes, up to the same quotes: `"password": "two words"`, and the same inside of a JSON string (`\"`).
    _after(
        "value",
        _NAME_HINTS,
        rf"(?:{_NAMES})(?:{_TYPED}|{_SIGN})[rbfu]?(?P<quote>\\{{0,3}}[\"'`]){_MARK}"
        rf"(?P<secret>(?:(?!(?P=quote))[^\r\n])+)(?=(?P=quote))",
        _is_placeholder,
    ),
    _after("value", _NAME_HINTS, rf"(?:{_NAMES}){_SIGN}[\"'`\\]{{0,3}}{_MARK}{_VALUE}", _is_no_value),
    # Command lines: `--db-password hunter2`, `curl -u user:password`, `curl --proxy-user user:password`.
    _after("value", _NAME_HINTS, rf"--[a-z-]{{0,30}}(?:{_NAMES})\s{{1,4}}{_MARK}(?!-){_VALUE}", _is_no_value),
    _after(
        "value",
        (" -u", "-user"),
        rf"(?: -u\s{{0,4}}|--(?:proxy-)?user(?:\s{{1,4}}|=))[\w.@-]{{1,64}}:{_MARK}(?P<secret>[^\s\"'\\]{{3,}})",
    ),
)

_CARRIERS = (
    _after(
        "credentials",
        ("://",),
        r"://(?P<secret>[^\s/?#\"'<>@:\[]{0,256}:[^\s/?#\"'<>\[]{1,512}|[^\s/?#\"'<>@:\[]{20,512})@",
        needs="@",
    ),
    # Data source names of Go's drivers: `user:password@tcp(host:3306)/database`.
    _after(
        "credentials",
        ("@tcp(", "@unix("),
        rf"(?<![\w.\[-])[\w.-]{{1,64}}:{_MARK}(?P<secret>[^\s\"'@()\[]{{1,256}})@(?:tcp|unix)\(",
    ),
    _after(
        "slack-hook",
        ("hooks.slack",),
        r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/(?P<secret>[a-z0-9/_-]+)",
    ),
    _after("webhook", ("api/webhooks/",), r"api/webhooks/(?P<secret>[a-z0-9/_-]+)"),
    _after(
        "credentials",
        ("authorization",),
        rf"authorization{_SIGN}[\"'\\]{{0,3}}"
        rf"(?:bearer|basic|digest|token|negotiate|ntlm|hmac|apikey|aws4-hmac-sha256)\s{{1,4}}{_MARK}"
        r"(?P<secret>[^\r\n\"'\\]{4,})",
    ),
    _after(
        "credentials",
        ("authorization",),
        rf"authorization{_SIGN}[\"'\\]{{0,3}}{_MARK}(?=[^\s\"'\\,;]{{0,64}}[0-9])(?P<secret>[^\s\"'\\,;]{{12,}})",
    ),
    _after(
        "credentials",
        ("bearer ", "basic "),
        rf"(?:bearer|basic)\s{{1,4}}{_MARK}(?P<secret>[a-z0-9._~+/-]{{8,}}={{0,2}})",
        lambda value: re.fullmatch(r"[a-z./-]+", value),
    ),
    _after(
        "cookie",
        ("cookie",),
        rf"cookie{_SIGN}[\"'\\]{{0,3}}{_MARK}(?P<secret>[^\r\n\"'\\=\s]{{1,128}}=[^\r\n\"'\\]+)",
    ),
    _after(
        "signature",
        ("sig=", "signature="),
        r"[?&](?:sig|x-amz-signature|x-goog-signature)=(?P<secret>[a-z0-9%/+=_-]{16,})",
    ),
)

SHAPES: tuple[Shape, ...] = (*_CARRIERS, *_TOKENS, *_NAMED)
"""In this order: what carries a credential, what is one, what a name says is one."""


def _one_of(words: Iterable[str]) -> str:
    """A pattern that matches where one of the words begins: their prefix tree, which reads the text once for all."""
    tree: dict[str, Any] = {}
    for word in words:
        branch = tree
        for character in word:
            branch = branch.setdefault(character, {})
        branch[""] = {}
    return _branches(tree)


def _branches(tree: dict[str, Any]) -> str:
    if "" in tree:
        return ""  # a word ends here: whatever would follow, it has occurred
    return f"(?:{'|'.join(re.escape(first) + _branches(rest) for first, rest in tree.items())})"


HINT = re.compile(_one_of(hint for shape in SHAPES if not shape.needs for hint in shape.hints))
"""Folded text in which this is not found, nor both of a HINT_PAIRS, holds no secret, private keys apart."""
HINT_PAIRS = tuple((hint, shape.needs) for shape in SHAPES if shape.needs for hint in shape.hints)
SHORTEST = 8
"""The shortest text that can hold one: `pwd=abcd`."""

PEM_HINT = "-----begin"
PEM_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
PEM_END = re.compile(r"-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
PEM_LONGEST = 32_768
"""Characters between BEGIN and END: twice an RSA key of 16,384 bits in PEM."""
PEM_BODY_CUT = re.compile(r"(?:(?:\\[nr]|[\s\"'+-]){1,6}[A-Za-z0-9+/=]{8,}(?![^\s\\\"']))*")
"""What follows a BEGIN whose END is missing: lines of base64, real or escaped."""

EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,7}\.[A-Za-z]{2,24}"
    r"(?![A-Za-z0-9-])"
)
"""An address of RFC 5321 in its usual form (no quoted local part, no address literal)."""
