# cython: language_level=3, boundscheck=False, wraparound=False, binding=False, auto_pickle=False
"""Datagrams in batches, a system call for many (recvmmsg(2), sendmmsg(2)). `doorkeep.green.datagrams` says what for."""

from socket import AF_INET, AF_INET6, socket

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.long cimport PyLong_AsLong
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint16_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy

from doorkeep.green.compiled.loop cimport Channel, Hub

cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include <time.h>

    typedef union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } peer_address;

    static long long nanoseconds(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * 1000000000LL + now.tv_nsec;
    }
    """
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        uint32_t sin6_scope_id
        in6_addr sin6_addr
    ctypedef union peer_address:
        sockaddr_in four
        sockaddr_in6 six
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    enum:
        MSG_DONTWAIT
        INET6_ADDRSTRLEN
    int recvmmsg(int descriptor, mmsghdr* messages, unsigned int count, int flags, void* timeout) nogil
    int sendmmsg(int descriptor, mmsghdr* messages, unsigned int count, int flags) nogil
    const char* inet_ntop(int family, const void* address, char* text, unsigned int size) nogil
    uint16_t ntohs(uint16_t number) nogil
    uint32_t ntohl(uint32_t number) nogil
    long long nanoseconds() nogil

cdef enum:
    BATCH = 64
    # More peers than this, and their addresses are made anew.
    KNOWN_PEERS = 4096
    # Places for the addresses of peers that are found by the last byte of their port, without a lookup by all bytes.
    RECENT_PEERS = 256
    # In bytes: a longer datagram may be refused when it is sent, which is for the one who sends it to know.
    SURELY_SENT = 1200
    # Nanoseconds that a reply may wait for others.
    LONGEST_DELAY = 1000000


class BatchSocket(socket):
    """A datagram socket that sends replies together while a batch is being handled."""

    __slots__ = ("batch",)

    @cython.binding(True)
    def __init__(self, *arguments, **keywords):
        socket.__init__(self, *arguments, **keywords)
        self.batch = None

    @cython.binding(True)
    def sendto(self, data, flags_or_address, *address):
        """As `socket.socket.sendto`; errors of a reply that was kept come to the server's `handle_error`."""
        cdef Py_ssize_t size
        batch = self.batch
        if batch is not None and not address:
            size = (<DatagramBatch?>batch).keep(data, flags_or_address)
            if size >= 0:
                return size
        return socket.sendto(self, data, flags_or_address, *address)


cdef class DatagramBatch:
    """Receives and sends the datagrams of a bound socket, many at a time."""

    cdef Hub hub
    cdef Channel channel
    cdef object socket
    cdef int descriptor, family
    # How many bytes of a datagram there is room for: one more than are handed out, which tells what is longer.
    cdef Py_ssize_t room
    cdef char* buffers
    # Datagrams that were received, and of those how many were handed out.
    cdef int count, taken
    cdef mmsghdr received[BATCH]
    cdef iovec places[BATCH]
    cdef peer_address peers[BATCH]
    # What is kept, and of that what was sent: there is room again when all was.
    cdef mmsghdr replies[BATCH]
    cdef iovec pieces[BATCH]
    cdef peer_address destinations[BATCH]
    cdef list kept, kept_addresses
    cdef int sent
    cdef bint listed
    cdef long long since
    cdef object truncated, failed
    cdef dict addresses, names
    cdef peer_address recent[RECENT_PEERS]
    cdef unsigned int recent_lengths[RECENT_PEERS]
    cdef list recent_addresses
    cdef object __weakref__

    def __init__(self, Hub hub, sock, truncated, failed):
        cdef int index
        self.hub = hub
        self.channel = Channel(hub, sock)
        self.socket = sock
        self.descriptor = sock.fileno()
        self.family = sock.family
        self.truncated, self.failed = truncated, failed
        self.kept, self.kept_addresses = [], []
        self.addresses, self.names = {}, {}
        self.recent_addresses = [None] * RECENT_PEERS
        for index in range(BATCH):
            self.received[index].msg_hdr.msg_name = &self.peers[index]
            self.received[index].msg_hdr.msg_namelen = sizeof(peer_address)
            self.received[index].msg_hdr.msg_iov = &self.places[index]
            self.received[index].msg_hdr.msg_iovlen = 1
            self.replies[index].msg_hdr.msg_name = &self.destinations[index]
            self.replies[index].msg_hdr.msg_iov = &self.pieces[index]
            self.replies[index].msg_hdr.msg_iovlen = 1

    def __dealloc__(self):
        free(self.buffers)

    # -- Receiving -----------------------------------------------------------------------------------------------

    @property
    def waiting(self):
        """Whether some were received and not handed out."""
        return self.taken < self.count

    def receive(self, Py_ssize_t size):
        """Receive what has come and return how many these are, up to 64; hand out `size` bytes of each at the most.

        None is received while some are `waiting`. Sends what is kept.
        """
        cdef int count
        self.flush()
        if self.waiting:
            return 0
        if self.room != size + 1:
            self.make_room(size + 1)
        self.count = self.taken = 0
        count = recvmmsg(self.descriptor, self.received, BATCH, MSG_DONTWAIT, NULL)
        if count < 0:
            if errno != EAGAIN and errno != EINTR:
                PyErr_SetFromErrno(OSError)
            PyErr_CheckSignals()
            return 0
        self.count = count
        return count

    def __iter__(self):
        return self

    def __next__(self):
        """Hand out `(request, address)`, of the oldest first."""
        cdef int index = self.taken
        cdef mmsghdr* message = &self.received[index]
        if index >= self.count:
            raise StopIteration
        self.taken += 1
        data = PyBytes_FromStringAndSize(<char*>self.places[index].iov_base, message.msg_len)
        address = self.address_of(&self.peers[index], message.msg_hdr.msg_namelen)
        message.msg_hdr.msg_namelen = sizeof(peer_address)  # the kernel has put the address's own in its place
        request = (data, self.socket)
        if message.msg_len == self.room:
            request = self.truncated(request, address)
        return request, address

    cdef int make_room(self, Py_ssize_t room) except -1:
        cdef int index
        cdef char* buffers = <char*>realloc(self.buffers, BATCH * room)
        if buffers == NULL:
            raise MemoryError
        self.buffers = buffers
        self.room = room
        for index in range(BATCH):
            self.places[index].iov_base = buffers + index * room
            self.places[index].iov_len = room
        return 0

    cdef object address_of(self, peer_address* peer, unsigned int length):
        cdef int place = ntohs(peer.four.sin_port) % RECENT_PEERS  # which is where that of IPv6 is too
        if self.recent_lengths[place] != length or memcmp(&self.recent[place], peer, length) != 0:
            self.recent_addresses[place] = self.known_address(peer, length)
            memcpy(&self.recent[place], peer, length)
            self.recent_lengths[place] = length
        return self.recent_addresses[place]

    cdef object known_address(self, peer_address* peer, unsigned int length):
        cdef bytes name = PyBytes_FromStringAndSize(<char*>peer, length)
        cdef char text[64]
        address = self.addresses.get(name)
        if address is not None:
            return address
        if self.family == AF_INET:
            inet_ntop(AF_INET, &peer.four.sin_addr, text, sizeof(text))
            address = (text.decode(), ntohs(peer.four.sin_port))
        else:
            inet_ntop(AF_INET6, &peer.six.sin6_addr, text, sizeof(text))
            address = (
                text.decode(), ntohs(peer.six.sin6_port), ntohl(peer.six.sin6_flowinfo), peer.six.sin6_scope_id
            )
        if len(self.addresses) >= KNOWN_PEERS:
            self.addresses.clear()
            self.names.clear()
        self.addresses[name] = address
        self.names[address] = name
        return address

    # -- Sending -------------------------------------------------------------------------------------------------

    cdef Py_ssize_t keep(self, data, address) except -2:
        """Keep a datagram until the greenlet waits, a millisecond is over or there are 64; return its size.

        Returns -1 for one that has to be sent alone: it is long, its peer has sent none lately, or no hub runs.
        """
        cdef bytes reply
        cdef int index
        if type(data) is bytes:
            reply = data
        else:
            with memoryview(data) as view:
                reply = view.tobytes()
        if PyBytes_GET_SIZE(reply) > SURELY_SENT or not self.hub.is_ours():
            return -1
        while len(self.kept) == BATCH:  # somebody waits for room to send them
            self.flush()
        index = len(self.kept)
        if not self.address(index, address):
            return -1
        self.pieces[index].iov_base = PyBytes_AS_STRING(reply)
        self.pieces[index].iov_len = PyBytes_GET_SIZE(reply)
        self.kept.append(reply)
        self.kept_addresses.append(address)
        if index == 0:
            self.since = nanoseconds()
            if not self.listed:
                self.listed = True
                self.hub.unflushed.append(self)
        elif index + 1 == BATCH or nanoseconds() - self.since > LONGEST_DELAY:
            self.flush()
        return PyBytes_GET_SIZE(reply)

    cdef bint address(self, int index, address) except -1:
        """Address a reply to a peer; return whether the peer is known."""
        cdef int place
        cdef bytes name
        if type(address) is tuple and len(<tuple>address) >= 2 and type((<tuple>address)[1]) is int:
            place = <uint16_t>PyLong_AsLong((<tuple>address)[1]) % RECENT_PEERS
            if self.recent_addresses[place] is address:
                self.destinations[index] = self.recent[place]
                self.replies[index].msg_hdr.msg_namelen = self.recent_lengths[place]
                return True
        name = self.names.get(address)
        if name is None:
            return False
        memcpy(&self.destinations[index], PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        self.replies[index].msg_hdr.msg_namelen = PyBytes_GET_SIZE(name)
        return True

    def send_now(self):
        while self.kept:
            if self.send_some() < 0:
                return False
        self.listed = False
        return True

    def send_collected(self):
        self.listed = False
        self.flush()

    cdef int flush(self) except -1:
        """Send what is kept, in order; `failed` is told of what cannot be sent."""
        while self.kept:
            if self.send_some() >= 0:
                continue
            if errno == EAGAIN:
                self.channel.wait_writable()
            elif errno == EINTR:
                PyErr_CheckSignals()
            else:
                number = errno
                address = self.kept_addresses[self.sent]
                self.note_sent(1)
                self.failed(address, number)
        return 0

    cdef int send_some(self) except -2:
        """Send the first of what is kept and return how many these were, -1 for an error."""
        cdef int count = sendmmsg(self.descriptor, &self.replies[self.sent], len(self.kept) - self.sent, 0)
        if count > 0:
            self.note_sent(count)
        return count

    cdef int note_sent(self, int count) except -1:
        self.sent += count
        if self.sent == len(self.kept):
            self.sent = 0
            self.kept.clear()
            self.kept_addresses.clear()
        return 0

    def close(self):
        self.channel.forget()
