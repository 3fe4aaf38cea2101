"""How many requests may be repeated: a token bucket, so that clouds that fail are not asked all the more.

Source: gRPC proposal A6, "gRPC Retry Design", section "Throttling Retry Attempts and Hedged RPCs",
https://github.com/grpc/proposal/blob/master/A6-client-retries.md.
"""

import threading

__all__ = ["RetryBudget"]

#: Half of them may be repeated at once: more than are under way when a cloud is restarted under a busy edge.
_MAX_TOKENS = 64.0

#: An answer pays for half a repetition: with one of two clouds full, its requests are passed on for ever.
_TOKEN_RATIO = 0.5


class RetryBudget:
    """Of all clouds of an edge together; for any number of threads.

    A failure costs a token, an answer gives `token_ratio` back, up to `max_tokens`; repeating is for those
    who find more than half. So of n requests at most max_tokens / 2 + token_ratio * n are repetitions.
    """

    def __init__(self, max_tokens: float = _MAX_TOKENS, token_ratio: float = _TOKEN_RATIO) -> None:
        self._max, self._ratio = max_tokens, token_ratio
        self._tokens = max_tokens
        self._lock = threading.Lock()

    @property
    def allows(self) -> bool:
        """Whether a request that failed may be sent again."""
        return self._tokens > self._max / 2

    def fail(self) -> None:
        """A cloud was sent a request, and will not answer it, for a reason that repeating could mend."""
        with self._lock:
            self._tokens = max(0.0, self._tokens - 1)

    def spend(self) -> bool:
        """Whether a failure may be repeated; only then it is counted, as by `fail`."""
        with self._lock:
            if self._tokens - 1 <= self._max / 2:
                return False
            self._tokens -= 1
            return True

    def succeed(self) -> None:
        """A cloud answered."""
        if self._tokens < self._max:  # as seldom: no lock
            with self._lock:
                self._tokens = min(self._max, self._tokens + self._ratio)
