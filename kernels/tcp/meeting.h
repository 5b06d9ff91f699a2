/* How processes that know their ranks find one another without MPI. Rank 0 listens at an address
 * that all were told; the others connect to it and say who they are and where they listen
 * themselves; once all have come it sends each the list, and every two connect. Internal.
 *
 * Whoever connects and says something else, or nothing, is left out. Nothing is secret: what can
 * connect and speaks as a rank does is taken for one. */
#ifndef MT_KERNELS_TCP_MEETING_H
#define MT_KERNELS_TCP_MEETING_H

#include <mixtape/error.h>

/* Fills `sockets` (size), that of this rank with -1. MT_ERROR_INVALID, on all ranks that have come,
 * where two are the same or were told another number of ranks; MT_ERROR_IO where the address is in
 * use, and where ranks do not come within so many seconds. After a failure none is open. */
mt_status mt_tcp_meet(int rank, int size, const char *address, double seconds, int *sockets);

#endif
