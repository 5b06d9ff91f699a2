/* Two sums modulo 65535: of the numbers, and of what the first sum is after each of them (J. G.
 * Fletcher, An Arithmetic Checksum for Serial Transmissions, IEEE Transactions on Communications
 * 30, 1982). A sum is 0 for zeros alone; else it is one of 1 to 65535.
 *
 * Bytes are read as the processor has them, the lower one first: 256 times such a number is, modulo
 * 65535, the number with its bytes exchanged.
 *
 * A part behind which r numbers follow adds its first sum to that of all, and to the second its
 * second sum and r times its first: so parts are summed in whatever order. */
#include "io/fletcher32.h"

void mt_fletcher32_begin(mt_chunk_sum *sum, size_t size)
{
    atomic_init(&sum->first, 0);
    atomic_init(&sum->second, 0);
    sum->size = size;
    sum->taken = 0;
    sum->copy = mt_cpu_summed_copy(MT_F32);
}

void mt_fletcher32_add_sums(mt_chunk_sum *sum, size_t from, size_t size, const uint64_t sums[2])
{
    uint64_t behind = mt_fletcher_reduced((sum->size - from - size + 1) / 2);
    atomic_fetch_add(&sum->first, sums[0]);
    atomic_fetch_add(&sum->second, mt_fletcher_reduced(sums[1] + behind * sums[0]));
}

void mt_fletcher32_add(mt_chunk_sum *sum, size_t from, const void *bytes, size_t size)
{
    uint64_t sums[2];
    sum->copy(size, bytes, NULL, 0.0, sums);
    mt_fletcher32_add_sums(sum, from, size, sums);
}

void mt_fletcher32_took(mt_chunk_sum *sum, size_t size)
{
    sum->taken = size;
}

void mt_fletcher32_end(mt_chunk_sum *sum, const void *chunk, char checksum[MT_CHECKSUM_BYTES])
{
    mt_fletcher32_add(sum, sum->taken, (const char *)chunk + sum->taken, sum->size - sum->taken);
    sum->taken = sum->size;
    uint64_t both =
        mt_fletcher_reduced(sum->second * 256) << 16 | mt_fletcher_reduced(sum->first * 256);
    for (int i = 0; i < MT_CHECKSUM_BYTES; i++) {
        checksum[i] = (char)(both >> 8 * i);
    }
}

void mt_fletcher32(const void *bytes, size_t size, char checksum[MT_CHECKSUM_BYTES])
{
    mt_chunk_sum sum;
    mt_fletcher32_begin(&sum, size);
    mt_fletcher32_end(&sum, bytes, checksum);
}
