/* A transport (kernels/transport.h) of TCP connections between every two processes, for ranks that
 * were started without MPI. Internal. */
#ifndef MT_KERNELS_TCP_TRANSPORT_H
#define MT_KERNELS_TCP_TRANSPORT_H

#include <mixtape/error.h>

#include "kernels/transport.h"

/* Meets the other ranks (kernels/tcp/meeting.h), and fails as that does. */
mt_status mt_tcp_open(int rank, int size, const char *address, double seconds,
                      mt_transport *transport);

#endif
