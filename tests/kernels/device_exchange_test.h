/* What ranks give one another of their devices' memory, by whatever way. */
#ifndef DEVICE_EXCHANGE_TEST_H
#define DEVICE_EXCHANGE_TEST_H

#include <check.h>
#include <stdlib.h>

#include "kernels/communicator.h"

static inline unsigned char exchanged_byte(int rank, size_t i)
{
    return (unsigned char)(i * 3 + 101 * (size_t)rank + (i >> 8));
}

enum { ALL_OF_RANK_0 = -1 };

/* Of `bytes` bytes of every rank each becomes that of the rank which has it: `part` are each one's,
 * and the last one's what is left, or all are rank 0's. */
static inline void check_exchange_of(mt_communicator *communicator, mt_device *device, int64_t part,
                                     size_t bytes)
{
    int own = mt_communicator_rank(communicator), last = mt_communicator_size(communicator) - 1;
    unsigned char *host = malloc(bytes + 1);
    void *memory;
    for (size_t i = 0; i < bytes; i++) {
        host[i] = exchanged_byte(own, i);
    }
    ck_assert_int_eq(mt_device_allocate(device, bytes, &memory), MT_OK);
    ck_assert_int_eq(mt_device_write(device, memory, host, bytes), MT_OK);
    ck_assert_int_eq(
        part == ALL_OF_RANK_0
            ? mt_communicator_broadcast_device(communicator, device, bytes, memory)
            : mt_communicator_spread_device(communicator, device, (size_t)part, bytes, memory),
        MT_OK);
    ck_assert_int_eq(mt_device_read(device, host, memory, bytes), MT_OK);
    size_t wrong = 0;
    for (size_t i = 0; i < bytes; i++) {
        int rank = part == ALL_OF_RANK_0                           ? 0
                   : part == 0 || i / (size_t)part >= (size_t)last ? last
                                                                   : (int)(i / (size_t)part);
        wrong += host[i] != exchanged_byte(rank, i);
    }
    ck_assert_uint_eq(wrong, 0);
    mt_device_release(device, memory);
    free(host);
}

/* By all ranks. */
static inline void check_device_exchange(mt_communicator *communicator, mt_device *device)
{
    static const size_t sizes[] = {0, 1, 255, 256, 1000, 200001, 524288};
    const size_t size = (size_t)mt_communicator_size(communicator);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_exchange_of(communicator, device, ALL_OF_RANK_0, sizes[i]);
        check_exchange_of(communicator, device, (int64_t)(sizes[i] / size), sizes[i]);
        check_exchange_of(communicator, device, (int64_t)(sizes[i] / size / 256 * 256), sizes[i]);
    }
}

#endif
