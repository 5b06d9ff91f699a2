/* Two sums modulo 65535: of the numbers, and of what the first sum is after each of them (J. G.
 * Fletcher, An Arithmetic Checksum for Serial Transmissions, IEEE Transactions on Communications
 * 30, 1982). A sum is 0 for zeros alone; else it is one of 1 to 65535.
 *
 * Of n numbers, number i (from 0 on) is in n - i of the first sums: so those of a stretch are a sum
 * of products, which are independent of each other. Bytes are read as the processor has them, the
 * lower one first: 256 times such a number is, modulo 65535, the number with its bytes
 * exchanged. */
#include "io/fletcher32.h"

#include <string.h>

/* Of a stretch, the sum of products is at most 65535 STRETCH (STRETCH + 1) / 2, below 2^32. */
enum { STRETCH = 256, MODULUS = 65535 };

/* The same modulo 65535, below 2^49, and 0 for 0 alone. */
static uint64_t folded(uint64_t sum)
{
    return (sum & MODULUS) + (sum >> 16);
}

static uint64_t reduced(uint64_t sum)
{
    return sum > 0 ? (sum - 1) % MODULUS + 1 : 0;
}

uint32_t mt_fletcher32(const void *bytes, size_t size)
{
    const unsigned char *at = bytes, *end = at + size;
    uint16_t numbers[STRETCH], times[STRETCH];
    uint64_t first = 0, second = 0;
    for (int i = 0; i < STRETCH; i++) {
        times[i] = (uint16_t)(STRETCH - i);
    }
    for (; (size_t)(end - at) >= sizeof numbers; at += sizeof numbers) {
        uint32_t sum = 0, products = 0;
        memcpy(numbers, at, sizeof numbers);
        for (int i = 0; i < STRETCH; i++) {
            sum += numbers[i];
            products += (uint32_t)numbers[i] * times[i];
        }
        second = folded(second + STRETCH * first + products);
        first = folded(first + sum);
    }
    while (at < end) {
        uint64_t low = *at++, high = at < end ? *at++ : 0;
        first = folded(first + low + 256 * high);
        second = folded(second + first);
    }
    return (uint32_t)(reduced(second * 256) << 16 | reduced(first * 256));
}
