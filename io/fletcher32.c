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
 * second sum and r times its first: so parts are summed in whatever order. */
#include "io/fletcher32.h"

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

void mt_fletcher32_begin(mt_chunk_sum *sum, size_t size)
{
    atomic_init(&sum->first, 0);
    atomic_init(&sum->second, 0);
    sum->size = size;
    sum->taken = 0;
}

void mt_fletcher32_add(mt_chunk_sum *sum, size_t from, const void *bytes, size_t size)
{
    const unsigned char *at = bytes, *end = at + size;
    const size_t stretch = STRETCH * sizeof(uint16_t);
    int16_t times[STRETCH];
    uint64_t first = 0, second = 0, numbers, products, behind = (sum->size - from - size + 1) / 2;
    for (int i = 0; i < STRETCH; i++) {
        times[i] = (int16_t)(STRETCH - i);
    }
    for (; (size_t)(end - at) >= stretch; at += stretch) {
        for (size_t line = 0; line < stretch; line += LINE) {
            __builtin_prefetch(at + AHEAD + line);
        }
        sum_stretch(at, times, &numbers, &products);
        second = folded(second + STRETCH * first + products);
        first = folded(first + numbers);
    }
    while (at < end) {
        uint64_t low = *at++, high = at < end ? *at++ : 0;
        first = folded(first + low + 256 * high);
        second = folded(second + first);
    }
    first = reduced(first);
    atomic_fetch_add(&sum->first, first);
    atomic_fetch_add(&sum->second, reduced(second + behind % MODULUS * first));
}

void mt_fletcher32_end(mt_chunk_sum *sum, char bytes[MT_CHECKSUM_BYTES])
{
    uint64_t checksum = reduced(sum->second * 256) << 16 | reduced(sum->first * 256);
    for (int i = 0; i < MT_CHECKSUM_BYTES; i++) {
        bytes[i] = (char)(checksum >> 8 * i);
    }
}

void mt_fletcher32(const void *bytes, size_t size, char checksum[MT_CHECKSUM_BYTES])
{
    mt_chunk_sum sum;
    mt_fletcher32_begin(&sum, size);
    mt_fletcher32_add(&sum, 0, bytes, size);
    mt_fletcher32_end(&sum, checksum);
}
