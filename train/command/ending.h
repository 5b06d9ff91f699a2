/* Signals that end what a verb does, once the step at work is done. */
#ifndef MT_COMMAND_ENDING_H
#define MT_COMMAND_ENDING_H

#include <stdbool.h>

/* Has a signal's handler called, but for a signal that the program began with ignoring, as under
 * nohup. What the signal interrupts is begun again. `flags` are sigaction's. */
void catch_signal(int number, void (*handler)(int number), int flags);

/* From now on SIGHUP, SIGINT, SIGPIPE and SIGTERM are noted; the second of a kind, but for SIGPIPE,
 * ends the program as it would without this. */
void ending_catch(void);

/* SIGHUP, SIGINT, SIGTERM and SIGXCPU are noted, of a verb that reads and writes weights: it stops
 * at one, and leaves nothing half-written (mt_weights_stop_when). */
void ending_catch_weights(void);

int ending_signal(void); /* the one that was noted; 0: none */

/* Waits until a file is ready for these events of poll's; false: a signal came first. */
bool ending_wait_for(int file, short events);

/* The exit status of a verb that the noted signal ended, 128 + its number. SIGPIPE ends the program
 * here, without a word: nobody reads any more. */
int ending_status(void);

#endif
