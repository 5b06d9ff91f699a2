/* Two sums modulo 65535: of the numbers, and of what the first sum is after each of them (J. G.
 * Fletcher, An Arithmetic Checksum for Serial Transmissions, IEEE Transactions on Communications
 * 30, 1982). A sum is 0 for zeros alone; else it is one of 1 to 65535.
 *
 * Of n numbers, number i (from 0 on) is in n - i of the first sums: so those of a stretch are a sum
 * of products, which are independent of each other. Bytes are read as the processor has them, the
 * lower one first: 256 times such a number is, modulo 65535, the number with its bytes
 * exchanged.
 *
 * A part behind which r numbers follow adds its first sum to that of all, and to the second its
 * second sum and r times its first: so parts are summed by threads, in whatever order. */
#include "io/fletcher32.h"

#include "kernels/cpu/team.h"

#include <stdatomic.h>
#include <string.h>

/* Of a stretch of lowered numbers, the sum of products is at most 32768 STRETCH (STRETCH + 1) / 2
 * in size, below 2^31. Its memory is asked for AHEAD bytes before, since the hardware alone asks
 * too late. */
enum { STRETCH = 256, MODULUS = 65535, LOWERED = 32768, AHEAD = 8192, LINE = 64 };

/* The sums of a stretch: of the numbers, and of each times how many are left with it. Numbers are
 * lowered to what 16 bits with a sign hold, of which processors add up products in pairs. */
static void sum_stretch(const unsigned char *at, const int16_t *times, uint64_t *sum,
                        uint64_t *products)
{
    uint16_t numbers[STRETCH];
    int32_t sum_lowered = 0, products_lowered = 0;
    memcpy(numbers, at, sizeof numbers);
    for (int i = 0; i < STRETCH; i++) {
        int16_t number = (int16_t)(numbers[i] ^ LOWERED);
        sum_lowered += number;
        products_lowered += (int32_t)number * times[i];
    }
    *sum = (uint64_t)((int64_t)sum_lowered + (int64_t)LOWERED * STRETCH);
    *products =
        (uint64_t)((int64_t)products_lowered + (int64_t)LOWERED * (STRETCH * (STRETCH + 1) / 2));
}

/* The same modulo 65535, below 2^49, and 0 for 0 alone. */
static uint64_t folded(uint64_t sum)
{
    return (sum & MODULUS) + (sum >> 16);
}

static uint64_t reduced(uint64_t sum)
{
    return sum > 0 ? (sum - 1) % MODULUS + 1 : 0;
}

typedef struct two_sums {
    uint64_t first, second;
} two_sums;

static two_sums sum_part(const unsigned char *at, const unsigned char *end)
{
    const size_t stretch = STRETCH * sizeof(uint16_t);
    int16_t times[STRETCH];
    uint64_t first = 0, second = 0, sum, products;
    for (int i = 0; i < STRETCH; i++) {
        times[i] = (int16_t)(STRETCH - i);
    }
    for (; (size_t)(end - at) >= stretch; at += stretch) {
        for (size_t line = 0; line < stretch; line += LINE) {
            __builtin_prefetch(at + AHEAD + line);
        }
        sum_stretch(at, times, &sum, &products);
        second = folded(second + STRETCH * first + products);
        first = folded(first + sum);
    }
    while (at < end) {
        uint64_t low = *at++, high = at < end ? *at++ : 0;
        first = folded(first + low + 256 * high);
        second = folded(second + first);
    }
    return (two_sums){reduced(first), reduced(second)};
}

enum { PART = 1 << 17 }; /* bytes */

typedef struct summed_bytes {
    const unsigned char *bytes;
    size_t size;
    _Atomic uint64_t *first, *second;
} summed_bytes;

static void sum_parts(const void *loop, int64_t first, int64_t end)
{
    const summed_bytes *of = loop;
    size_t stop = (size_t)end * PART < of->size ? (size_t)end * PART : of->size;
    two_sums part = sum_part(of->bytes + (size_t)first * PART, of->bytes + stop);
    uint64_t behind = (of->size - stop + 1) / 2;
    atomic_fetch_add(of->first, part.first);
    atomic_fetch_add(of->second, reduced(part.second + behind % MODULUS * part.first));
}

uint32_t mt_fletcher32(int threads, const void *bytes, size_t size)
{
    _Atomic uint64_t first = 0, second = 0;
    summed_bytes loop = {bytes, size, &first, &second};
    mt_team_run(threads, (int64_t)((size + PART - 1) / PART), sum_parts, &loop);
    return (uint32_t)(reduced(second * 256) << 16 | reduced(first * 256));
}

void mt_fletcher32_bytes(int threads, const void *bytes, size_t size, char sum[MT_CHECKSUM_BYTES])
{
    uint32_t checksum = mt_fletcher32(threads, bytes, size);
    for (int i = 0; i < MT_CHECKSUM_BYTES; i++) {
        sum[i] = (char)(checksum >> 8 * i);
    }
}
