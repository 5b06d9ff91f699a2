/* A model of SentencePiece in a process that is forked from the command, and answers as
 * mixtape.tokenizer_server does. */
#ifndef MT_COMMAND_TOKENIZER_CHILD_H
#define MT_COMMAND_TOKENIZER_CHILD_H

/* Answers until the line is closed, within the limits of mixtape.tokenizer_server. What libraries
 * print goes nowhere. */
_Noreturn void tokenizer_child_serve(const char *name, int line);

#endif
