/*
 * The stack of a greenlet's Python frames: a first piece that is smaller than CPython's, and further ones at hand.
 *
 * CPython gives each thread, and so each greenlet, a stack for its frames in pieces of 16 KiB, which come from mmap(2):
 * 4 KiB of them are touched at once, more than all else that an idle connection takes. A greenlet begins on a piece of
 * little more than 1 KiB instead, and goes on to CPython's when that is full. Where that is so at each call of a deep
 * function, CPython would get a piece from the kernel and return it each time: some that were returned are kept.
 *
 * The piece is laid out as in `push_chunk` and `_PyThreadState_PopFrame` of Python/pystate.c, alike in 3.11 to 3.13.
 * Elsewhere these functions do nothing.
 */
#ifndef DOORKEEP_FRAME_STACK_H
#define DOORKEEP_FRAME_STACK_H

#include <Python.h>

#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED) && !defined(PYPY_VERSION)

enum { FIRST_PIECE = 1280, PIECE = 16 * 1024, MOST_KEPT = 64 };

static struct {
    PyObjectArenaAllocator python;
    char busy; /* interpreters with a GIL of their own share the allocator */
    int count;
    void *pieces[MOST_KEPT];
} kept;

static void *allocate_piece(void *context, size_t size)
{
    void *piece = NULL;
    (void)context;
    if (size == PIECE && !__atomic_test_and_set(&kept.busy, __ATOMIC_ACQUIRE)) {
        if (kept.count)
            piece = kept.pieces[--kept.count];
        __atomic_clear(&kept.busy, __ATOMIC_RELEASE);
    }
    return piece ? piece : kept.python.alloc(kept.python.ctx, size);
}

static void free_piece(void *context, void *piece, size_t size)
{
    int is_kept = 0;
    (void)context;
    if (size == FIRST_PIECE) { /* of a greenlet that is dropped before its end */
        PyMem_RawFree(piece);
        return;
    }
    if (size == PIECE && !__atomic_test_and_set(&kept.busy, __ATOMIC_ACQUIRE)) {
        is_kept = kept.count < MOST_KEPT;
        if (is_kept)
            kept.pieces[kept.count++] = piece;
        __atomic_clear(&kept.busy, __ATOMIC_RELEASE);
    }
    if (!is_kept)
        kept.python.free(kept.python.ctx, piece, size);
}

/* Once in a process: keep pieces that CPython returns. */
static void frame_stack_prepare(void)
{
    PyObjectArenaAllocator ours = {NULL, allocate_piece, free_piece};
    PyObject_GetArenaAllocator(&kept.python);
    PyObject_SetArenaAllocator(&ours);
}

/* In a greenlet that has called nothing in Python yet. */
static void frame_stack_begin(void)
{
    PyThreadState *thread = PyThreadState_Get();
    if (thread->datastack_chunk)
        return;
    _PyStackChunk *piece = PyMem_RawMalloc(FIRST_PIECE);
    if (!piece)
        return;
    piece->previous = NULL;
    piece->size = FIRST_PIECE;
    piece->top = 0;
    thread->datastack_chunk = piece;
    thread->datastack_top = &piece->data[1]; /* by the first, the last piece is told from the others */
    thread->datastack_limit = (PyObject **)((char *)piece + FIRST_PIECE);
}

/* In the same, when it will call nothing more. */
static void frame_stack_end(void)
{
    PyThreadState *thread = PyThreadState_Get();
    _PyStackChunk *piece = thread->datastack_chunk;
    if (piece && piece->size == FIRST_PIECE) {
        thread->datastack_chunk = NULL;
        thread->datastack_top = thread->datastack_limit = NULL;
        PyMem_RawFree(piece);
    }
}

#else

static void frame_stack_prepare(void) { }
static void frame_stack_begin(void) { }
static void frame_stack_end(void) { }

#endif
#endif
