"""The field's words: families of trouble, how signals and code speak of each, and how names split into words.

Used by the change ranking and the diagnosis. A family groups the words that one kind of failure uses in
telemetry (`signal`) and the words that code able to cause it uses (`code`): "context deadline exceeded" and
`WithTimeout` are both `timeout`. The lists are general vocabulary of the trade, not of any product.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of trouble. Both patterns are case-insensitive and searched anywhere in the text."""

    signal: re.Pattern[str]
    code: re.Pattern[str]


def _family(signal: str, code: str) -> Family:
    return Family(re.compile(signal, re.IGNORECASE), re.compile(code, re.IGNORECASE))


FAMILIES: Mapping[str, Family] = {
    "timeout": _family(
        r"deadline|time[d_ -]?out\b|timed out|timeouts?\b|cancell?ed|latency|duration|slow",
        r"time_?out|deadline|call_?budget|keep_?alive|\bsleep\b",
    ),
    "pool": _family(
        r"pool|too many (clients|connections)|remaining connection slots|connections? exhaust|semaphore"
        r"|max_?conn|acquir\w+ (a )?connection",
        r"pool|max_?(open_?|idle_?)?conn|connections?\b|semaphore|max_?open|acquire",
    ),
    "cache": _family(
        r"cache|hit_?ratio|stampede|\bredis\b|memcache|\bstale\b|evict(ed|ion)s?\b.*key",
        r"cache|\bredis|memcache|\bttl|_ttl|ttl\b|expir|evict|memoi[sz]|max_?age|stale",
    ),
    "memory": _family(
        r"\boom|out of memory|memory|heap|\brss\b|\bgc\b|gc_pause|exit(ed)? (code )?137",
        r"memory|heap|buffer|unbounded|retain|max_?entries|max_?size|append\(|evict|\bxmx|free\(|weakref|listener",
    ),
    "cpu": _family(
        r"\bcpu|cpu_|throttl|saturat|event loop (lag|blocked)",
        r"\bcpu|regex|re\.compile|pattern\.compile|\bsort|busy|spin|interval|hash|bcrypt|rounds|cost\b|compress",
    ),
    "query": _family(
        r"quer(y|ies)|\bsql|rows?_|_rows|\bdb_|database|seq(uential)? scan|full (table )?scan|statement",
        r"\bselect\b|\blimit\b|\bwhere\b|\bjoin\b|\bindex\b|\bquer(y|ies)|order by|\bfind(all|many|_all)?\("
        r"|preload|prefetch|eager|lazy|paginat|page_?size|per_?page|\bsql\b",
    ),
    "schema": _family(
        r"deserial|unmarshal|decod|pars(e|ing)\b|schema|missing (required )?(field|column|key)|unknown (field|column)"
        r"|unexpected (token|field|type|value)|validation|invalid (type|value|format|enum)|column|json|proto(buf)?\b"
        r"|incompatible|serializ|keyerror",
        r"json:\"|json_?name|column|alter table|rename|\bschema|required|\bfield|proto|\benum\b|serial|\bstrict\b"
        r"|unmarshal|decode|alias",
    ),
    "absent": _family(
        r"not found|does not exist|doesn't exist|no such (table|column|file|key|method|bucket|topic|index|module)"
        r"|undefined|unregistered|not registered|unknown (handler|method|command|type|topic|route)|\b404\b|missing"
        r"|cannot find|no handler|not configured|unset|enoent|module ?not ?found|importerror",
        r"regist|import |require\(|route|handler|mount|provide|bootstrap|\binit|seed|bind\b|getenv|environ|env\b"
        r"|create table|add_?column|\bfrom [a-z_]+\b|setup|configure|install",
    ),
    "null": _family(
        r"nil pointer|null ?pointer|nonetype|null reference|cannot read propert|undefined is not|is not a function"
        r"|invalid memory address|none value|unwrap|attributeerror|typeerror|keyerror|index out of|out of bounds"
        r"|indexerror|segfault|segmentation fault|nullreference|nosuchelement",
        r"\bnil\b|\bnull\b|\bnone\b|undefined|optional|unwrap|\?\.|\.get\(|ispresent|is_some|\[0\]",
    ),
    "retry": _family(
        r"retr(y|ies|ying)|attempts?\b|back-?off|storm|amplif|circuit",
        r"retr(y|ies)|attempt|back_?off|jitter|max_?elapsed|circuit|breaker",
    ),
    "rate": _family(
        r"rate.?limit|\b429\b|too many requests|quota|throttl|shed",
        r"rate_?limit|quota|burst|throttl|\bqps|\brps|(?<![a-z])limiter|concurrency|max_?in_?flight|"
        r"per_?second|token_?bucket",
    ),
    "lock": _family(
        r"\block\b|locks?_|lock (wait )?timeout|deadlock|idle in transaction|blocked|serializ(e|"
        r"ation) (access|failure)"
        r"|contention|mutex|could not obtain lock",
        r"\block|mutex|transaction|\bbegin\b|\.begin|commit|rollback|for update|synchroni[sz]ed|\btx\b|autocommit"
        r"|isolation|atomic|savepoint",
    ),
    "race": _family(
        r"race|duplicate (key|entry|charge|order|event|processing)|double|concurrent (map|modification|update)"
        r"|inconsistent|lost update|out of order|optimistic"
        r"|not (yet )?(connected|ready|initiali[sz]ed)",
        r"mutex|\block|atomic|synchroni[sz]ed|\bgo func|goroutine|async|await|thread|concurrent|idempot|dedup|unique"
        r"|once\b|volatile",
    ),
    "tls": _family(
        r"x509|certificate|\btls\b|\bssl\b|handshake|\bcert\b|unknown authority",
        r"\btls|\bcert|ca_?bundle|root_?ca|x509|cipher|min_?version|verify|truststore|keystore|\bssl",
    ),
    "auth": _family(
        r"\b40[13]\b|unauthori[sz]ed|forbidden|permission denied|access ?denied|invalid (token|signature|credentials)"
        r"|\bjwt\b|authenticat|auth_|login|csrf|\bcors\b|token",
        r"auth|token|\bjwt|\brole|permission|\bscope|polic(y|ies)|secret|issuer|audience|\bacl|\bcors|credential"
        r"|signature|leeway|session|cookie|origin",
    ),
    "dns": _family(
        r"no such host|nxdomain|servfail|getaddrinfo|enotfound|eai_again|name resol|could(n't| not) resolve"
        r"|resolve host|lookup \S+\.\S+|temporary failure in name|\bdns\b|coredns|unknown ?host",
        r"\bdns|resolver|nameserver|ndots|resolv\.conf|dnspolicy|coredns|search_?domain",
    ),
    "connect": _family(
        r"connection refused|econnrefused|dial tcp|no route|unreachable|connection reset|econnreset|upstream connect"
        r"|bad gateway|\b50[23]\b|no healthy (upstream|endpoint)|broken pipe",
        r"\bhost|\bport\b|sockets?|keep_?alive|addr|\burl|endpoint|listen|\bbind\b|network_?policy|egress|ingress|target_?port|"
        r"selector|proxy",
    ),
    "queue": _family(
        r"\blag\b|_lag|backlog|queue|consumer|rebalanc|\boffset|unacked|dead.?letter|oldest_?message|not acking",
        r"consumer|batch|prefetch|partition|max_?poll|queue|\back\b|\bnack|offset|topic|group_?id|concurrency|linger",
    ),
    "disk": _family(
        r"no space left|\bdisk|enospc|inode|volume|filesystem|\bwal\b|io_?wait",
        r"read_?only_?(root)?_?filesystem|retention|rotat|\bdisk|volume|\btmp\b|temp_?file|cleanup|vacuum|log_?level|debug|max_?bytes|compaction",
    ),
    "threads": _family(
        r"goroutine|thread|too many open files|file descriptor|\bfds?\b|open_fds|leak|worker|executor|starv|"
        r"event loop",
        r"\bgo func|goroutine|thread|spawn|executor|\.close\(|\bdefer\b|await|\basync|readfilesync|cancel|unsubscribe"
        r"|dispose|worker|time\.after|ticker|body\.close|with open|block",
    ),
    "startup": _family(
        r"crash ?loop|failed to start|startup|readiness|liveness|probe|exit code|restart|"
        r"config(uration)? (error|invalid)"
        r"|back-off restarting|unhealthy|image ?pull",
        r"probe|readiness|liveness|entrypoint|\bcommand|getenv|environ|\benv\b|image:|initial_?delay|"
        r"failure_?threshold"
        r"|\bport\b|config",
    ),
    "time": _family(
        r"time ?zone|\butc\b|invalid date|date.?time|timestamp|\bdst\b|clock|leap|in the future|cron|schedul",
        r"timezone|\butc|\btz\b|zoneinfo|strftime|strptime|\bdate|_date|now\(|timestamp|epoch|cron|schedule|"
        r"\blocal\(",
    ),
    "amount": _family(
        r"mismatch|incorrect|wrong (amount|total|price)|negative|overcharg|undercharg|overflow|nan\b|"
        r"precision|checksum"
        r"|reconcil|balance|discrepan",
        r"round|float|decimal|\bint\b|int32|int64|bigint|cents|currency|price|amount|total|tax|discount|"
        r"percent|/ ?100"
        r"|\* ?100|overflow",
    ),
    "traffic": _family(
        r"requests?_per|_per_(second|sec|minute|min)\b|_rps|\brps\b|_qps|\bqps\b|traffic|throughput"
        r"|request_rate|overload|queue full",
        r"replica|traffic|weight|autoscal|\bhpa\b|min_?replicas|max_?replicas|scale",
    ),
}


def word_set(text: str) -> frozenset[str]:
    """The words of a white-space separated list."""
    return frozenset(text.split())


# Words that occur in every signal and so tell nothing.
STOP_WORDS = word_set(
    """
    a an and any are as at be been but by can could did do does for from get got had has have if in into is it
    its not no nor of off on or other out over per set so than that the their then there these this to too up
    upon was were when where which while will with without after before new old now via using used use above
    below during error errors err fail failed failing failure failures exception warning warn info code status
    desc msg message service services svc server client request requests response call calls called total
    count ratio rate p50 p95 p99 seconds second minutes minute sec min ms http https api rpc grpc v1 v2 return
    returned returning string int bool func function const var let self null nil none true false type value
    values data key name id ids time ctx context rising high low sustained critical exceeded exceeds observed
    threshold received unable cannot unexpected app main default result results item items object args arg
    param params run running line file path test
    """
)

_SEAM = re.compile(r"_+|(?<=[a-z0-9])(?=[A-Z][a-z])")
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[.-][A-Za-z_][A-Za-z0-9_]*)*")


def families_in(text: str) -> frozenset[str]:
    """The families that telemetry text speaks of."""
    text = spelled_out(text)
    return frozenset(name for name, family in FAMILIES.items() if family.signal.search(text))


def spelled_out(text: str) -> str:
    """The text, and once more with its names taken apart: `certificate_expired` and `CertificateExpired` say
    "certificate expired".
    """
    return f"{text}\n{_SEAM.sub(' ', text)}"


def snake_case(metric: str) -> str:
    """A metric's name in Prometheus's spelling, whoever named it: `system.cpuStolen:vm-1` is system_cpu_stolen_vm_1."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", metric).lower())


def code_families_in(text: str) -> frozenset[str]:
    """The families that a piece of code or configuration could cause."""
    return frozenset(name for name, family in FAMILIES.items() if family.code.search(text))


def words_of(text: str) -> list[str]:
    """Lower-case words of any text or identifier: camelCase, snake_case and kebab-case split, endings
    folded.
    """
    return [_stem(word.lower()) for word in _WORD.findall(text) if not word.isdigit()]


def telling_words(texts: Iterable[str]) -> list[str]:
    """Words of the texts without stop words, each once, in order of appearance."""
    seen: dict[str, None] = {}
    for text in texts:
        for word in words_of(text):
            if len(word) > 2 and word not in STOP_WORDS:
                seen.setdefault(word)
    return list(seen)


def is_compound(identifier: str) -> bool:
    """Whether the identifier has parts (`search_events`, `readThreeDS`, `a.b`): rare enough to be telling
    alone.
    """
    return len(_WORD.findall(identifier)) > 1


def _stem(word: str) -> str:
    """A light stemmer: plurals and the endings -ed and -ing fold, so that `connect()` meets "not connected"."""
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 4 and word.endswith(ending):
            stem = word[: -len(ending)]
            return stem[:-1] if stem[-1] == stem[-2] and stem[-1] not in "ls" else stem
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
