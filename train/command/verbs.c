#include "train/command/verbs.h"

#include "train/command/lines.h"

#include <stdio.h>

const command_verb command_verbs[] = {
    {"train", "train a model on a task, or go on with a run", verb_train},
    {"tokenize", "make token ids of text, with a tokenizer (by Python)", verb_tokenize},
    {"eval", "measure a run on what it held out, or any model on files", verb_eval},
    {"generate", "sample text from a run's model", verb_generate},
    {"forward", "compute a model's outputs for given labels", verb_forward},
    {"export", "write a model for other programs", verb_export},
    {"import", "read such a file back into a model", verb_import},
    {"replay", "repeat a run's bad step, and name what is not finite", verb_replay},
    {"average", "write the mean of several models' weights", verb_average},
    {"diff", "compare the weights of two models", verb_diff, EXIT_USAGE}, /* 1: they differ */
    {"watch", "show in a terminal how far a run is", verb_watch},
    {"plot", "draw the losses of runs (by gnuplot)", verb_plot},
    {"info", "tell what a checkpoint or exchange file holds", verb_info},
    {"gradcheck", "check every gradient by finite differences", verb_gradcheck},
    {"bench", "measure the kernels and the training step", verb_bench},
    {0}};

int failed_status = EXIT_FAILED;

const char command_note[] = "`mixtape VERB --help` tells a verb's options, `mixtape --version` the "
                            "version. RUN is a run's\n"
                            "folder, of which best.h5 is read, or a file. The exit status is 0 "
                            "when done, 1 when something\n"
                            "failed, 2 for wrong usage, 128 + n for what signal n ended.\n";

const command_variable command_variables[] = {
    {"OMP_NUM_THREADS", "How many threads there are, where --threads does not say it."},
    {"OPENBLAS_CORETYPE", "The processor whose kernels OpenBLAS runs: SkylakeX, Haswell."},
    {"NO_COLOR", "Set to anything: watch uses no colours."},
    {"MIXTAPE_GNUPLOT", "The gnuplot that draws; empty: none, and runs draw nothing."},
    {"MIXTAPE_PYTHON", "The Python that runs tokenizers."},
    {"MIXTAPE_ISA", "A lower instruction set than the processor's: avx2 or baseline."},
    {"MIXTAPE_NCCL", "0: GPUs are summed without NCCL; 1: with it, also of one process."},
    {"MIXTAPE_OVERLAP", "0: kernels of a GPU do not begin before the last one has ended."},
    {"MIXTAPE_SUMS_BESIDE",
     "1 or 0: several processes sum gradients beside backward, or behind it."},
    {NULL, NULL}};

int report(mt_status status)
{
    if (status != MT_OK) {
        print_line(stderr, "mixtape: %s", mt_error_message());
    }
    return status == MT_OK ? EXIT_DONE : status == MT_ERROR_INVALID ? EXIT_USAGE : EXIT_FAILED;
}

int report_usage(const char *message)
{
    print_line(stderr, "mixtape: %s", message);
    return EXIT_USAGE;
}
