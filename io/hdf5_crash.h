/* The last words of a process that libhdf5 crashes or ends, as it does where it has no memory.
 * Internal: for the command and for its children, never for a program's own process. */
#ifndef MT_IO_HDF5_CRASH_H
#define MT_IO_HDF5_CRASH_H

#include <stdbool.h>

/* From now on `end` is called where the process crashes, with the signal, or exits, with 0 and the
 * status; it is told if memory has run out. It may do what a signal's handler may, and ends the
 * process by _exit, or returns if that is none of its business. Call it before HDF5 is used, in the
 * thread that uses it. HDF5 does not tidy up at the end of the process: after a failure it
 * complains then, or crashes. */
void mt_hdf5_catch_crash(void (*end)(int signal, int status, bool lacks_memory));

/* The path of the file that HDF5 makes, what else it is at, or NULL; and of the new file beside it,
 * or NULL, which is removed before `end` is called: a crash leaves the old one, and no other. */
extern const char *volatile mt_hdf5_makes;
extern const char *volatile mt_hdf5_new_file;

/* True once HDF5 had no memory to make it: then a crash is no wonder. */
extern volatile bool mt_hdf5_lacks_memory;

#endif
