"""The access log: a line for each request, as `http.server` writes it, in the Combined Log Format, as JSON; or none."""

from __future__ import annotations

import itertools
import json
import sys
import time
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from doorkeep.http.exchanges import Exchanges

__all__ = ["LogMixIn"]

# Control characters, of which terminals do as they are told; and the backslash, with which nobody is to forge these.
_CONTROL_CHARACTERS = {code: rf"\x{code:02x}" for code in itertools.chain(range(0x20), range(0x7F, 0xA0))}
_CONTROL_CHARACTERS[ord("\\")] = r"\\"
_QUOTED = {**_CONTROL_CHARACTERS, ord('"'): r"\""}


class LogMixIn:
    """The methods of a request handler that log, to `sys.stderr`.

    The server's setting `access_log` decides how lines look, and whether there are any: if it is "off", only what a
    program gives `log_message` is written. A `log_message` of the program's own gets what that of the standard module
    gets, whatever the setting.
    """

    _control_char_table: ClassVar[dict[int, str]] = _CONTROL_CHARACTERS

    weekdayname: ClassVar = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    monthname: ClassVar = [None, "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    if TYPE_CHECKING:
        client_address: Any
        requestline: str
        headers: Any
        _exchanges: Exchanges | None

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Log a request as it is answered; called by `send_response`."""
        if code.__class__ is HTTPStatus:
            code = code.value
        log_format = self._log_format()
        if log_format == "off":
            return
        exchanges = self._exchanges
        if log_format == "standard" or exchanges is None or not exchanges.in_progress:
            self.log_message('"%s" %s %s', self.requestline, str(code), str(size))
            return
        exchanges.logged = code  # the line is written when there is more to tell
        if size != "-":
            exchanges.size = size

    def log_error(self, format: str, *args: Any) -> None:
        """Log a request that cannot be answered as it wishes; the arguments are those of `log_message`."""
        log_format = self._log_format()
        if log_format == "off":
            return
        if log_format != "standard" and self._exchanges is not None and self._exchanges.began:
            self._exchanges.error = format % args
            self._exchanges.logged = "-"
        else:
            self.log_message(format, *args)

    def log_message(self, format: str, *args: Any) -> None:
        """Write a line to `sys.stderr`: the client's address, the time, and `format % args`.

        Control characters are written as escapes.
        """
        if self._log_format() == "json":
            self._write_json(message=format % args)
            return
        message = (format % args).translate(self._control_char_table)
        sys.stderr.write(f"{self.address_string()} - - [{self.log_date_time_string()}] {message}\n")

    def log_date_time_string(self) -> str:
        """Return the time as lines of the log have it."""
        return _local_time(int(time.time()))

    def address_string(self) -> str:
        """Return the client's address as lines of the log have it."""
        address = self.client_address
        return str(address[0]) if address else "-"  # clients of a Unix socket have none

    # -- Other formats -------------------------------------------------------------------------------------------

    def _log_format(self) -> str:
        exchanges = self._exchanges
        if exchanges is None or exchanges.settings.access_log == "standard" or _has_own_log(self):
            return "standard"
        return exchanges.settings.access_log

    def _log_exchange(self, exchanges: Exchanges) -> None:
        """Log a request whose response is over."""
        headers = {} if exchanges.head is None else self.headers
        referer, user_agent = headers.get("Referer"), headers.get("User-Agent")
        if exchanges.settings.access_log == "json":
            self._write_json(
                request=self.requestline,
                status=exchanges.logged if isinstance(exchanges.logged, int) else None,
                size=int(exchanges.size) if str(exchanges.size).isdecimal() else None,
                seconds=round(time.monotonic() - exchanges.began, 6) if exchanges.began else None,
                referer=referer,
                user_agent=user_agent,
                error=exchanges.error or None,
            )
            return
        quoted = [(text or "-").translate(_QUOTED) for text in (self.requestline, referer, user_agent)]
        sys.stderr.write(
            f"{self.address_string()} - - [{_local_time_with_zone(int(time.time()))}] "
            f'"{quoted[0]}" {exchanges.logged} {exchanges.size} "{quoted[1]}" "{quoted[2]}"\n'
        )

    def _write_json(self, **fields: Any) -> None:
        known = {name: value for name, value in fields.items() if value is not None}
        line = {"time": _iso_time(time.time()), "client": self.address_string(), **known}
        sys.stderr.write(json.dumps(line) + "\n")


def _has_own_log(handler: Any) -> bool:
    """Return whether a program has put a `log_message` of its own into a handler."""
    return getattr(handler.log_message, "__func__", None) is not LogMixIn.log_message


@lru_cache(maxsize=4)
def _local_time(seconds: int) -> str:
    # Not by `%b`, which is in the language of the locale.
    now = time.localtime(seconds)
    return f"{now.tm_mday:02}/{LogMixIn.monthname[now.tm_mon]}/{now.tm_year:04} {time.strftime('%H:%M:%S', now)}"


@lru_cache(maxsize=4)
def _local_time_with_zone(seconds: int) -> str:
    date, _, clock = _local_time(seconds).partition(" ")
    return f"{date}:{clock} {time.strftime('%z', time.localtime(seconds))}"


def _iso_time(seconds: float) -> str:
    milliseconds = int(seconds % 1 * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03}Z"
