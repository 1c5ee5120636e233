# cython: language_level=3, boundscheck=False, wraparound=False, binding=False, auto_pickle=False
"""Heads of requests that have nothing unusual about them. `doorkeep.http.head` says what for."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

cdef extern from "Python.h":
    object PyUnicode_DecodeASCII(const char* text, Py_ssize_t size, const char* errors)

cdef extern from "<strings.h>":
    int strncasecmp(const char* one, const char* other, size_t size) nogil

cdef enum:
    # What has more is left to those who say what is wrong with it.
    MOST_FIELDS = 100
    LONGEST = 65536
    MOST_DIGITS = 18
    # Kinds of bytes: of a token (RFC 9110 section 5.6.2), visible, of a field's value (printable ASCII and tabs),
    # of a host's name or address with its port.
    TOKEN = 1
    VISIBLE = 2
    VALUE = 4
    HOST = 8

cdef unsigned char kinds[256]


cdef void fill_kinds() noexcept:
    cdef int byte
    for byte in range(256):
        kinds[byte] = 0
        if 0x21 <= byte <= 0x7E:
            kinds[byte] = VISIBLE | VALUE
    kinds[32] |= VALUE
    kinds[9] |= VALUE
    for byte in b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz":
        kinds[byte] |= TOKEN
    for byte in b"-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz":
        kinds[byte] |= HOST


fill_kinds()

cdef str GET = "GET", HTTP_1_0 = "HTTP/1.0", HTTP_1_1 = "HTTP/1.1"


cdef class PlainHead:
    """What `doorkeep.http.head.Head` is; and how many bytes it had, and its request line, as sent and as text."""

    cdef public str method, target, version
    cdef public list fields
    cdef public object content_length
    cdef public bint keep_alive, expects_continue, upgrades
    cdef readonly Py_ssize_t size
    cdef readonly bytes raw_request_line
    cdef readonly str request_line


cdef struct Meaning:
    # What fields say that the server has to know of.
    long long length
    bint has_length, has_host, has_connection, closes, keeps


def plain_head(bytes data, bint host_required):
    """Return the head at the beginning of the data; None if it is not plain, is wrong, or has not come whole."""
    cdef const char* start = PyBytes_AS_STRING(data)
    cdef const char* end = start + min(PyBytes_GET_SIZE(data), <Py_ssize_t>LONGEST)
    cdef const char* method_end = skip(start, end, TOKEN)
    if method_end == start or method_end == end or method_end[0] != c" ":
        return None
    cdef const char* target = method_end + 1
    cdef const char* target_end = skip(target, end, VISIBLE)
    # Behind the target: " HTTP/1.1", and the line end. Two slashes at its beginning are for those who know why.
    if target_end == target or end - target_end < 11 or (target[0] == c"/" and target[1] == c"/"):
        return None
    cdef bint is_new = memcmp(target_end, b" HTTP/1.1\r\n", 11) == 0
    if not is_new and memcmp(target_end, b" HTTP/1.0\r\n", 11) != 0:
        return None
    cdef const char* at = target_end + 11
    cdef const char* fields_start = at
    cdef Meaning meaning
    meaning.length = 0
    meaning.has_length = meaning.has_host = meaning.has_connection = meaning.closes = meaning.keeps = False
    cdef list fields = []
    while True:
        if end - at < 2:
            return None
        if at[0] == c"\r" and at[1] == c"\n":
            break
        at = take_field(at, end, fields, &meaning, host_required)
        if at == NULL:
            return None
    if len(fields) > MOST_FIELDS or (host_required and is_new and not meaning.has_host):
        return None
    cdef PlainHead head = PlainHead.__new__(PlainHead)
    head.method = GET if method_end - start == 3 and memcmp(start, b"GET", 3) == 0 else text(start, method_end)
    if meaning.length != 0 and method_end - start == 7 and memcmp(start, b"CONNECT", 7) == 0:
        return None
    head.target = text(target, target_end)
    head.version = HTTP_1_1 if is_new else HTTP_1_0
    head.fields = fields
    head.content_length = meaning.length
    head.keep_alive = not meaning.closes and (is_new or meaning.keeps)
    head.upgrades = head.method == "CONNECT"
    head.size = at + 2 - start
    head.raw_request_line = PyBytes_FromStringAndSize(start, fields_start - start)
    head.request_line = text(start, fields_start - 2)
    return head


cdef const char* take_field(
    const char* at, const char* end, list fields, Meaning* meaning, bint host_required
) except? NULL:
    """Add a field to the others and note what it means; return what follows it, NULL if it is not plain."""
    cdef const char* name_end = skip(at, end, TOKEN)
    if name_end == at or name_end == end or name_end[0] != c":":
        return NULL
    cdef const char* value = name_end + 1
    while value < end and (value[0] == c" " or value[0] == c"\t"):
        value += 1
    cdef const char* value_end = skip(value, end, VALUE)
    if end - value_end < 2 or value_end[0] != c"\r" or value_end[1] != c"\n":
        return NULL
    cdef const char* following = value_end + 2
    while value_end > value and ((value_end - 1)[0] == c" " or (value_end - 1)[0] == c"\t"):
        value_end -= 1
    if not note_meaning(at, name_end - at, value, value_end - value, meaning, host_required):
        return NULL
    fields.append((text(at, name_end), text(value, value_end)))
    return following


cdef bint note_meaning(
    const char* name, Py_ssize_t name_size, const char* value, Py_ssize_t size, Meaning* meaning, bint host_required
) noexcept:
    """Note what a field says; return False if that is for others to judge."""
    if name_size == 4 and strncasecmp(name, b"host", 4) == 0:
        if meaning.has_host or (host_required and not is_host(value, size)):
            return False
        meaning.has_host = True
    elif name_size == 10 and strncasecmp(name, b"connection", 10) == 0:
        if meaning.has_connection:
            return False
        meaning.has_connection = True
        if size == 5 and strncasecmp(value, b"close", 5) == 0:
            meaning.closes = True
        elif size == 10 and strncasecmp(value, b"keep-alive", 10) == 0:
            meaning.keeps = True
        else:
            return False
    elif name_size == 14 and strncasecmp(name, b"content-length", 14) == 0:
        if meaning.has_length or not 0 < size <= MOST_DIGITS:
            return False
        meaning.has_length = True
        for index in range(size):
            if not c"0" <= value[index] <= c"9":
                return False
            meaning.length = meaning.length * 10 + value[index] - c"0"
    elif name_size == 17 and strncasecmp(name, b"transfer-encoding", 17) == 0:
        return False
    elif name_size == 6 and strncasecmp(name, b"expect", 6) == 0:
        return False
    elif name_size == 7 and strncasecmp(name, b"upgrade", 7) == 0:
        return False
    return True


cdef bint is_host(const char* value, Py_ssize_t size) noexcept:
    """Return whether a value is a name or an IPv4 address, with or without a port; others are for others to judge."""
    cdef const char* end = value + size
    cdef const char* at = skip(value, end, HOST)
    if at < end and at[0] == c":":
        at += 1
        while at < end and c"0" <= at[0] <= c"9":
            at += 1
    return at == end


cdef inline const char* skip(const char* at, const char* end, int kind) noexcept:
    while at < end and kinds[<unsigned char>at[0]] & kind:
        at += 1
    return at


cdef inline str text(const char* start, const char* end):
    return PyUnicode_DecodeASCII(start, end - start, NULL)
