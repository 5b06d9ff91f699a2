/* As python/mixtape/tokenizing.py has them; a test compares the two. */
#include "train/command/manual/manual.h"

static const struct argp_option options[] = {
    {"tokenizer", 0, "FILE", 0,
     "tokenizer.json of Hugging Face, a .model of SentencePiece, RWKV's World list, or the folder "
     "of a model",
     0},
    {"output", 'o', "OUT", 0,
     "OUT.bin and OUT.idx, which keep documents; or an .npy, or a .bin of ids alone", 0},
    {"document-end", 0, "TOKEN", 0,
     "What is put behind each document: an id, a token such as <|endoftext|>, or none (default)",
     0},
    {"format", 0, "auto|text|jsonl", 0, "What the files are (default: as their names end)", 0},
    {"field", 0, "NAME", 0, "That holds the text of a line of JSON (default: text)", 0},
    {"lines", 0, NULL, 0, "Each line of a text is a document", 0},
    {"invalid", 0, "error|replace", 0,
     "What becomes of bytes that are not UTF-8 (a World list takes any)", 0},
    {"quiet", 0, NULL, 0, "Show no progress", 0},
    {"help", 'h', NULL, 0, "Give this help list", 0},
    {0}};

const struct argp manual_tokenize = {
    .options = options,
    .args_doc = "FILE... --tokenizer FILE -o OUT",
    .doc = "Makes token ids of text, for `mixtape train ids`.\v"
           "Each file is a document, and each line of .jsonl, .ndjson and .json (--format jsonl). "
           "A folder is all files in it; -: standard input. Files may be compressed by gzip, bzip2 "
           "or xz. Documents longer than 256 KiB are cut between two lines, and their pieces "
           "tokenized one by one."};
