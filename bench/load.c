/*
 * load: a load generator for servers on this machine. One thread, one epoll, one JSON object on stdout. `idle` prints a
 * line "HELD n" before it, once n connections are open, and holds them from then until it ends.
 *
 * Every connection sends messages of SIZE bytes, "xx...x\n", and expects each of them back:
 *
 *   echo     a persistent connection, one message in flight
 *   lines    a persistent connection, PIPELINE messages in flight
 *   connect  a connection for each message: connect, send, read until the server closes
 *   udp      PIPELINE datagrams in flight, each numbered; one not answered within 200 ms is lost and sent again
 *   idle     a persistent connection that is held after its first message came back
 *
 * A run has four phases, each bounded in time, whatever the server does. OPENING: persistent connections come in a few
 * at a time, so that no backlog overflows, and each waits after its first message until all are there. WARM_UP and then
 * MEASURED: all of them work. ENDING: nothing new is sent, and what is in flight comes back, so that the server sees an
 * orderly end. In the report `count`, `rate`, `latency_us` and `per_connection` are of MEASURED; `total`, `errors` and
 * `lost` are of the whole run; `load_cpu` is the share of MEASURED that this program had a CPU: near 1 the load, and not
 * the server, was the limit. `idle` measures the opening instead: `rate` is connections opened a second, `latency_us` is
 * from connect to the first message back, `count` is the connections still held at the end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "histogram.h"

#define MILLISECOND 1000000ull
#define SECOND (1000 * MILLISECOND)
#define NEVER UINT64_MAX

#define SWEEP_INTERVAL (5 * MILLISECOND)  /* how often timeouts and retries are looked at */
#define RETRY_DELAY (10 * MILLISECOND)    /* before a failed connection is opened again */
#define DATAGRAM_TIMEOUT (200 * MILLISECOND)
#define OPENING_STALL (3 * SECOND)        /* without a new connection, OPENING ends */
#define OPENING_LIMIT (60 * SECOND)       /* OPENING ends in any case */
#define ENDING_LIMIT (100 * MILLISECOND)

enum {
    OPENING_WINDOW = 64,              /* connections that may be on their way in at the same time */
    CONNECTIONS_PER_ADDRESS = 20000,  /* fewer than the ephemeral ports that a source address has */
    EVENT_BATCH = 256,
    RECEIVE_BUFFER = 1 << 16,
    LARGEST_DATAGRAM = 65507,
    EXIT_NOTHING_SUCCEEDED = 1,
    EXIT_USAGE = 2,
};

enum phase { OPENING, WARM_UP, MEASURED, ENDING };
enum work { ECHO, LINES, CONNECT, UDP, IDLE, WORKS };
static const char *const work_names[WORKS] = {"echo", "lines", "connect", "udp", "idle"};

struct message {
    uint64_t sent_at;
    uint32_t sequence;  /* udp only: tells an answer in time from a late one */
};

/* What a datagram begins with. */
struct datagram_header {
    uint32_t slot;  /* index into the connection's messages */
    uint32_t sequence;
};

struct connection {
    int fd;  /* -1: closed */
    bool opened;
    unsigned oldest, in_flight;  /* the messages in flight, a ring; udp uses all the slots all the time */
    size_t unsent;               /* bytes that wait for room in the socket's buffer */
    size_t sent, received;       /* bytes, modulo the size of a message */
    uint64_t retry_at;           /* when closed */
    uint64_t count;
    struct message *messages;
};

static struct {
    enum work work;
    const char *host, *unix_path;
    unsigned port, connections, pipeline;
    size_t size;
    double seconds, warmup;
} options = {.host = "127.0.0.1", .connections = 50, .pipeline = 1, .size = 64, .seconds = 3, .warmup = 0.5};

static union {
    struct sockaddr any;
    struct sockaddr_in inet;
    struct sockaddr_un local;
} server;
static socklen_t server_length;

static struct connection *connections;
static unsigned requested, opened;  /* how many connections were asked for, and how many got their first answer */
static uint64_t last_opened_at;
static enum phase phase = OPENING;
static char *payload;  /* PIPELINE + 1 messages, so that what is unsent is always contiguous */
static char received[RECEIVE_BUFFER];
static int epoll;
static uint64_t total, errors, lost;
static struct histogram latencies;

__attribute__((noreturn, format(printf, 2, 3))) static void fail(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(status);
}

static uint64_t monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static uint64_t cpu_time(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * SECOND + (uint64_t)used.tv_nsec;
}

static bool persistent(void)
{
    return options.work == ECHO || options.work == LINES || options.work == IDLE;
}

static bool working(void)
{
    return phase == WARM_UP || phase == MEASURED;
}

static void record(struct connection *connection, uint64_t latency)
{
    total++;
    if (phase == MEASURED || options.work == IDLE) {
        connection->count++;
        histogram_add(&latencies, latency);
    }
}

/* ---- Streams ---------------------------------------------------------------------------------------------------- */

/* One error: close, and come back a little later. A connection that was only to be held does not come back. */
static void drop(struct connection *connection)
{
    bool held = options.work == IDLE && connection->opened;
    errors++;
    close(connection->fd);
    connection->fd = -1;
    connection->retry_at = held ? NEVER : monotonic() + RETRY_DELAY;
    if (held) {
        connection->opened = false;
        opened--;
    }
}

static void flush(struct connection *connection)
{
    while (connection->unsent > 0) {
        ssize_t sent = send(connection->fd, payload + connection->sent, connection->unsent, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN)
                drop(connection);
            return;
        }
        connection->unsent -= (size_t)sent;
        connection->sent = (connection->sent + (size_t)sent) % options.size;
    }
}

static void queue_messages(struct connection *connection, unsigned wanted, uint64_t now)
{
    for (; connection->in_flight < wanted; connection->in_flight++) {
        unsigned newest = (connection->oldest + connection->in_flight) % options.pipeline;
        connection->messages[newest].sent_at = now;
        connection->unsent += options.size;
    }
}

/* Many connections from one address run out of ephemeral ports; all of 127.0.0.0/8 is ours to use. */
static bool bind_source(int fd, unsigned index)
{
    unsigned address = index / CONNECTIONS_PER_ADDRESS;
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + address)};
    if (address == 0 || options.unix_path)
        return true;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    return bind(fd, (struct sockaddr *)&source, sizeof source) == 0;
}

static void open_stream(struct connection *connection)
{
    uint64_t now = monotonic();
    connection->fd = socket(server.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    connection->oldest = connection->in_flight = 0;
    connection->unsent = connection->sent = connection->received = 0;
    if (connection->fd < 0 || !bind_source(connection->fd, (unsigned)(connection - connections)) ||
        (connect(connection->fd, &server.any, server_length) < 0 && errno != EINPROGRESS)) {
        drop(connection);
        return;
    }
    if (persistent() && !options.unix_path)
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    queue_messages(connection, working() ? options.pipeline : 1, now);
    flush(connection);  /* over loopback a TCP connection is there already, although connect() says EINPROGRESS */
    if (connection->fd < 0)
        return;
    uint32_t writable = options.work == CONNECT && connection->unsent == 0 ? 0 : EPOLLOUT;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | writable, .data.ptr = connection};
    epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event);
}

/* The oldest message in flight is back. */
static void complete(struct connection *connection, uint64_t now)
{
    uint64_t latency = now - connection->messages[connection->oldest].sent_at;
    connection->oldest = (connection->oldest + 1) % options.pipeline;
    connection->in_flight--;
    if (!connection->opened) {
        connection->opened = true;
        opened++;
        last_opened_at = now;
    }
    record(connection, latency);
}

/* Account for bytes that came; false when they are not the ones that are due. */
static bool take(struct connection *connection, const char *bytes, size_t length, uint64_t now)
{
    for (size_t taken = 0; taken < length;) {
        size_t piece = options.size - connection->received;
        if (piece > length - taken)
            piece = length - taken;
        if (connection->in_flight == 0 || memcmp(bytes + taken, payload + connection->received, piece) != 0)
            return false;
        taken += piece;
        connection->received += piece;
        if (connection->received == options.size && options.work != CONNECT) {
            connection->received = 0;
            complete(connection, now);
        } else if (connection->received == options.size && taken < length) {
            return false;
        }
    }
    return true;
}

/* End of stream: what `connect` waits for, an error to the others. */
static void end(struct connection *connection)
{
    if (options.work != CONNECT || connection->received != options.size) {
        drop(connection);
        return;
    }
    complete(connection, monotonic());
    close(connection->fd);
    connection->fd = -1;
    connection->retry_at = NEVER;
    if (working())
        open_stream(connection);
}

/* Edge-triggered: a short read empties the socket, unless its end was announced and has to be fetched. */
static void receive(struct connection *connection, bool ending)
{
    ssize_t length;
    do {
        length = recv(connection->fd, received, sizeof received, 0);
        if (length == 0) {
            end(connection);
            return;
        }
        if (length < 0) {
            if (errno != EAGAIN)
                drop(connection);
            break;
        }
        if (!take(connection, received, (size_t)length, monotonic())) {
            drop(connection);
            return;
        }
    } while (ending || length == sizeof received);
}

static void on_stream_event(struct connection *connection, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        receive(connection, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    if (connection->fd < 0)
        return;
    if (working() && (options.work == ECHO || options.work == LINES))
        queue_messages(connection, options.pipeline, monotonic());
    flush(connection);
}

/* ---- Datagrams -------------------------------------------------------------------------------------------------- */

static void send_datagram(struct connection *connection, uint32_t slot)
{
    struct message *message = &connection->messages[slot];
    struct datagram_header header = {.slot = slot, .sequence = ++message->sequence};
    memcpy(payload, &header, sizeof header);
    message->sent_at = monotonic();
    if (send(connection->fd, payload, options.size, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        errors++;
}

static void open_datagrams(struct connection *connection)
{
    connection->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, &server.any, server_length) < 0) {
        drop(connection);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event);
    for (uint32_t slot = 0; slot < options.pipeline; slot++)
        send_datagram(connection, slot);
}

/* Level-triggered, at most PIPELINE datagrams an event: with one in flight no read comes back empty-handed. */
static void on_datagram_event(struct connection *connection)
{
    for (unsigned turn = 0; turn < options.pipeline; turn++) {
        ssize_t length = recv(connection->fd, received, sizeof received, 0);
        if (length < 0) {
            errors += errno != EAGAIN;
            return;
        }
        struct datagram_header header;
        memcpy(&header, received, sizeof header);
        if ((size_t)length != options.size || header.slot >= options.pipeline) {
            errors++;
            continue;
        }
        struct message *message = &connection->messages[header.slot];
        if (header.sequence == message->sequence) {
            record(connection, monotonic() - message->sent_at);
            if (working())
                send_datagram(connection, header.slot);
        }
    }
}

static void resend_lost(struct connection *connection, uint64_t now)
{
    for (uint32_t slot = 0; slot < options.pipeline; slot++) {
        uint64_t sent_at = connection->messages[slot].sent_at;
        if (now > sent_at && now - sent_at >= DATAGRAM_TIMEOUT) {
            lost++;
            send_datagram(connection, slot);
        }
    }
}

/* ---- The run ---------------------------------------------------------------------------------------------------- */

static void open_connection(struct connection *connection)
{
    if (options.work == UDP)
        open_datagrams(connection);
    else
        open_stream(connection);
}

/* Persistent connections come in through a window during OPENING, and not later; others all at once. */
static void open_more(void)
{
    unsigned window = persistent() ? OPENING_WINDOW : options.connections;
    if (persistent() && phase != OPENING)
        return;
    while (requested < options.connections && requested < opened + window)
        open_connection(&connections[requested++]);
}

static void sweep(uint64_t now)
{
    if (phase == ENDING || (options.work == IDLE && phase != OPENING))
        return;
    for (unsigned index = 0; index < requested; index++) {
        struct connection *connection = &connections[index];
        if (connection->fd < 0 && now >= connection->retry_at)
            open_connection(connection);
        else if (options.work == UDP && connection->fd >= 0)
            resend_lost(connection, now);
    }
}

/* Serve events until the deadline, or until the work of the phase is done. */
static void run(enum phase next, uint64_t duration)
{
    phase = next;
    uint64_t deadline = monotonic() + duration;
    static uint64_t next_sweep;
    struct epoll_event events[EVENT_BATCH];
    for (uint64_t now = monotonic(); now < deadline; now = monotonic()) {
        if (phase == OPENING && (opened == options.connections || now - last_opened_at >= OPENING_STALL))
            return;
        if (now >= next_sweep) {
            sweep(now);
            next_sweep = now + SWEEP_INTERVAL;
        }
        open_more();
        int ready = epoll_wait(epoll, events, EVENT_BATCH, (int)(SWEEP_INTERVAL / MILLISECOND));
        for (int index = 0; index < ready; index++) {
            struct connection *connection = events[index].data.ptr;
            if (options.work == UDP)
                on_datagram_event(connection);
            else
                on_stream_event(connection, events[index].events);
        }
    }
}

/* Let go all the connections that wait. */
static void start_working(void)
{
    phase = WARM_UP;
    for (unsigned index = 0; index < requested; index++)
        if (connections[index].fd >= 0)
            on_stream_event(&connections[index], EPOLLOUT);
}

static double microseconds(uint64_t nanoseconds)
{
    return (double)nanoseconds / 1e3;
}

static void report(double measured, double opening, double load_cpu)
{
    uint64_t count = 0, least = UINT64_MAX, most = 0;
    for (unsigned index = 0; index < options.connections; index++) {
        uint64_t own = options.work == IDLE ? connections[index].opened : connections[index].count;
        count += own;
        least = own < least ? own : least;
        most = own > most ? own : most;
    }
    if (count == 0)
        fail(EXIT_NOTHING_SUCCEEDED, "no message came back in %.1f s (%llu errors, %llu lost).", measured,
             (unsigned long long)errors, (unsigned long long)lost);
    printf("{\"work\": \"%s\", \"connections\": %u, \"size\": %zu, \"seconds\": %.6f, \"count\": %llu, \"rate\": %.1f, "
           "\"total\": %llu, \"errors\": %llu, \"lost\": %llu, \"load_cpu\": %.3f, "
           "\"latency_us\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}, "
           "\"per_connection\": {\"min\": %llu, \"mean\": %.1f, \"max\": %llu}}\n",
           work_names[options.work], options.connections, options.size, measured, (unsigned long long)count,
           (double)count / (options.work == IDLE ? opening : measured), (unsigned long long)total,
           (unsigned long long)errors, (unsigned long long)lost, load_cpu,
           microseconds(histogram_quantile(&latencies, 0.5)), microseconds(histogram_quantile(&latencies, 0.9)),
           microseconds(histogram_quantile(&latencies, 0.99)), microseconds(latencies.max),
           (unsigned long long)least, (double)count / options.connections, (unsigned long long)most);
}

/* ---- The command line ------------------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: load echo|lines|connect|udp|idle (--host 127.0.0.1 --port N | --unix PATH)\n"
    "            [--connections 50] [--size 64] [--seconds 3] [--warmup 0.5] [--pipeline 1]\n";

static double number(const char *option, const char *text, double least, double most)
{
    char *rest;
    double value = strtod(text, &rest);
    if (rest == text || *rest || !(value >= least && value <= most))
        fail(EXIT_USAGE, "--%s has to be a number from %.10g to %.10g, not \"%s\".", option, least, most, text);
    return value;
}

static void parse_options(int argc, char **argv)
{
    enum { HOST, PORT, UNIX, CONNECTIONS, SIZE, SECONDS, WARMUP, PIPELINE, HELP };
    static const struct option known[] = {
        [HOST] = {"host", required_argument, NULL, HOST},
        [PORT] = {"port", required_argument, NULL, PORT},
        [UNIX] = {"unix", required_argument, NULL, UNIX},
        [CONNECTIONS] = {"connections", required_argument, NULL, CONNECTIONS},
        [SIZE] = {"size", required_argument, NULL, SIZE},
        [SECONDS] = {"seconds", required_argument, NULL, SECONDS},
        [WARMUP] = {"warmup", required_argument, NULL, WARMUP},
        [PIPELINE] = {"pipeline", required_argument, NULL, PIPELINE},
        [HELP] = {"help", no_argument, NULL, HELP},
        {0},
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        const char *name = option == '?' ? NULL : known[option].name;
        switch (option) {
        case HOST: options.host = optarg; break;
        case PORT: options.port = (unsigned)number(name, optarg, 1, 65535); break;
        case UNIX: options.unix_path = optarg; break;
        case CONNECTIONS: options.connections = (unsigned)number(name, optarg, 1, 1e6); break;
        case SIZE: options.size = (size_t)number(name, optarg, 1, 1 << 24); break;
        case SECONDS: options.seconds = number(name, optarg, 0.01, 3600); break;
        case WARMUP: options.warmup = number(name, optarg, 0, 3600); break;
        case PIPELINE: options.pipeline = (unsigned)number(name, optarg, 1, 4096); break;
        case HELP: fputs(usage, stdout); exit(0);
        default: fputs(usage, stderr); exit(EXIT_USAGE);
        }
    }
    options.work = WORKS;
    for (enum work work = 0; work < WORKS && optind == argc - 1; work++)
        if (strcmp(argv[optind], work_names[work]) == 0)
            options.work = work;
    if (options.work == WORKS) {
        fputs(usage, stderr);
        exit(EXIT_USAGE);
    }
    if (options.pipeline > 1 && options.work != LINES && options.work != UDP)
        fail(EXIT_USAGE, "--pipeline is for lines and udp; %s has one message in flight.", work_names[options.work]);
    if (options.work == UDP && (options.size < sizeof(struct datagram_header) || options.size > LARGEST_DATAGRAM))
        fail(EXIT_USAGE, "--size of a datagram has to be from %zu to %d bytes.", sizeof(struct datagram_header),
             LARGEST_DATAGRAM);
}

static void resolve_server(void)
{
    if (options.unix_path) {
        if (options.work == UDP || options.work == IDLE)
            fail(EXIT_USAGE, "--unix is for echo, lines and connect.");
        if (strlen(options.unix_path) >= sizeof server.local.sun_path)
            fail(EXIT_USAGE, "the path of a Unix socket has to be shorter than %zu bytes.",
                 sizeof server.local.sun_path);
        server.local.sun_family = AF_UNIX;
        strcpy(server.local.sun_path, options.unix_path);
        server_length = sizeof server.local;
        return;
    }
    server.inet.sin_family = AF_INET;
    server.inet.sin_port = htons((uint16_t)options.port);
    server_length = sizeof server.inet;
    if (inet_pton(AF_INET, options.host, &server.inet.sin_addr) != 1 ||
        ntohl(server.inet.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
        fail(EXIT_USAGE, "only addresses of this machine (127.0.0.0/8) are loaded, not \"%s\".", options.host);
    if (options.port == 0)
        fail(EXIT_USAGE, "say which --port to load.");
}

static void raise_descriptor_limit(void)
{
    rlim_t wanted = options.connections + 64;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted;
    if (limit.rlim_max < wanted)
        limit.rlim_max = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail(EXIT_USAGE, "%u connections need %llu file descriptors, more than this process may have.",
             options.connections, (unsigned long long)wanted);
}

static void allocate(void)
{
    connections = calloc(options.connections, sizeof *connections);
    struct message *messages = calloc((size_t)options.connections * options.pipeline, sizeof *messages);
    size_t length = (options.pipeline + 1) * options.size;
    payload = malloc(length);
    if (!connections || !messages || !payload)
        fail(EXIT_USAGE, "not enough memory for %u connections.", options.connections);
    for (unsigned index = 0; index < options.connections; index++)
        connections[index] = (struct connection){.fd = -1, .messages = messages + (size_t)index * options.pipeline};
    memset(payload, 'x', length);
    for (size_t last = options.size - 1; last < length; last += options.size)
        payload[last] = '\n';
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    resolve_server();
    raise_descriptor_limit();
    allocate();
    epoll = epoll_create1(EPOLL_CLOEXEC);

    uint64_t started = last_opened_at = monotonic();
    if (persistent()) {
        run(OPENING, OPENING_LIMIT);
        errors += options.connections - opened;
        start_working();
    }
    double opening = (double)(last_opened_at - started) / SECOND;
    if (options.work == IDLE) {
        printf("HELD %u\n", opened);
        fflush(stdout);
    }
    run(WARM_UP, (uint64_t)(options.warmup * SECOND));
    uint64_t measured_from = monotonic(), cpu_from = cpu_time();
    run(MEASURED, (uint64_t)(options.seconds * SECOND));
    double measured = (double)(monotonic() - measured_from) / SECOND;
    double load_cpu = (double)(cpu_time() - cpu_from) / SECOND / measured;
    run(ENDING, ENDING_LIMIT);
    report(measured, opening, load_cpu);
    return 0;
}
