/*
 * echo: the least that a server has to do, in C, on one thread: the limit that the contenders are held against.
 *
 *   tcp   echoes whatever comes, edge-triggered
 *   line  reads one line, echoes it and closes
 *   udp   echoes datagrams, a batch a system call
 *
 * It listens on 127.0.0.1, prints "PORT n" and serves until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENT_BATCH = 256, BUFFER = 1 << 16, DATAGRAM_BATCH = 64, BACKLOG = 1024 /* as all contenders have */ };

struct connection {
    int fd;
    bool ending;  /* tcp only, see serve_function */
    char *kept;  /* tcp: what could not be sent yet; line: the beginning of the line */
    size_t length;
};

/* False: close the connection. `ending`: the peer has sent its last byte, and the end of stream is to be fetched. */
typedef bool (*serve_function)(struct connection *connection, bool ending);

static char buffer[BUFFER];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Take over bytes that have to wait; those of an earlier wait are replaced. False when there is no memory. */
static bool keep(struct connection *connection, const char *bytes, size_t length)
{
    char *kept = malloc(length);
    if (!kept)
        return false;
    memcpy(kept, bytes, length);
    free(connection->kept);
    connection->kept = kept;
    connection->length = length;
    return true;
}

/* Send, and keep what does not fit. */
static bool send_or_keep(struct connection *connection, const char *bytes, size_t length)
{
    ssize_t sent = send(connection->fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return false;
    size_t done = sent < 0 ? 0 : (size_t)sent;
    return done == length || keep(connection, bytes + done, length - done);
}

static bool send_kept(struct connection *connection)
{
    char *bytes = connection->kept;
    connection->kept = NULL;
    bool open = send_or_keep(connection, bytes, connection->length);
    free(bytes);
    return open;
}

/* A short read empties the socket: reading on would only be told so. */
static bool serve_tcp(struct connection *connection, bool ending)
{
    connection->ending |= ending;
    if (connection->kept && !send_kept(connection))
        return false;
    for (ssize_t length = sizeof buffer; !connection->kept && (connection->ending || length == sizeof buffer);) {
        length = recv(connection->fd, buffer, sizeof buffer, 0);
        if (length <= 0)
            return length < 0 && errno == EAGAIN;
        if (!send_or_keep(connection, buffer, (size_t)length))
            return false;
    }
    return true;
}

static bool serve_line(struct connection *connection, bool ending)
{
    size_t begun = connection->length;
    memcpy(buffer, connection->kept ? connection->kept : "", begun);
    ssize_t length = recv(connection->fd, buffer + begun, sizeof buffer - begun, 0);
    if (length <= 0)
        return length < 0 && errno == EAGAIN;
    char *newline = memchr(buffer + begun, '\n', (size_t)length);
    if (!newline)
        return !ending && keep(connection, buffer, begun + (size_t)length);
    send(connection->fd, buffer, (size_t)(newline + 1 - buffer), MSG_NOSIGNAL);
    return false;
}

static void close_connection(struct connection *connection)
{
    close(connection->fd);
    free(connection->kept);
    free(connection);
}

/* Serve each new connection at once, since its first bytes are likely there, and register it if it has more to come. */
static void accept_connections(int epoll, int listener, serve_function serve)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection)
            die("calloc");
        connection->fd = fd;
        if (!serve(connection, false)) {
            close_connection(connection);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = connection};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            die("epoll_ctl");
    }
}

static void serve_streams(int listener, serve_function serve)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENT_BATCH], listening = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening) < 0)
        die("epoll");
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENT_BATCH, -1);
        for (int index = 0; index < ready; index++) {
            struct connection *connection = events[index].data.ptr;
            if (!connection)
                accept_connections(epoll, listener, serve);
            else if (!serve(connection, events[index].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
                close_connection(connection);
        }
    }
}

static void serve_datagrams(int fd)
{
    static char buffers[DATAGRAM_BATCH][BUFFER];
    struct sockaddr_in peers[DATAGRAM_BATCH];
    struct iovec pieces[DATAGRAM_BATCH];
    struct mmsghdr messages[DATAGRAM_BATCH];
    for (;;) {
        for (int index = 0; index < DATAGRAM_BATCH; index++) {
            pieces[index] = (struct iovec){buffers[index], BUFFER};
            messages[index].msg_hdr = (struct msghdr){.msg_name = &peers[index], .msg_namelen = sizeof peers[index],
                                                      .msg_iov = &pieces[index], .msg_iovlen = 1};
        }
        int received = recvmmsg(fd, messages, DATAGRAM_BATCH, MSG_WAITFORONE, NULL);
        for (int index = 0; index < received; index++)
            pieces[index].iov_len = messages[index].msg_len;
        for (int sent = 0, batch; sent < received; sent += batch)
            if ((batch = sendmmsg(fd, messages + sent, (unsigned)(received - sent), 0)) <= 0)
                batch = 1;  /* the first cannot be sent: datagrams may be lost */
    }
}

/* Bind to 127.0.0.1, say on which port, and return the socket. */
static int listen_on(int type, unsigned port)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
        bind(fd, (struct sockaddr *)&address, length) < 0 ||
        ((type & SOCK_STREAM) && listen(fd, BACKLOG) < 0) ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("listen");
    printf("PORT %u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    unsigned port = argc == 4 && strcmp(argv[2], "--port") == 0 ? (unsigned)atoi(argv[3]) : 0;
    if (argc == 2 || (argc == 4 && strcmp(argv[2], "--port") == 0)) {
        if (strcmp(argv[1], "tcp") == 0)
            serve_streams(listen_on(SOCK_STREAM | SOCK_NONBLOCK, port), serve_tcp);
        if (strcmp(argv[1], "line") == 0)
            serve_streams(listen_on(SOCK_STREAM | SOCK_NONBLOCK, port), serve_line);
        if (strcmp(argv[1], "udp") == 0)
            serve_datagrams(listen_on(SOCK_DGRAM, port));
    }
    fputs("usage: echo tcp|line|udp [--port 0]\n", stderr);
    return 2;
}
