/* A log-linear histogram of nanoseconds: fixed memory, and values exact to within 1/64 (1.6 %). */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum { SUBBUCKET_BITS = 6, SUBBUCKETS = 1 << SUBBUCKET_BITS, BUCKETS = (64 - SUBBUCKET_BITS + 1) * SUBBUCKETS };

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t total;
    uint64_t max;
};

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    unsigned index = (unsigned)value;
    if (value >= SUBBUCKETS) {
        unsigned shift = 63 - (unsigned)__builtin_clzll(value) - SUBBUCKET_BITS;
        index = (shift + 1) * SUBBUCKETS + (unsigned)(value >> shift) - SUBBUCKETS;
    }
    histogram->counts[index]++;
    histogram->total++;
    if (value > histogram->max)
        histogram->max = value;
}

/* The lower edge of the bucket that holds the given fraction (0 to 1) of all values; 0 when there are none. */
static inline uint64_t histogram_quantile(const struct histogram *histogram, double fraction)
{
    uint64_t wanted = (uint64_t)(fraction * (double)histogram->total), seen = 0;
    for (unsigned index = 0; index < BUCKETS; index++) {
        seen += histogram->counts[index];
        if (seen > wanted) {
            if (index < SUBBUCKETS)
                return index;
            return (uint64_t)(index % SUBBUCKETS + SUBBUCKETS) << (index / SUBBUCKETS - 1);
        }
    }
    return histogram->max;
}

#endif
