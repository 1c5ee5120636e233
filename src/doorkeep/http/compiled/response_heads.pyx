# cython: language_level=3, binding=True, auto_pickle=False
"""The head of a response, as `doorkeep.http.pure.response_heads` makes it. What its methods do is written there."""

from doorkeep.http.pure.response_heads import header_line, http_date, status_line

cdef extern from "<time.h>":
    ctypedef long time_t
    struct timespec:
        time_t tv_sec
    enum:
        CLOCK_REALTIME
    int clock_gettime(int clock, timespec* time) nogil

cdef extern from "Python.h":
    bint PyMethod_Check(object method)
    PyObject* PyMethod_GET_FUNCTION(object method)
    ctypedef struct PyObject:
        pass

cdef enum:
    # Keywords that are remembered, and values of each; and what a line may have in bytes to be.
    MOST_KNOWN = 64
    LONGEST_KNOWN = 128

cdef tuple UNKNOWN = ("", "")

# The beginnings of responses that were made in this second, by what is in them; and lines of headers, by keyword and
# value, each with its name if the server has to know of it.
cdef dict beginnings = {}
cdef time_t second_of_beginnings = 0
cdef dict lines = {}
known_lines = lines


class ResponseHeadMixIn:

    _exchanges = None

    def send_response(self, code, message=None):
        self.log_request(code)
        if (
            is_ours(self.send_response_only, plain_send_response_only)
            and is_ours(self.send_header, plain_send_header)
            and is_ours(self.version_string, plain_version_string)
            and is_ours(self.date_time_string, plain_date_time_string)
        ):
            begin(self, code)
            if self.request_version != "HTTP/0.9":
                add_lines(self, beginning_of(self, code, message))
        else:
            self.send_response_only(code, message)
            self.send_header("Server", self.version_string())
            self.send_header("Date", self.date_time_string())

    def send_response_only(self, code, message=None):
        begin(self, code)
        if self.request_version != "HTTP/0.9":
            add_line(self, status_line(self.protocol_version, code, reason_of(self, code, message)))

    def send_header(self, keyword, value):
        add_header(self, keyword, value)

    def _send_headers(self, headers):
        cdef bint plainly = is_ours(self.send_header, plain_send_header)
        for keyword, value in headers:
            if plainly:
                add_header(self, keyword, value)
            else:
                self.send_header(keyword, value)

    def end_headers(self):
        if self.request_version == "HTTP/0.9":
            return
        exchanges = self._exchanges
        writer = None
        if exchanges is not None and exchanges.in_progress and not exchanges.has_begun:
            writer = exchanges.frame(self)
        self._headers_buffer.append(b"\r\n")
        self.flush_headers()
        if writer is not None:
            self.wfile = exchanges.body_writer = writer

    def flush_headers(self):
        buffer = getattr(self, "_headers_buffer", None)
        if buffer is not None:
            self.wfile.write(b"".join(buffer))
            self._headers_buffer = []

    def version_string(self):
        return f"{self.server_version} {self.sys_version}"

    def date_time_string(self, timestamp=None):
        return http_date(seconds_now() if timestamp is None else timestamp)


cdef object plain_send_response_only = ResponseHeadMixIn.send_response_only
cdef object plain_send_header = ResponseHeadMixIn.send_header
cdef object plain_version_string = ResponseHeadMixIn.version_string
cdef object plain_date_time_string = ResponseHeadMixIn.date_time_string


cdef inline bint is_ours(method, function):
    """Whether a bound method is of a function that no program has replaced."""
    return PyMethod_Check(method) and PyMethod_GET_FUNCTION(method) == <PyObject*>function


cdef inline time_t seconds_now() noexcept:
    # By the clock of Python's `time`: that of time(2) is a few milliseconds behind.
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return now.tv_sec


cdef int begin(handler, code) except -1:
    exchanges = handler._exchanges
    if exchanges is not None:
        exchanges.status = code
        exchanges.is_delimited = False
    return 0


cdef int add_header(handler, keyword, value) except -1:
    cdef tuple made = line_of(keyword, value)
    if handler.request_version != "HTTP/0.9":
        add_line(handler, made[0])
    name = made[1]
    if name is None:
        return 0
    if name == "connection":
        wish = value.lower()
        if wish == "close":
            handler.close_connection = True
        elif wish == "keep-alive":
            handler.close_connection = False
        return 0
    exchanges = handler._exchanges
    if exchanges is not None:
        exchanges.is_delimited = True
        if name == "content-length":
            exchanges.size = value
    return 0


cdef object reason_of(handler, code, message):
    return handler.responses.get(code, UNKNOWN)[0] if message is None else message


cdef tuple beginning_of(handler, code, message):
    """Return the status line and the headers Server and Date, each for itself as programs may look for them."""
    global second_of_beginnings
    cdef time_t now = seconds_now()
    if now != second_of_beginnings:
        beginnings.clear()
        second_of_beginnings = now
    version, server, system = handler.protocol_version, handler.server_version, handler.sys_version
    reason = reason_of(handler, code, message)
    key = (code, reason, version, server, system)
    found = beginnings.get(key)
    if found is None:
        server_line, _ = header_line("Server", f"{server} {system}")
        date_line, _ = header_line("Date", http_date(now))
        found = beginnings[key] = (status_line(version, code, reason), server_line, date_line)
    return found


cdef tuple line_of(keyword, value):
    """Return the line of a header, and its name if the server has to know of it."""
    cdef dict by_value
    if type(value) is not str or type(keyword) is not str:
        return header_line(keyword, value)  # equal values of other types may look different
    by_value = lines.get(keyword)
    found = None if by_value is None else by_value.get(value)
    if found is None:
        found = header_line(keyword, value)
        remember(keyword, value, found)
    return found


cdef int remember(str keyword, str value, tuple made) except -1:
    cdef dict by_value
    if len(<bytes>made[0]) > LONGEST_KNOWN:
        return 0
    by_value = lines.get(keyword)
    if by_value is None:
        if len(lines) >= MOST_KNOWN:
            lines.clear()
        by_value = lines[keyword] = {}
    elif len(by_value) >= MOST_KNOWN:
        by_value.clear()
    by_value[value] = made
    return 0


cdef int add_lines(handler, tuple lines) except -1:
    buffer = getattr(handler, "_headers_buffer", None)
    if buffer is None:
        handler._headers_buffer = list(lines)
    else:
        buffer += lines
    return 0


cdef int add_line(handler, line) except -1:
    buffer = getattr(handler, "_headers_buffer", None)
    if buffer is None:
        handler._headers_buffer = [line]
    elif type(buffer) is list:
        (<list>buffer).append(line)
    else:
        buffer.append(line)
    return 0
