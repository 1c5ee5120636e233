"""The servers that are measured: a small program each, which prints `PORT n` and serves until it is ended."""

BACKLOG = (
    1024  # connections that may wait to be accepted; the standard library's 5 would drop some that come in a burst
)


def announce(port: int) -> None:
    """Tell who started this program that it serves at the port."""
    print(f"PORT {port}", flush=True)
