# cython: language_level=3, boundscheck=False, wraparound=False, binding=False, auto_pickle=False
"""Buffered reading and collected writing, compiled. `doorkeep.green.pure.streams` says in Python what each does."""

from io import BufferedIOBase, UnsupportedOperation

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcpy

from doorkeep.green.compiled.loop cimport Channel, Hub

cdef enum:
    CHUNK = 1 << 16
    MOST_COLLECTED = 1 << 16


class SocketMethods:
    """The methods of a green socket that matter: those of its channel, without a frame of Python between."""

    __slots__ = ()

    @cython.binding(True)
    def recv(self, bufsize, flags=0, /):
        return (<Channel?>self._channel).recv(bufsize, flags)

    @cython.binding(True)
    def recv_into(self, buffer, nbytes=0, flags=0):
        return (<Channel?>self._channel).recv_into(buffer, nbytes, flags)

    @cython.binding(True)
    def send(self, data, flags=0, /):
        return (<Channel?>self._channel).send(data, flags)

    @cython.binding(True)
    def sendall(self, data, flags=0, /):
        return (<Channel?>self._channel).sendall(data, flags)


include "reader.pxi"
include "writer.pxi"
