/*
 * A first piece of stack for the Python frames of a greenlet, smaller than Python's own.
 *
 * CPython gives each thread, and so each greenlet, a stack for its frames in pieces of 16 KiB, which come from mmap(2):
 * 4 KiB of them are touched at once, more than all else that an idle connection takes. A greenlet that begins on a piece
 * of 1 KiB goes on to CPython's when that is full, and gives those back when it returns. Handlers that do so often would
 * pay for it: `small_stack_overflown` tells, and the hub then makes no more of them.
 *
 * The piece is laid out as in `push_chunk` and `_PyThreadState_PopFrame` of Python/pystate.c, alike in 3.11 to 3.13.
 * Elsewhere these functions do nothing.
 */
#ifndef DOORKEEP_SMALL_STACK_H
#define DOORKEEP_SMALL_STACK_H

#include <Python.h>
#include <stdint.h>

#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED) && !defined(PYPY_VERSION)
#define DOORKEEP_SMALL_STACKS 1
#else
#define DOORKEEP_SMALL_STACKS 0
#endif

typedef struct {
    void *memory;
    void *chunk;
} small_stack;

#if DOORKEEP_SMALL_STACKS

/* In a greenlet that has called nothing in Python yet. A size of 0 leaves it CPython's. */
static void small_stack_begin(small_stack *stack, size_t size)
{
    PyThreadState *thread = PyThreadState_Get();
    stack->memory = stack->chunk = NULL;
    if (size == 0 || thread->datastack_chunk)
        return;
    char *memory = PyMem_Malloc(size + 16);
    if (!memory)
        return;
    /* Never at the beginning of a page: should greenlet drop it unfinished, munmap(2) is to refuse it. */
    _PyStackChunk *chunk = (_PyStackChunk *)((uintptr_t)memory % 4096 ? memory : memory + 16);
    chunk->previous = NULL;
    chunk->size = size;
    chunk->top = 0;
    thread->datastack_chunk = chunk;
    thread->datastack_top = &chunk->data[1];  /* by the first, the last piece is told from the others */
    thread->datastack_limit = (PyObject **)((char *)chunk + size);
    stack->memory = memory;
    stack->chunk = chunk;
}

static void small_stack_end(small_stack *stack)
{
    PyThreadState *thread = PyThreadState_Get();
    if (stack->memory && thread->datastack_chunk == stack->chunk) {
        thread->datastack_chunk = NULL;
        thread->datastack_top = thread->datastack_limit = NULL;
        PyMem_Free(stack->memory);
    }
}

/* Whether the current greenlet has a small first piece, and has ever filled it. */
static int small_stack_overflown(void)
{
    _PyStackChunk *chunk = PyThreadState_Get()->datastack_chunk;
    while (chunk && chunk->previous)
        chunk = chunk->previous;
    return chunk && chunk->size < 16 * 1024 && chunk->top != 0;
}

#else

static void small_stack_begin(small_stack *stack, size_t size) { (void)size; stack->memory = NULL; }
static void small_stack_end(small_stack *stack) { (void)stack; }
static int small_stack_overflown(void) { return 0; }

#endif
#endif
