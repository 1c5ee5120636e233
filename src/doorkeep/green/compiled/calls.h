/*
 * recv(2) and send(2) without what glibc adds to them: in a program with threads each is a point at which the thread may
 * be cancelled, which takes two atomic operations a call. Python never cancels threads.
 */
#ifndef DOORKEEP_CALLS_H
#define DOORKEEP_CALLS_H

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(SYS_recvfrom) && defined(SYS_sendto)
#define receive_bytes(descriptor, buffer, size, flags) \
    ((ssize_t)syscall(SYS_recvfrom, descriptor, buffer, (size_t)(size), flags, NULL, NULL))
#define send_bytes(descriptor, buffer, size, flags) \
    ((ssize_t)syscall(SYS_sendto, descriptor, buffer, (size_t)(size), flags, NULL, 0))
#else
#define receive_bytes recv
#define send_bytes send
#endif

#endif
