# cython: language_level=3, boundscheck=False, wraparound=False, binding=False, auto_pickle=False
"""The hub and its channels, compiled. `doorkeep.green.pure.loop` says in Python what each does."""

import sys
from collections import deque
from heapq import heapify, heappop, heappush
from os import strerror

import greenlet  # for its functions

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.pycapsule cimport PyCapsule_Import
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport EAGAIN, EBADF, EEXIST, EINTR, errno
from libc.math cimport INFINITY, ceil
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset
from posix.unistd cimport close, read, write

cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLERR, EPOLLHUP, EPOLLRDHUP, EPOLLET
        EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLL_CLOEXEC
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int descriptor, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int size, int milliseconds)

cdef extern from "<sys/eventfd.h>" nogil:
    enum:
        EFD_CLOEXEC, EFD_NONBLOCK
    int eventfd(unsigned int value, int flags)

cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_WAITALL, SOCK_STREAM, SOL_SOCKET, SO_TYPE
    ctypedef unsigned int socklen_t
    int getsockopt(int descriptor, int level, int option, void* value, socklen_t* size)

cdef extern from "calls.h" nogil:
    ssize_t receive_bytes(int descriptor, void* buffer, size_t size, int flags)
    ssize_t send_bytes(int descriptor, const void* buffer, size_t size, int flags)

cdef extern from "<poll.h>" nogil:
    enum:
        POLLIN, POLLOUT
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd* descriptors, unsigned long count, int milliseconds)

cdef extern from "<time.h>" nogil:
    enum:
        CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* time)

cdef extern from "small_stack.h":
    ctypedef struct small_stack:
        pass
    void small_stack_begin(small_stack* stack, size_t size)
    void small_stack_end(small_stack* stack)
    bint small_stack_overflown()

cdef extern from *:
    """
    #include <features.h>
    #ifdef __GLIBC__
    #include <malloc.h>
    static void return_free_memory(void) { malloc_trim(0); }
    #else
    static void return_free_memory(void) { }
    #endif
    """
    void return_free_memory() nogil

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident()

# greenlet's functions, by the capsule that it hands them out in; the numbers are those of its header.
ctypedef PyObject* (*_Switch)(PyObject* greenlet, PyObject* arguments, PyObject* keywords) except NULL
ctypedef PyObject* (*_Current)() except NULL
ctypedef PyObject* (*_New)(PyObject* run, PyObject* parent) except NULL
cdef void** _functions = <void**>PyCapsule_Import("greenlet._C_API", 0)
cdef _New _new_greenlet = <_New>_functions[3]
cdef _Current _current_greenlet = <_Current>_functions[4]
cdef _Switch _switch_greenlet = <_Switch>_functions[6]

cdef enum:
    EVENT_BATCH = 1024
    SCRATCH_SIZE = 1 << 18
    # How many calls that need not wait a greenlet may make before the others have their turn.
    BUDGET = 64
    # How many greenlets without a job are kept for the next.
    IDLE_GREENLETS = 64
    MANY_GREENLETS = 1000
    MANY_TIMERS = 64
    SMALL_STACK = 1280
    LONGEST_WAIT = 1 << 30  # milliseconds

cdef uint64_t WAKEUP = <uint64_t>-1

NAME = "epoll, compiled"


cdef inline object current_greenlet():
    cdef PyObject* current = _current_greenlet()
    cdef object result = <object>current
    Py_DECREF(result)
    return result


cdef inline int switch_to(target) except -1:
    cdef PyObject* result = _switch_greenlet(<PyObject*>target, NULL, NULL)
    Py_DECREF(<object>result)
    return 0


cdef inline double now_in_seconds() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec + time.tv_nsec * 1e-9


cdef class Job:
    """A function and its arguments, to be called in a greenlet."""

    cdef object function
    cdef tuple arguments

    def __init__(self, function, tuple arguments):
        self.function = function
        self.arguments = arguments


cdef class Timer:
    """A function to be called at a moment, unless `cancel` is called first."""

    cdef Hub hub
    cdef object function

    def __init__(self, Hub hub, function):
        self.hub = hub
        self.function = function

    def cancel(self):
        if self.function is not None:
            self.function = None
            self.hub.timer_cancelled()


cdef class Hub:
    """Runs greenlets: each until it waits, then another that need wait no longer."""

    def __cinit__(self):
        self.epoll = self.wakeup = -1
        self.scratch = <char*>malloc(SCRATCH_SIZE)
        self.events = <epoll_event*>malloc(EVENT_BATCH * sizeof(epoll_event))
        self.ring_size = 1024
        self.ring = <void**>malloc(self.ring_size * sizeof(void*))
        if self.scratch == NULL or self.events == NULL or self.ring == NULL:
            raise MemoryError

    def __init__(self):
        self.thread = PyThread_get_thread_ident()
        self.stack_size = SMALL_STACK
        self.idle, self.timers, self.unflushed, self.errors, self.calls = [], [], [], {}, deque()
        self.work = self._work
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        cdef epoll_event event
        event.events = EPOLLIN
        event.data.u64 = WAKEUP
        if self.epoll < 0 or self.wakeup < 0 or epoll_ctl(self.epoll, EPOLL_CTL_ADD, self.wakeup, &event) < 0:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        while self.count:
            self.pop()
        self.close_descriptors()
        free(self.scratch)
        free(self.events)
        free(self.ring)
        free(self.registrations)

    cdef close_descriptors(self):
        if self.epoll >= 0:
            close(self.epoll)
        if self.wakeup >= 0:
            close(self.wakeup)
        self.epoll = self.wakeup = -1

    # -- Running -------------------------------------------------------------------------------------------------

    def run(self, done):
        self.greenlet = current_greenlet()
        self.running = True
        try:
            while not done():
                switch_to_next(self)
        finally:
            self.running = False
            if self.job is not None:
                self.push(self.job)
                self.job = None

    def close(self):
        self.closing = True
        self.greenlet = current_greenlet()
        while self.idle:
            switch_to(self.idle.pop())
        self.work = None
        self.close_descriptors()

    def start(self, function, *arguments):
        self.push(Job(function, arguments))

    def _work(self):
        cdef small_stack stack
        # The first is for the function that the hub runs for, which is deep mostly.
        small_stack_begin(&stack, self.stack_size if self.workers else 0)
        self.workers += 1
        try:
            self.do_jobs()
        finally:
            self.workers -= 1
            self.ended += 1
            small_stack_end(&stack)

    cdef int do_jobs(self) except -1:
        cdef object me = current_greenlet()
        self.current = me
        self.begin_turn()
        while not self.closing:
            while self.job is not None:
                # Each job in a context of its own, as a thread has.
                me.gr_context = None
                self.call_job()
                if self.unflushed:
                    self.flush()
                if self.turn and type(<object>self.ring[self.head]) is Job:
                    self.turn -= 1
                    self.job = self.pop()
                    self.begin_turn()
            if len(self.idle) >= IDLE_GREENLETS or small_stack_overflown():
                self.stack_size = 0 if small_stack_overflown() else self.stack_size
                break
            self.idle.append(me)
            while self.job is None and not self.closing:
                self.switch_away(me)
        return 0

    cdef int call_job(self) except -1:
        cdef Job job = self.job
        cdef object function = job.function
        cdef tuple arguments = job.arguments
        self.job = job = None
        function(*arguments)
        return 0

    def park(self):
        self.switch_away(current_greenlet())

    cdef int switch_away(self, current) except -1:
        if self.unflushed and self.flush():
            return 0  # has waited meanwhile, and may have been woken: the caller will see
        if self.stack_size and small_stack_overflown():
            self.stack_size = 0
        cdef object target = self.next()
        if target is not current:
            switch_to(target)
        self.current = current
        self.begin_turn()
        if self.errors:
            error = self.errors.pop(current, None)
            if error is not None:
                raise error
        return 0

    cdef void begin_turn(self) noexcept:
        cdef timespec time
        # To a few milliseconds, which is what the watchdog needs and costs next to nothing.
        clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
        self.resumed = time.tv_sec + time.tv_nsec * 1e-9
        self.budget = BUDGET
        self.switches += 1

    cdef bint flush(self) except -1:
        """Send what writers have collected; return whether that had to wait."""
        cdef unsigned long before = self.switches
        while self.unflushed:
            self.unflushed.pop().send_collected()
        return self.switches != before

    cpdef wake(self, greenlet):
        self.push(greenlet)

    def attend(self):
        """Have `run` ask whether it is done."""
        self.attention = True

    cdef int give_way_if_others_wait(self) except -1:
        self.budget = BUDGET
        if self.is_ours():
            self.give_way()
        return 0

    cpdef give_way(self):
        current = current_greenlet()
        self.push(current)
        self.switch_away(current)

    def interrupt(self, greenlet, error):
        self.errors[greenlet] = error
        self.push(greenlet)

    def interrupt_of(self, greenlet):
        return self.errors.get(greenlet)

    def forget_interrupt(self, greenlet, error):
        if self.errors.get(greenlet) is error:
            del self.errors[greenlet]
            return True
        return False

    cdef object next(self):
        while True:
            if self.attention:
                return self.greenlet
            if self.turn:
                self.turn -= 1
                item = self.pop()
                if type(item) is not Job:
                    return item
                self.job = item
                # A greenlet begins on the stack of whoever starts it: were it another than the hub's, they would pile up.
                return self.idle.pop() if self.idle else self.greenlet
            self.poll()

    cdef object new_worker(self):
        cdef PyObject* created = _new_greenlet(<PyObject*>self.work, <PyObject*>self.greenlet)
        worker = <object>created
        Py_DECREF(worker)
        return worker

    cdef bint is_ours(self):
        """Whether the caller may park: it is in one of our greenlets."""
        return self.is_in_thread() and current_greenlet() is not self.greenlet

    cdef bint is_in_thread(self) noexcept:
        return self.running and PyThread_get_thread_ident() == self.thread

    def busy(self):
        """Whether there are greenlets with something to do."""
        cdef Py_ssize_t index
        for index in range(self.count):
            if type(<object>self.ring[(self.head + index) & (self.ring_size - 1)]) is Job:
                return True
        return self.workers > len(self.idle)

    def parks(self):
        return self.is_ours()

    # -- Who is to run -------------------------------------------------------------------------------------------

    cdef int push(self, item) except -1:
        cdef Py_ssize_t index, size = self.ring_size
        cdef void** larger
        if self.count == size:
            larger = <void**>malloc(2 * size * sizeof(void*))
            if larger == NULL:
                raise MemoryError
            for index in range(size):
                larger[index] = self.ring[(self.head + index) & (size - 1)]
            free(self.ring)
            self.ring, self.ring_size, self.head = larger, 2 * size, 0
        Py_INCREF(item)
        self.ring[(self.head + self.count) & (self.ring_size - 1)] = <void*>item
        self.count += 1
        return 0

    cdef object pop(self):
        item = <object>self.ring[self.head]
        Py_DECREF(item)
        self.head = (self.head + 1) & (self.ring_size - 1)
        self.count -= 1
        return item

    # -- Waiting for the kernel ----------------------------------------------------------------------------------

    cdef int poll(self) except -1:
        cdef int index, count
        cdef uint64_t data
        cdef int descriptor
        cdef Registration* registration
        count = self.wait_for_events()
        for index in range(count):
            data = self.events[index].data.u64
            if data == WAKEUP:
                self.drain_calls()
                continue
            descriptor = <int>(data & 0xFFFFFFFF)
            registration = &self.registrations[descriptor]
            if registration.channel != NULL and registration.generation == data >> 32:
                (<Channel>registration.channel).happened(self.events[index].events)
        if self.timers:
            self.expire()
        self.turn = self.count
        return 0

    cdef int wait_for_events(self) except -2:
        cdef int count, milliseconds = -1
        cdef double rest
        if self.count or self.calls:
            milliseconds = 0
        elif self.timers:
            rest = <double>self.timers[0][0] - now_in_seconds()
            milliseconds = <int>ceil(min(max(rest * 1000, 0), LONGEST_WAIT))
        if milliseconds == 0:
            count = epoll_wait(self.epoll, self.events, EVENT_BATCH, 0)
        else:
            if self.ended >= MANY_GREENLETS:
                # The stacks of so many leave holes that the allocator would keep.
                self.ended = 0
                return_free_memory()
            self.waiting = True
            with nogil:
                count = epoll_wait(self.epoll, self.events, EVENT_BATCH, milliseconds)
            self.waiting = False
        if count < 0:
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            # A signal handler may raise, which is for whoever called `run`.
            self.attention = True
            count = 0
        if self.calls and not self.awakened:
            self.drain_calls()
        return count

    def call_from_thread(self, function):
        self.calls.append(function)
        cdef uint64_t one = 1
        if not self.awakened:
            self.awakened = True
            if self.wakeup >= 0:
                write(self.wakeup, &one, sizeof(one))

    cdef int drain_calls(self) except -1:
        cdef uint64_t value
        read(self.wakeup, &value, sizeof(value))
        self.awakened = False
        while self.calls:
            call_safely(self.calls.popleft())
        return 0

    # -- Time ----------------------------------------------------------------------------------------------------

    def call_at(self, double when, function):
        timer = Timer(self, function)
        self.schedule(when, timer)
        return timer

    def timer_cancelled(self):
        self.cancelled += 1
        if self.cancelled > MANY_TIMERS and 2 * self.cancelled > len(self.timers):
            self.timers = [
                entry for entry in self.timers
                if not isinstance(entry[2], Timer) or (<Timer>entry[2]).function is not None
            ]
            heapify(self.timers)
            self.cancelled = 0

    cdef int schedule(self, double when, item) except -1:
        self.timer_number += 1
        heappush(self.timers, (when, self.timer_number, item))
        return 0

    cdef int expire(self) except -1:
        cdef double now = now_in_seconds()
        cdef Timer timer
        while self.timers and <double>self.timers[0][0] <= now:
            item = heappop(self.timers)[2]
            if isinstance(item, Channel):
                (<Channel>item).look_at_clock(now)
            else:
                timer = item
                function, timer.function = timer.function, None
                if function is not None:
                    call_safely(function)
        return 0

    # -- Descriptors ---------------------------------------------------------------------------------------------

    cdef int register(self, Channel channel) except -1:
        cdef int descriptor = channel.descriptor, capacity = self.capacity
        cdef Registration* registration
        cdef epoll_event event
        if descriptor >= capacity:
            capacity = max(2 * capacity, descriptor + 64)
            registration = <Registration*>realloc(self.registrations, capacity * sizeof(Registration))
            if registration == NULL:
                raise MemoryError
            memset(registration + self.capacity, 0, (capacity - self.capacity) * sizeof(Registration))
            self.registrations, self.capacity = registration, capacity
        registration = &self.registrations[descriptor]
        registration.channel = <void*>channel
        registration.generation += 1
        event.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET
        event.data.u64 = <uint64_t>registration.generation << 32 | <uint32_t>descriptor
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, descriptor, &event) < 0:
            if errno != EEXIST or epoll_ctl(self.epoll, EPOLL_CTL_MOD, descriptor, &event) < 0:
                registration.channel = NULL
                PyErr_SetFromErrno(OSError)
        channel.registered = True
        return 0


cdef int switch_to_next(Hub hub) except -1:
    if hub.attention:
        hub.attention = False
        PyErr_CheckSignals()
    target = hub.next() if hub.job is None else hub.greenlet
    if target is not hub.greenlet:
        switch_to(target)
    elif hub.job is not None:
        switch_to(hub.new_worker())
    return 0


cdef int call_safely(function) except -1:
    try:
        function()
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
    return 0


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
            length = receive_bytes(self.descriptor, buffer, size, flags)
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

    cdef Py_ssize_t transmit(self, const char* data, Py_ssize_t size, int flags, double* until) except -1:
        cdef Py_ssize_t length
        self.spend_one()
        while True:
            if self.writable or flags or self.never_waits():
                length = send_bytes(self.descriptor, data, size, flags | MSG_NOSIGNAL)
                if length >= 0:
                    return length
                if errno == EINTR:
                    PyErr_CheckSignals()
                    continue
                if errno != EAGAIN or (flags & MSG_DONTWAIT and self.timeout is None):
                    PyErr_SetFromErrno(OSError)
                self.writable = False
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
        while done < size:
            done += self.transmit(data + done, size - done, flags, &until)
        return 0
