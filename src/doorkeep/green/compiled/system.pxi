# What the hub and its channels use of the kernel, of CPython and of greenlet.

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

cdef extern from "frame_stack.h":
    void frame_stack_prepare()
    void frame_stack_begin()
    void frame_stack_end()

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
