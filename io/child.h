/* A child process that is forked to read what may be hostile: what it is freed of, and its limits.
 * Internal. */
#ifndef MT_IO_CHILD_H
#define MT_IO_CHILD_H

#include <sys/resource.h>

/* From now on the C library keeps some megabytes that are freed for what is allocated next: where
 * they go back to the system between two pieces of a file, their pages are cleared for each. This
 * is for processes of Mixtape's own, the command and children that read: of a program that uses the
 * library the memory is its own affair. */
void mt_keep_memory(void);

typedef struct mt_child {
    int line;      /* to the program, whose end ends the child too */
    rlim_t mapped; /* the address space that the program had already */
    rlim_t given;  /* that it may have at most */
} mt_child;

/* The first thing that the child does. It has nothing of the program's open but the line and
 * standard error, on which a sanitizer reports; the program's handlers of signals are not the
 * child's, which signals that ask a program to end leave at work. A crash leaves no core. */
mt_child mt_child_begin(int line);

/* Limits what is done from now on: to so many bytes beside what was mapped, and so many seconds of
 * the processor beside those used up; no wall clock, which a slow disk would use up. */
void mt_child_limit(const mt_child *child, rlim_t bytes, rlim_t seconds);

#endif
