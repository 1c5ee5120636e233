# A descriptor that greenlets wait for, and the calls of its socket that matter for speed.

cdef int push_waiter(Hub hub, waiter) except -1:
    if type(waiter) is list:
        for one in waiter:
            hub.push(one)
    else:
        hub.push(waiter)
    return 0


cdef joined(waiter, current):
    """Those that wait for the same: mostly one greenlet, else a list of them."""
    if waiter is None or waiter is current:
        return current
    if type(waiter) is not list:
        return [waiter, current]
    return waiter if current in waiter else [*waiter, current]


# The collector is not to take the hub away before the channel has left its registrations.
@cython.no_gc_clear
cdef class Channel:
    """A descriptor that greenlets wait for."""

    def __init__(self, Hub hub, sock, bint short_is_empty=False):
        self.hub = hub
        self.descriptor = sock.fileno()
        self.readable = self.writable = True
        self.short_is_empty = short_is_empty
        self.reader_until = self.writer_until = self.scheduled = INFINITY

    def __dealloc__(self):
        self.unregister()

    cdef unregister(self):
        cdef Registration* registration
        if self.registered:
            self.registered = False
            registration = &self.hub.registrations[self.descriptor]
            if registration.channel == <void*>self:
                registration.channel = NULL

    def forget(self):
        """Have the kernel forget the descriptor too, which lives on without the channel."""
        cdef epoll_event event
        # Its number may be another's by now.
        if self.registered and self.hub.registrations[self.descriptor].channel == <void*>self and self.hub.epoll >= 0:
            epoll_ctl(self.hub.epoll, EPOLL_CTL_DEL, self.descriptor, &event)
        self.close()

    def close(self):
        self.unregister()
        self.descriptor = -1
        if self.reader is None and self.writer is None:
            return
        if PyThread_get_thread_ident() == self.hub.thread:
            self.wake_all()
        else:
            self.hub.call_from_thread(self.wake_all)

    def wake_all(self):
        self.wake_reader()
        self.wake_writer()

    cdef int wake_reader(self) except -1:
        waiter = self.reader
        if waiter is not None:
            self.reader = None
            push_waiter(self.hub, waiter)
        return 0

    cdef int wake_writer(self) except -1:
        waiter = self.writer
        if waiter is not None:
            self.writer = None
            push_waiter(self.hub, waiter)
        return 0

    cdef int happened(self, uint32_t events) except -1:
        if events & ~<uint32_t>(EPOLLIN | EPOLLOUT):
            # The end of the stream, or urgent data, follows what is there: a short read says no more that nothing is.
            self.short_is_empty = False
            self.readable = self.writable = True
        if events & EPOLLIN:
            self.readable = True
        if events & EPOLLOUT:
            self.writable = True
        if self.readable:
            self.wake_reader()
        if self.writable:
            self.wake_writer()
        return 0

    cdef int look_at_clock(self, double now) except -1:
        """Wake those whose time is up, and see to it that the others are looked at again."""
        if self.reader_until <= now:
            self.reader_until = INFINITY
            self.wake_reader()
        if self.writer_until <= now:
            self.writer_until = INFINITY
            self.wake_writer()
        if self.scheduled <= now:
            self.scheduled = INFINITY
            self.see_to_it(min(self.reader_until, self.writer_until))
        return 0

    cdef int see_to_it(self, double until) except -1:
        """Have the hub look at the clock by then: one entry of its serves many calls."""
        if until < self.scheduled:
            self.scheduled = until
            self.hub.schedule(until, self)
        return 0

    # -- Waiting -------------------------------------------------------------------------------------------------

    def wait_readable(self, double until=0):
        self.readable = False
        while not self.readable:
            self.wait(False, &until)
        return until

    def wait_writable(self, double until=0):
        self.writable = False
        while not self.writable:
            self.wait(True, &until)
        return until

    def expect(self):
        """Have the current greenlet woken when the descriptor may be readable; it parks itself."""
        if not self.registered:
            self.hub.register(self)
        self.reader = current_greenlet()

    def expect_no_more(self):
        self.reader = None

    # What is on the stack while a greenlet waits is copied at each switch: these functions are made to be shallow.

    cdef int wait(self, bint to_write, double* until) except -1:
        """Wait until the descriptor may be ready; `until` is when a call times out, 0 if it has not waited before."""
        current = self.expect_in_hub(to_write, until)
        if current is None:
            return self.wait_in_thread(to_write, until[0])
        self.hub.switch_away(current)
        if until[0] < INFINITY:
            self.check_time(to_write, until[0])
        return 0

    cdef object expect_in_hub(self, bint to_write, double* until):
        """Have the current greenlet woken when the descriptor may be ready, and return it; None if it cannot park."""
        if self.descriptor < 0:
            raise OSError(EBADF, strerror(EBADF))
        if until[0] == 0:
            if self.never_waits():
                raise BlockingIOError(EAGAIN, strerror(EAGAIN))
            until[0] = INFINITY if self.timeout is None else now_in_seconds() + <double>self.timeout
        if not self.hub.is_in_thread():
            return None
        current = current_greenlet()
        if current is self.hub.greenlet:
            return None
        if not self.registered:
            self.hub.register(self)
        # Should parking raise, we are left behind here, and woken once for nothing: all that wait allow for it.
        if to_write:
            self.writer_until = until[0] if self.writer is None else min(self.writer_until, until[0])
            self.writer = joined(self.writer, current)
        else:
            self.reader_until = until[0] if self.reader is None else min(self.reader_until, until[0])
            self.reader = joined(self.reader, current)
        self.see_to_it(until[0])
        return current

    cdef int check_time(self, bint to_write, double until) except -1:
        if not (self.writable if to_write else self.readable) and now_in_seconds() >= until:
            raise TimeoutError("timed out")
        return 0

    cdef int wait_in_thread(self, bint to_write, double until) except -1:
        cdef pollfd one
        cdef int count, milliseconds = -1
        if until < INFINITY:
            milliseconds = <int>ceil(min(max((until - now_in_seconds()) * 1000, 0), LONGEST_WAIT))
        one.fd = self.descriptor
        one.events = POLLOUT if to_write else POLLIN
        with nogil:
            count = poll(&one, 1, milliseconds)
        if count == 0:
            raise TimeoutError("timed out")
        if count < 0 and errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()
        self.readable = self.writable = True
        return 0

    # -- Reading and writing -------------------------------------------------------------------------------------

    # Whether a descriptor blocks is for all its duplicates, which others may have, to say: each call says it itself.

    def spend(self):
        """Give way to the others once a greenlet has had its share."""
        self.spend_one()

    cdef inline int spend_one(self) except -1:
        self.hub.budget -= 1
        return self.hub.give_way_if_others_wait() if self.hub.budget < 0 else 0

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

    cdef bint never_waits(self) except -1:
        return self.timeout is not None and <double>self.timeout == 0

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
