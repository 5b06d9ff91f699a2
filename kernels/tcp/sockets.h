/* Sockets of TCP with a time limit, and the first words of a connection: what processes that find
 * one another without MPI need (kernels/tcp/meeting.h). Internal.
 *
 * Times are seconds of mt_tcp_clock. Sockets do not block, and are closed in programs that this
 * process executes. */
#ifndef MT_KERNELS_TCP_SOCKETS_H
#define MT_KERNELS_TCP_SOCKETS_H

#include <mixtape/error.h>

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Of a clock that never goes back. */
double mt_tcp_clock(void);

/* For poll: at least 0, and -1 where it is INFINITY. */
int mt_tcp_milliseconds_until(double until);

/* Splits "HOST:PORT" or "[HOST]:PORT", as an address of IPv6 is written, and finds what the host's
 * name stands for. MT_ERROR_INVALID with the text. The caller calls freeaddrinfo. */
mt_status mt_tcp_find(const char *address, struct addrinfo **found);

/* MT_ERROR_INVALID with the text unless it is written so. Finds nothing. */
mt_status mt_tcp_check(const char *address);

/* Tells if a connection from there comes from this very machine by its loopback (127.0.0.1,
 * ::1). */
bool mt_tcp_is_loopback(const struct sockaddr *address);

/* Listens at one of the addresses: at a loopback address alone where the first is one by `name`
 * (localhost, 127.0.0.1, ::1), else at all addresses of this machine, since a name may stand for
 * another one here than elsewhere. MT_ERROR_IO with `name`. */
mt_status mt_tcp_listen(const char *name, const struct addrinfo *addresses, int backlog,
                        int *socket);

/* The port that a socket listens at. */
int mt_tcp_port(int socket);

/* Connects to one of the addresses, which are tried in turn until somebody listens there or the
 * time is over: then `problem` says why the last try failed. Where somebody `listens` already, a
 * refusal is final. Returns the socket, or -1. */
int mt_tcp_connect(const struct addrinfo *addresses, bool listens, double until, char problem[64]);

/* What an error of errno's is: in its words, but with the limit where too many files are open. */
void mt_tcp_describe(int error, char words[64]);

enum { MT_TCP_NAMES = 128 };

/* Puts one more rank behind a list, "1, 3"; "" at first. A list that is full ends with ", ...". */
void mt_tcp_add_rank(char names[MT_TCP_NAMES], int rank);

/* Sends or receives so many bytes, all of them before the time is over: NULL, or what failed. */
const char *mt_tcp_send(int socket, const void *bytes, size_t count, double until);
const char *mt_tcp_receive(int socket, void *bytes, size_t count, double until);

/* Sets what a connection between processes is to have: small messages leave at once, and a machine
 * that is gone is noticed within half a minute, unless bytes are on their way to it. */
void mt_tcp_keep_alive(int socket);

#endif
