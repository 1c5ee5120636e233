# A descriptor that greenlets wait for.

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


# The collector is not to take the hub away before what is waited for has left its registrations.
@cython.no_gc_clear
cdef class Waitable:
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
            if registration.waitable == <void*>self:
                registration.waitable = NULL

    def forget(self):
        """Have the kernel forget the descriptor too, which lives on without us."""
        cdef epoll_event event
        # Its number may be another's by now.
        if self.registered and self.hub.registrations[self.descriptor].waitable == <void*>self and self.hub.epoll >= 0:
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

    cdef bint never_waits(self) except -1:
        return self.timeout is not None and <double>self.timeout == 0

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

    def spend(self):
        """Give way to the others once a greenlet has had its share."""
        self.spend_one()

    cdef inline int spend_one(self) except -1:
        self.hub.budget -= 1
        return self.hub.give_way_if_others_wait() if self.hub.budget < 0 else 0
