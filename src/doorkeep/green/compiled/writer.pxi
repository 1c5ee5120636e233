# Writing to a connection.

cdef class Writer:
    """Writes to a connection: each write at once and whole, or collected until the greenlet next waits."""

    mode = "wb"

    cdef object source, socket
    cdef Channel channel, ordering
    cdef Hub hub
    cdef bytearray collected
    cdef bint listed
    cdef readonly bint collects
    cdef readonly bint closed
    cdef object error
    cdef object __weakref__

    def __init__(self, source, socket, hub, bint collects=False):
        self.source = source
        self.hub = hub
        self.channel = source if isinstance(source, Channel) else None
        self.ordering = getattr(socket, "_channel", None)
        self.socket = socket
        self.collects = collects

    cdef int send(self, data) except -1:
        if self.channel is not None:
            self.channel.sendall(data)
        else:
            self.source.sendall(data)
        return 0

    def write(self, data, /):
        cdef Py_buffer view
        cdef Py_ssize_t size
        if type(data) is bytes:
            size = PyBytes_GET_SIZE(data)
        else:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
            size = view.len
            PyBuffer_Release(&view)
        if (
            not self.collects
            or (self.ordering is not None and self.ordering.exposed)
            or not (self.listed or self.hub.is_ours())
        ):
            self.send(data)
            return size
        if self.error is not None:
            self.flush()
        if self.collected is None and self.ordering is not None and self.ordering.collecting is not None:
            self.ordering.flush()
        if self.collected is None:
            self.collected = bytearray(data)
            if self.ordering is not None:
                self.ordering.collecting = self
        else:
            self.collected += data
        if not self.listed:
            self.listed = True
            self.hub.unflushed.append(self)
        if len(self.collected) >= MOST_COLLECTED:
            self.flush()
        return size

    def flush(self):
        """Send what was collected; raises what sending it met, now or when it was sent before."""
        cdef bytearray collected = self.collected
        error, self.error = self.error, None
        self.forget()
        if error is not None:
            raise error
        if collected is not None:
            self.send(collected)

    cdef void forget(self) noexcept:
        self.collected = None
        if self.ordering is not None and self.ordering.collecting is self:
            self.ordering.collecting = None

    def send_now(self):
        """Send what was collected as far as that takes no waiting; return whether nothing is left."""
        cdef bytearray collected = self.collected
        cdef Py_ssize_t done
        if collected is not None and self.error is None:
            if self.channel is None or self.channel.sender is not None:
                return False
            try:
                done = self.channel.transmit_now(PyByteArray_AS_STRING(collected), PyByteArray_GET_SIZE(collected), 0)
            except OSError as error:
                self.error = error
            else:
                if done < PyByteArray_GET_SIZE(collected):
                    if done > 0:
                        del collected[:done]
                    return False
        self.forget()
        self.listed = False
        return True

    def send_collected(self):
        self.listed = False
        try:
            self.flush()
        except OSError as error:
            # Whoever waits for something else is not to get it; the next write is.
            self.error = error

    # -- As a file -----------------------------------------------------------------------------------------------

    def close(self):
        if not self.closed:
            self.closed = True
            self.flush()

    def writelines(self, lines, /):
        for line in lines:
            self.write(line)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    @property
    def name(self):
        return self.fileno()

    def fileno(self):
        return self.socket.fileno()

    def writable(self):
        return True

    def readable(self):
        return False

    def seekable(self):
        return False

    def isatty(self):
        return False

    def tell(self):
        raise UnsupportedOperation("a connection has no position")

    def seek(self, offset, whence=0, /):
        raise UnsupportedOperation("a connection has no position")

    def truncate(self, size=None, /):
        raise UnsupportedOperation("a connection has no position")

    def read(self, size=-1, /):
        raise UnsupportedOperation("not readable")

    def readline(self, size=-1, /):
        raise UnsupportedOperation("not readable")

    def detach(self):
        raise UnsupportedOperation("there is no raw stream below")


BufferedIOBase.register(Writer)
