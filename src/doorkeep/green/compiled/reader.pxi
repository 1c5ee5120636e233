# Reading a connection.

cdef class Reader:
    """Reads a connection in chunks; the interface of `io.BufferedReader`."""

    mode = "rb"

    cdef object source, socket
    cdef Channel channel
    cdef bytes chunk
    cdef Py_ssize_t position
    cdef readonly bint closed
    cdef bint timed_out
    cdef object __weakref__

    def __init__(self, source, socket):
        self.source = source
        self.channel = source if isinstance(source, Channel) else None
        self.socket = socket

    # -- Chunks --------------------------------------------------------------------------------------------------

    cdef int check_open(self) except -1:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        return 0

    cdef bytes fetch(self, Py_ssize_t size):
        """Receive at most `size` bytes; none at the end of the stream."""
        if self.timed_out:
            raise OSError("cannot read from timed out object")
        try:
            return self.channel.recv(size) if self.channel is not None else self.source.recv(size)
        except TimeoutError:
            self.timed_out = True
            raise

    cdef bint has_chunk(self) except -1:
        """See to it that there is a chunk; False at the end of the stream."""
        cdef bytes chunk
        if self.chunk is not None:
            return True
        chunk = self.fetch(CHUNK)
        # Another greenlet may have read meanwhile: what it has left comes first.
        if self.chunk is not None:
            chunk = self.take(self.available()) + chunk
        if PyBytes_GET_SIZE(chunk) == 0:
            return False
        self.chunk = chunk
        self.position = 0
        return True

    cdef Py_ssize_t available(self) noexcept:
        return 0 if self.chunk is None else PyBytes_GET_SIZE(self.chunk) - self.position

    cdef bytes take(self, Py_ssize_t size):
        """Return the next `size` bytes of the chunk."""
        cdef bytes chunk = self.chunk
        cdef bytes taken
        cdef Py_ssize_t end = self.position + size
        if self.position == 0 and end == PyBytes_GET_SIZE(chunk):
            self.chunk = None
            return chunk
        taken = PyBytes_FromStringAndSize(PyBytes_AS_STRING(chunk) + self.position, size)
        if end == PyBytes_GET_SIZE(chunk):
            self.chunk = None
            self.position = 0
        else:
            self.position = end
        return taken

    cdef put_back(self, list pieces):
        """Undo the taking of `pieces`, as what they are part of cannot be completed."""
        if pieces:
            if self.chunk is not None:
                pieces.append(self.take(self.available()))
            self.chunk = b"".join(pieces)
            self.position = 0

    # -- Reading -------------------------------------------------------------------------------------------------

    cdef object next_line(self, Py_ssize_t limit):
        cdef list pieces = None
        cdef Py_ssize_t size, done = 0
        cdef const char* start
        cdef const char* end
        cdef bytes line
        self.check_open()
        try:
            while limit < 0 or done < limit:
                if self.chunk is None and not self.has_chunk():
                    break
                start = PyBytes_AS_STRING(self.chunk) + self.position
                size = PyBytes_GET_SIZE(self.chunk) - self.position
                if limit >= 0:
                    size = min(size, limit - done)
                end = <const char*>memchr(start, b"\n", size)
                if end != NULL:
                    line = self.take(end - start + 1)
                    if pieces is None:
                        return line
                    pieces.append(line)
                    break
                if pieces is None:
                    pieces = []
                pieces.append(self.take(size))
                done += size
        except BaseException:
            self.put_back(pieces)
            raise
        return b"" if pieces is None else b"".join(pieces)

    def readline(self, size=-1, /):
        return self.next_line(-1 if size is None else size)

    def __iter__(self):
        self.check_open()
        return self

    def __next__(self):
        line = self.next_line(-1)
        if not line:
            raise StopIteration
        return line

    def readlines(self, hint=-1, /):
        lines = []
        total = 0
        try:
            for line in self:
                lines.append(line)
                total += len(line)
                if hint is not None and 0 < hint < total:
                    break
        except BaseException:
            self.put_back(lines)
            raise
        return lines

    def read(self, size=-1, /):
        cdef Py_ssize_t wanted, rest
        cdef list pieces
        wanted = -1 if size is None else size
        if wanted < -1:
            raise ValueError("read length must be non-negative or -1")
        self.check_open()
        if wanted >= 0 and self.available() >= wanted:
            return self.take(wanted) if wanted else b""
        pieces = []
        rest = wanted
        try:
            while rest != 0 and self.has_chunk():
                piece = self.take(self.available() if rest < 0 else min(rest, self.available()))
                pieces.append(piece)
                if rest > 0:
                    rest -= len(piece)
        except BaseException:
            self.put_back(pieces)
            raise
        return b"".join(pieces)

    def read1(self, size=-1, /):
        cdef Py_ssize_t wanted = size
        self.check_open()
        if wanted == 0 or not self.has_chunk():
            return b""
        return self.take(self.available() if wanted < 0 else min(wanted, self.available()))

    def peek(self, size=0, /):
        self.check_open()
        if not self.has_chunk():
            return b""
        return self.chunk[self.position :]

    def readinto(self, buffer, /):
        return self.fill(buffer, True)

    def readinto1(self, buffer, /):
        return self.fill(buffer, False)

    cdef Py_ssize_t fill(self, buffer, bint whole) except -1:
        cdef Py_buffer view
        cdef Py_ssize_t done = 0, size
        self.check_open()
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
        try:
            while done < view.len and self.has_chunk():
                size = min(self.available(), view.len - done)
                memcpy(<char*>view.buf + done, PyBytes_AS_STRING(self.chunk) + self.position, size)
                self.position += size
                if self.position == PyBytes_GET_SIZE(self.chunk):
                    self.chunk = None
                done += size
                if not whole:
                    break
            return done
        except BaseException:
            if done:
                self.put_back([PyBytes_FromStringAndSize(<char*>view.buf, done)])
            raise
        finally:
            PyBuffer_Release(&view)

    def unread(self):
        """Return what was received and not read, and read no more."""
        return b"" if self.chunk is None else self.take(self.available())

    # -- As a file -----------------------------------------------------------------------------------------------

    def close(self):
        if not self.closed:
            self.closed = True
            self.chunk = None
            self.socket._decref_socketios()

    def __del__(self):
        self.close()

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, *error):
        self.close()

    @property
    def name(self):
        return self.fileno()

    def fileno(self):
        self.check_open()
        return self.socket.fileno()

    def readable(self):
        self.check_open()
        return True

    def writable(self):
        self.check_open()
        return False

    def seekable(self):
        self.check_open()
        return False

    def isatty(self):
        self.check_open()
        return False

    def flush(self):
        self.check_open()

    def tell(self):
        raise UnsupportedOperation("a connection has no position")

    def seek(self, offset, whence=0, /):
        raise UnsupportedOperation("a connection has no position")

    def truncate(self, size=None, /):
        raise UnsupportedOperation("a connection has no position")

    def write(self, data, /):
        raise UnsupportedOperation("not writable")

    def writelines(self, lines, /):
        raise UnsupportedOperation("not writable")

    def detach(self):
        raise UnsupportedOperation("there is no raw stream below")


BufferedIOBase.register(Reader)
