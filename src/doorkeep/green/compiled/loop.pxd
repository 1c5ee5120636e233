from libc.stdint cimport uint32_t, uint64_t

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data

# What the kernel's events of a descriptor belong to. The generation tells a descriptor's successor from it, as events
# may still come from a duplicate of a descriptor that was closed.
cdef struct Registration:
    void* waitable
    uint32_t generation

cdef class Hub:
    cdef readonly object greenlet, current
    cdef readonly bint running
    cdef readonly unsigned long thread
    cdef readonly unsigned long switches
    cdef readonly bint waiting
    cdef readonly double resumed
    cdef readonly list unflushed
    cdef list outbox
    cdef dict late
    cdef readonly Py_ssize_t workers, ended
    cdef Py_ssize_t cancelled
    cdef char* scratch
    cdef int budget
    cdef int epoll
    cdef int wakeup
    cdef epoll_event* events
    cdef Registration* registrations
    cdef int capacity
    cdef void** ring
    cdef Py_ssize_t ring_size, head, count, turn
    cdef object job, work, calls
    cdef bint awakened, attention, closing
    cdef list idle, timers
    cdef uint64_t timer_number
    cdef dict errors

    cdef void begin_turn(self) noexcept
    cdef int do_jobs(self) except -1
    cdef int call_job(self) except -1
    cdef int push(self, item) except -1
    cdef object pop(self)
    cdef object next(self)
    cdef object new_worker(self)
    cdef int poll(self) except -1
    cdef int wait_for_events(self) except -2
    cdef int drain_calls(self) except -1
    cdef int expire(self) except -1
    cdef int schedule(self, double when, item) except -1
    cdef bint is_ours(self)
    cdef int flush(self) except -1
    cdef int resumed_late(self, current, error) except -1
    cdef int send_outbox(self) except -1
    cdef close_descriptors(self)
    cdef int switch_away(self, current) except -1
    cdef bint is_in_thread(self) noexcept
    cpdef wake(self, greenlet)
    cdef int give_way_if_others_wait(self) except -1
    cpdef give_way(self)
    cdef int register(self, Waitable waitable) except -1

cdef class Waitable:
    cdef readonly Hub hub
    cdef int descriptor
    cdef public object timeout
    cdef public bint readable
    cdef bint writable, registered, short_is_empty
    cdef object reader, writer
    cdef double reader_until, writer_until, scheduled
    cdef object __weakref__

    cdef unregister(self)
    cdef int happened(self, uint32_t events) except -1
    cdef int look_at_clock(self, double now) except -1
    cdef int see_to_it(self, double until) except -1
    cdef int wake_reader(self) except -1
    cdef int wake_writer(self) except -1
    cdef int wait(self, bint to_write, double* until) except -1
    cdef object expect_in_hub(self, bint to_write, double* until)
    cdef int check_time(self, bint to_write, double until) except -1
    cdef int wait_in_thread(self, bint to_write, double until) except -1
    cdef int spend_one(self) except -1
    cdef bint never_waits(self) except -1

cdef class Channel(Waitable):
    cdef object collecting, sender
    cdef readonly bint exposed

    cdef int transmit_all(self, const char* data, Py_ssize_t size, int flags) except -1
    cdef Py_ssize_t receive_now(self, char* buffer, Py_ssize_t size, int flags) except -1
    cdef bint waits_for_all(self, int flags) except -1
    cdef Py_ssize_t receive_all(self, char* buffer, Py_ssize_t size, int flags) except -1
    cdef bytes recv_much(self, Py_ssize_t size, int flags)
    cdef Py_ssize_t receive(self, char* buffer, Py_ssize_t size, int flags) except -1
    cpdef flush(self)
    cdef Py_ssize_t transmit_now(self, const char* data, Py_ssize_t size, int flags) except -1
    cdef Py_ssize_t transmit(self, const char* data, Py_ssize_t size, int flags, double* until) except -1
    cdef int transmit_rest(self, const char* data, Py_ssize_t size, int flags, double* until) except -1
    cdef int wait_for_turn(self, int flags, double* until) except -1
    cdef bint is_others_turn(self) except -1
    cpdef bint keep_turn(self) except -1
    cpdef end_turn(self)
    cpdef recv(self, Py_ssize_t size, int flags=*)
    cpdef sendall(self, data, int flags=*)
