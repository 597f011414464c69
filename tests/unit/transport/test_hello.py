"""The hello: what a producer says of itself is what the writer reads."""

from __future__ import annotations

from expman.transport.hello import Hello, decode_hello, encode_hello

NOW = 1_700_000_000_123_456_789


def test_the_hello_comes_back() -> None:
    """With defaults and with everything set."""
    hello = Hello(
        role="worker",
        producer="rank 1",
        pid=2**31,
        started_at_ns=NOW,
        base_dir="/ä",
        experiment="e",
        run_name="r",
        language="python",
        env_path="",
        tags=("a", ""),
        description="",
    )

    assert hello == decode_hello(encode_hello(hello))
