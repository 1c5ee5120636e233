# The calls of a socket that matter for speed.

@cython.no_gc_clear
cdef class Channel(Waitable):
    """A socket's descriptor, and the calls of it that matter for speed."""

    # Whether a descriptor blocks is for all its duplicates, which others may have, to say: each call says it itself.

    cdef Py_ssize_t receive_now(self, char* buffer, Py_ssize_t size, int flags) except -1:
        """Receive what is there; return -2 if that is nothing."""
        cdef Py_ssize_t length
        if size == 0:
            return 0
        if not (self.readable or flags or self.never_waits()):
            return -2
        while True:
            length = receive_bytes(self.descriptor, buffer, size, flags | MSG_DONTWAIT)
            if length >= 0:
                if length < size and self.short_is_empty and flags == 0:
                    self.readable = False
                return length
            if errno == EINTR:
                PyErr_CheckSignals()
            elif errno == EAGAIN and not (flags & MSG_DONTWAIT and self.timeout is None):
                self.readable = False
                return -2
            else:
                PyErr_SetFromErrno(OSError)

    cdef Py_ssize_t receive(self, char* buffer, Py_ssize_t size, int flags) except -1:
        cdef Py_ssize_t length
        cdef double until = 0
        if flags & MSG_WAITALL and self.waits_for_all(flags):
            return self.receive_all(buffer, size, flags & ~MSG_WAITALL)
        self.spend_one()
        while True:
            length = self.receive_now(buffer, size, flags)
            if length >= 0:
                return length
            self.wait(False, &until)

    cdef bint waits_for_all(self, int flags) except -1:
        """Whether a call waits until its buffer is full, which the kernel does for blocking sockets only."""
        cdef int kind = 0
        cdef socklen_t size = sizeof(kind)
        if flags & (MSG_DONTWAIT | MSG_PEEK | MSG_OOB) or self.timeout is not None:
            return False
        return getsockopt(self.descriptor, SOL_SOCKET, SO_TYPE, &kind, &size) == 0 and kind == SOCK_STREAM

    cdef Py_ssize_t receive_all(self, char* buffer, Py_ssize_t size, int flags) except -1:
        """Receive until the buffer is full or no more can come; return how many bytes there are."""
        cdef Py_ssize_t length, done = 0
        while done < size:
            try:
                length = self.receive(buffer + done, size - done, flags)
            except OSError:
                if done == 0:
                    raise
                break
            if length == 0:
                break
            done += length
        return done

    cpdef flush(self):
        if self.collecting is not None and self.hub.is_in_thread() and self.sender is not current_greenlet():
            writer, self.collecting = self.collecting, None
            writer.flush()

    def settle(self):
        writer = self.collecting
        if writer is not None and self.hub.is_in_thread():
            if writer in self.hub.unflushed:
                writer.send_collected()
            else:
                writer.send_now()

    def expose(self):
        self.exposed = True
        self.settle()

    # What takes several calls to send keeps its turn: others that send on the same connection wait for its end.

    def take_turn(self, double until=0, int flags=0):
        if self.collecting is not None:
            self.flush()
        self.wait_for_turn(flags, &until)
        return until

    cpdef bint keep_turn(self) except -1:
        if self.sender is not None or not self.hub.is_in_thread():
            return False
        self.sender = current_greenlet()
        return True

    cpdef end_turn(self):
        self.sender = None
        self.wake_writer()

    cdef bint is_others_turn(self) except -1:
        if self.sender is None or not self.hub.is_in_thread():
            return False
        current = current_greenlet()
        return current is not self.sender and current is not self.hub.greenlet

    cdef int wait_for_turn(self, int flags, double* until) except -1:
        while self.is_others_turn():
            if flags & MSG_DONTWAIT and self.timeout is None:
                raise BlockingIOError(EAGAIN, strerror(EAGAIN))
            self.wait(True, until)
            if now_in_seconds() >= until[0] and self.is_others_turn():
                raise TimeoutError("timed out")
        return 0

    cdef Py_ssize_t transmit_now(self, const char* data, Py_ssize_t size, int flags) except -1:
        """Send what there is room for; return -2 if there is none."""
        cdef Py_ssize_t length
        if not (self.writable or flags or self.never_waits()):
            return -2
        while True:
            length = send_bytes(self.descriptor, data, size, flags | MSG_NOSIGNAL | MSG_DONTWAIT)
            if length >= 0:
                return length
            if errno == EINTR:
                PyErr_CheckSignals()
            elif errno == EAGAIN and not (flags & MSG_DONTWAIT and self.timeout is None):
                self.writable = False
                return -2
            else:
                PyErr_SetFromErrno(OSError)

    cdef Py_ssize_t transmit(self, const char* data, Py_ssize_t size, int flags, double* until) except -1:
        """Send what there is room for, waiting until there is some."""
        cdef Py_ssize_t length
        if self.collecting is not None:
            self.flush()
        self.spend_one()
        while True:
            if self.sender is not None:
                self.wait_for_turn(flags, until)
            length = self.transmit_now(data, size, flags)
            if length >= 0:
                return length
            self.wait(True, until)

    cpdef recv(self, Py_ssize_t size, int flags=0):
        cdef Py_ssize_t length
        cdef double until = 0
        if size < 0:
            raise ValueError("negative buffersize in recv")
        if size > SCRATCH_SIZE or flags & MSG_WAITALL:
            return self.recv_much(size, flags)
        self.spend_one()
        while True:
            length = self.receive_now(self.hub.scratch, size, flags)
            if length >= 0:
                return PyBytes_FromStringAndSize(self.hub.scratch, length)
            self.wait(False, &until)

    cdef bytes recv_much(self, Py_ssize_t size, int flags):
        cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
        cdef Py_ssize_t length
        length = self.receive(PyBytes_AS_STRING(data), size, flags)
        return data if length == size else data[:length]

    def recv_into(self, buffer, Py_ssize_t nbytes=0, int flags=0):
        cdef Py_buffer view
        if nbytes < 0:
            raise ValueError("negative buffersize in recv_into")
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
        try:
            if nbytes > view.len:
                raise ValueError("buffer too small for requested bytes")
            return self.receive(<char*>view.buf, nbytes or view.len, flags)
        finally:
            PyBuffer_Release(&view)

    def send(self, data, int flags=0):
        cdef Py_buffer view
        cdef double until = 0
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self.transmit(<const char*>view.buf, view.len, flags, &until)
        finally:
            PyBuffer_Release(&view)

    cpdef sendall(self, data, int flags=0):
        cdef Py_buffer view
        if type(data) is bytes:
            self.transmit_all(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), flags)
            return
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.transmit_all(<const char*>view.buf, view.len, flags)
        finally:
            PyBuffer_Release(&view)

    cdef int transmit_all(self, const char* data, Py_ssize_t size, int flags) except -1:
        cdef Py_ssize_t done
        cdef double until = 0
        done = self.transmit(data, size, flags, &until)
        return self.transmit_rest(data + done, size - done, flags, &until) if done < size else 0

    cdef int transmit_rest(self, const char* data, Py_ssize_t size, int flags, double* until) except -1:
        cdef Py_ssize_t length, done = 0
        cdef bint kept = self.keep_turn()
        try:
            while done < size:
                self.spend_one()
                length = self.transmit_now(data + done, size - done, flags)
                if length >= 0:
                    done += length
                else:
                    self.wait(True, until)
        finally:
            if kept:
                self.end_turn()
        return 0
