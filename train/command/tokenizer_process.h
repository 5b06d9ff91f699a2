/* A tokenizer in a process of its own: a model of SentencePiece in one that is forked where the
 * command was built with its library (tokenizer_child.h), and all others in one of Mixtape's Python
 * package, mixtape.tokenizer_server, which says what goes over the socket, and what memory and time
 * an answer may take. A signal that is noted (ending.h) ends the wait for an answer, and the
 * process with it. */
#ifndef MT_COMMAND_TOKENIZER_PROCESS_H
#define MT_COMMAND_TOKENIZER_PROCESS_H

#include <mixtape/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tokenizer_process tokenizer_process;

/* `name` is for messages, and stays. */
mt_status tokenizer_process_start(const char *name, const char *bytes, size_t size,
                                  tokenizer_process **process);
void tokenizer_process_end(tokenizer_process *process); /* NULL is allowed */

int64_t tokenizer_process_size(const tokenizer_process *process);

/* Tells if it splits text for token lists: a model of SentencePiece. */
bool tokenizer_process_splits(const tokenizer_process *process);

/* What is odd about it, in a line, or "". */
const char *tokenizer_process_note(const tokenizer_process *process);

/* What the process makes of these bytes, as the letter asks it. The caller frees the answer, which
 * has a zero byte behind it. MT_ERROR_FORMAT with the message of the process; MT_ERROR_MEMORY where
 * it took too much, or too long, which is the file's fault; MT_ERROR_IO where it has ended. */
mt_status tokenizer_process_ask(tokenizer_process *process, char asked, const void *bytes,
                                size_t size, char **answer, size_t *length);

#endif
