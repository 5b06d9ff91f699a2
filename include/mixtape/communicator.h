/* Processes that train one model together: on one machine or on several, started by mpirun, srun
 * or torchrun, or by hand. Each opens a communicator and hands it to its trainer
 * (mt_trainer_config), which shares batches among them:
 *
 *     mt_communicator_open(&communicator);
 *     config.communicator = communicator;
 *     ... a trainer and its updates, the same in every process ...
 *     if (mt_communicator_rank(communicator) == 0) {
 *         mt_trainer_save(trainer, "checkpoint.h5");
 *     }
 *     mt_communicator_close(communicator);
 *
 * A process is known by its rank, 0 .. size - 1. Functions that say so are called by all ranks, in
 * the same order, by one thread at a time; each waits for the others. Where a process ends without
 * closing its communicator, the launcher ends the others, or what they do together fails. */
#ifndef MIXTAPE_COMMUNICATOR_H
#define MIXTAPE_COMMUNICATOR_H

#include <mixtape/api.h>
#include <mixtape/device.h>
#include <mixtape/dtype.h>
#include <mixtape/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_communicator mt_communicator;

/* Joins the processes that were started with this one. Where RANK, WORLD_SIZE, MASTER_ADDR and
 * MASTER_PORT tell of others, as torchrun sets them, they meet there, without MPI; else MPI
 * connects them, where OMPI_COMM_WORLD_SIZE, PMI_SIZE or SLURM_STEP_NUM_TASKS tell of any. Where
 * these tell of one process, or not at all, it is alone: rank 0 of 1. By all ranks. Where no
 * OMP_NUM_THREADS says it, a process has its share of the machine's processors from then on
 * (mt_cpu_set_threads).
 *
 * torchrun listens at MASTER_PORT itself where TORCHELASTIC_USE_AGENT_STORE is True: rank 0 takes
 * the next port then. MT_ERROR_INVALID where WORLD_SIZE tells of several processes and the others
 * are missing or cannot be; further errors are those of mt_communicator_open_at.
 *
 * MPI is in a library of its own, libmixtape_mpi.so beside this one: MT_ERROR_DEVICE where there
 * are several processes without it, or it connects another number of them. Where MPI was started
 * before it is used as it is, and not ended. The caller closes the communicator, after everything
 * that uses it. */
MT_API mt_status mt_communicator_open(mt_communicator **communicator);

/* Seconds in which the processes of a communicator have to come, unless a program says another
 * number. */
#define MT_COMMUNICATOR_SECONDS 300.0

/* Joins the processes that are told the same address and size, without MPI and whatever started
 * them. Rank 0 listens at the address, "HOST:PORT" or "[HOST]:PORT", which is its machine's; the
 * others connect to it, and every two of them to one another. Rank -1 of 0 processes is what
 * variables of the environment tell: WORLD_SIZE and RANK, else those of mpirun or srun. By all
 * ranks.
 *
 * The ports serve whoever can connect to them: they are for a network that is trusted. A stranger
 * that does not speak as a rank does is left out; nothing is encrypted. With an address of
 * 127.x.x.x or ::1, or localhost, other machines cannot connect.
 *
 * MT_ERROR_INVALID for a rank that is not one of 0 .. size - 1 or that two processes have, an
 * address that is none, `seconds` that are below 0 or not finite, and ranks that were told
 * different sizes or are of different versions of Mixtape; MT_ERROR_IO where the port is in use and
 * where not all ranks come, and answer one another, within `seconds`. */
MT_API mt_status mt_communicator_open_at(int rank, int size, const char *address, double seconds,
                                         mt_communicator **communicator);

/* By all ranks, once what they did together ended well or has failed on all. NULL is allowed. */
MT_API void mt_communicator_close(mt_communicator *communicator);

/* mt_device_open, but of several processes on one machine each gets a CUDA device of its own by
 * "cuda" and "auto", in the order of their ranks; where they are more than the devices that they
 * see, they begin again with the first. Of one rank alone. */
MT_API mt_status mt_communicator_open_device(const mt_communicator *communicator, const char *name,
                                             mt_device **device);

MT_API int mt_communicator_rank(const mt_communicator *communicator);
MT_API int mt_communicator_size(const mt_communicator *communicator);

/* Gives all ranks what the lowest one that failed tells: MT_OK if none did. The message names that
 * rank, unless all failed. By all ranks, each with a status of its own. */
MT_API mt_status mt_communicator_agree(mt_communicator *communicator, mt_status status);

/* Tells if the latest mt_communicator_agree was of a failure, which all ranks know of then. */
MT_API bool mt_communicator_has_agreed(const mt_communicator *communicator);

/* Puts `bytes` bytes of every rank into `all`, in the order of ranks: size times as many. By all
 * ranks. */
MT_API mt_status mt_communicator_gather(mt_communicator *communicator, size_t bytes,
                                        const void *own, void *all);

/* Gives all ranks rank 0's memory. By all ranks. */
MT_API mt_status mt_communicator_broadcast(mt_communicator *communicator, size_t bytes,
                                           void *memory);

/* Replaces n reals on a device, of MT_F32 or MT_F64, by the sum over all ranks, added in the order
 * of ranks, unless NCCL does it: the same bits on each, and whenever as many ranks do it again. By
 * all ranks. */
MT_API mt_status mt_communicator_sum(mt_communicator *communicator, mt_device *device,
                                     mt_dtype dtype, int64_t n, void *values);

/* Has NCCL make the sums of a device's memory from then on, where the devices of all ranks are
 * GPUs and each rank has NCCL; else they are made through the host's memory, as before, and that
 * is MT_OK too. mt_trainer_create calls it. NCCL adds in an order of its own, which is the same on
 * all ranks, and each time on the same GPUs; it is told to by NCCL_ALGO=Ring, unless that is set.
 * By all ranks. NCCL is in a library of its own, libmixtape_nccl.so beside this one, and the
 * environment's MIXTAPE_NCCL=0 does without.
 *
 * A rank that ends, or NCCL where it fails, ends the sums at work within seconds: then whatever the
 * communicator is asked fails, and what the device has is no sum. */
MT_API mt_status mt_communicator_use_device(mt_communicator *communicator, mt_device *device);

/* Before a device is closed whose communicator is not yet. Of one rank alone. */
MT_API void mt_communicator_leave_device(mt_communicator *communicator, mt_device *device);

/* What sums are made by since then: "NCCL 2.28.3", or "the host's memory: " and why; "" before.
 * Owned by the communicator. */
MT_API const char *mt_communicator_sums(const mt_communicator *communicator);

/* The same in parts, for sums beside other work: begin_sum is called when the work that makes the
 * values has been put on the device, and may go on beside what is put there later; that leaves the
 * values alone, up to end_sums, behind which they are those of all ranks. Sums are begun in the
 * same order on all ranks. Where one fails, the rank takes part in the rest of all the same, and
 * end_sums returns the failure, which is this rank's alone. In between no other function of the
 * communicator is called. By all ranks. */
MT_API mt_status mt_communicator_begin_sum(mt_communicator *communicator, mt_device *device,
                                           mt_dtype dtype, int64_t n, void *values);
MT_API mt_status mt_communicator_end_sums(mt_communicator *communicator, mt_device *device);

/* Tells if this rank is to report a failure that the ranks have not agreed on, so that one of them
 * does: what failed on this rank alone it tells itself, and that others have ended, the lowest rank
 * that is left. The others wait until that one ends by mt_communicator_end_all, for some seconds at
 * most, and then are to tell it all the same. What comes next is mt_communicator_end_all. With MPI,
 * whose launcher ends all, true. */
MT_API bool mt_communicator_is_to_tell(mt_communicator *communicator);

/* Ends all processes, this one at once with this exit status: for a failure that the others cannot
 * know of, once it has been told. Without MPI the others find out when they next do something
 * together, which fails, and that it has been told. Of a process that is alone it ends nothing. */
MT_API void mt_communicator_end_all(mt_communicator *communicator, int exit_status);

#ifdef __cplusplus
}
#endif

#endif
