# Who runs next, and for how long the kernel is waited for.

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
        self.idle, self.timers, self.errors, self.calls = [], [], {}, deque()
        self.unflushed, self.outbox, self.late = [], [], {}
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
        if self.workers:  # the first is for the function that the hub runs for, which is deep mostly
            frame_stack_begin()
        self.workers += 1
        try:
            self.do_jobs()
        finally:
            self.workers -= 1
            self.ended += 1
            frame_stack_end()

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
            if len(self.idle) >= IDLE_GREENLETS:
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
        if self.unflushed:
            self.outbox.append((current, self.unflushed))
            self.unflushed = []
        cdef object target = self.next()
        if target is not current:
            switch_to(target)
        self.current = current
        self.begin_turn()
        error = self.errors.pop(current, None) if self.errors else None
        if self.late:
            self.resumed_late(current, error)
        if error is not None:
            raise error
        return 0

    cdef int resumed_late(self, current, error) except -1:
        """Send what the outbox could not; one that is interrupted leaves it until it waits the next time."""
        cdef list writers = self.late.pop(current, None)
        if writers is not None:
            self.unflushed += writers
            if error is None:
                self.flush()
        return 0

    cdef int send_outbox(self) except -1:
        """Send what those have collected that wait; have them do it themselves where that takes waiting."""
        cdef list outbox = self.outbox, writers
        self.outbox = []
        for current, writers in outbox:
            writers = [writer for writer in writers if not writer.send_now()]
            if writers:
                self.late[current] = self.late.get(current, []) + writers
                self.push(current)
        return 0

    cdef void begin_turn(self) noexcept:
        cdef timespec time
        # To a few milliseconds, which is what the watchdog needs and costs next to nothing.
        clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
        self.resumed = time.tv_sec + time.tv_nsec * 1e-9
        self.budget = BUDGET
        self.switches += 1

    cdef int flush(self) except -1:
        while self.unflushed:
            self.unflushed.pop().send_collected()
        return 0

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
                if self.outbox:
                    self.send_outbox()
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
        if self.outbox:
            # Right one after the other, which wakes a peer once and not each time that it has nothing left to do.
            self.send_outbox()
        count = self.wait_for_events()
        for index in range(count):
            data = self.events[index].data.u64
            if data == WAKEUP:
                self.drain_calls()
                continue
            descriptor = <int>(data & 0xFFFFFFFF)
            registration = &self.registrations[descriptor]
            if registration.waitable != NULL and registration.generation == data >> 32:
                (<Waitable>registration.waitable).happened(self.events[index].events)
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
            if isinstance(item, Waitable):
                (<Waitable>item).look_at_clock(now)
            else:
                timer = item
                function, timer.function = timer.function, None
                if function is not None:
                    call_safely(function)
        return 0

    # -- Descriptors ---------------------------------------------------------------------------------------------

    cdef int register(self, Waitable waitable) except -1:
        cdef int descriptor = waitable.descriptor, capacity = self.capacity
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
        registration.waitable = <void*>waitable
        registration.generation += 1
        event.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET
        event.data.u64 = <uint64_t>registration.generation << 32 | <uint32_t>descriptor
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, descriptor, &event) < 0:
            if errno != EEXIST or epoll_ctl(self.epoll, EPOLL_CTL_MOD, descriptor, &event) < 0:
                registration.waitable = NULL
                PyErr_SetFromErrno(OSError)
        waitable.registered = True
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
