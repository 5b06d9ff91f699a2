#include "train/command/answers.h"

#include "kernels/cpu/team.h"
#include "train/command/answer.h"
#include "train/command/ending.h"
#include "train/command/prompts.h"
#include "train/lockstep.h"

#include <inttypes.h>
#include <stdlib.h>

/* Lines that may wait, each, for one before them that is not answered yet: so many times those that
 * are answered at once. It bounds the memory of a file of any length. */
enum { WAITING = 16 };

/* Lines first .. next - 1 are in memory: line i in place i modulo `places`. */
typedef struct answers {
    const answers_asked *asked;
    const text_symbols *symbols;
    const text_stop *stop;
    mt_sampler **samplers; /* one for each thread */
    int64_t threads;
    mt_dtype dtype;
    lockstep *rows;
    prompt_lines lines;
    bool at_end; /* of the file */
    int64_t first, next, places;
    answer *kept;
    text_output output;
} answers;

static bool is_over(void)
{
    return ferror(stdout) || ending_signal() != 0;
}

/* Writes what is done, up to the first line that is not. */
static mt_status write_done(answers *all)
{
    mt_status status = MT_OK;
    while (all->first < all->next && status == MT_OK && !is_over()) {
        answer *of = &all->kept[all->first % all->places];
        if (!of->done) {
            break;
        }
        status = answer_write(of, &all->output);
        answer_close(of);
        all->first++;
    }
    return status;
}

/* ---- lines ---- */

/* Begins the answer to a line in a row; a line that is no prompt, or has no answer, is done. */
static mt_status begin_answer(answers *all, answer *of, int64_t row, const char *line)
{
    mt_status status = answer_prompt(of, line);
    of->refused = status != MT_OK;
    of->done = of->refused || all->asked->length == 0;
    if (of->refused) {
        return prompts_refuse(&all->lines, status);
    }
    return of->done ? shown_text_finish(&of->shown)
                    : lockstep_begin(all->rows, row, of, of->ids, of->count);
}

/* Reads a line, for a row or to be refused. */
static mt_status take_line(answers *all, int64_t row)
{
    const char *line;
    mt_status told = prompts_next(&all->lines, &line);
    if (line == NULL) {
        all->at_end = true;
        return told;
    }
    answer *of = &all->kept[all->next++ % all->places];
    mt_status status = answer_open(of, all->lines.number, all->symbols, all->stop);
    if (status == MT_OK && told == MT_OK) {
        status = begin_answer(all, of, row, line);
    } else if (status == MT_OK) {
        of->refused = of->done = true;
        status = prompts_refuse(&all->lines, told);
    }
    return status == MT_OK ? write_done(all) : status;
}

/* Reads lines for the rows that are empty. Tells if there is one that is not. */
static mt_status take_lines(answers *all, bool *begun)
{
    mt_status status = MT_OK;
    *begun = false;
    for (int64_t row = 0; row < lockstep_count(all->rows) && status == MT_OK; row++) {
        while (lockstep_owner(all->rows, row) == NULL && !all->at_end && status == MT_OK &&
               all->next - all->first < all->places && !is_over()) {
            status = take_line(all, row);
        }
        *begun = *begun || lockstep_owner(all->rows, row) != NULL;
    }
    return status;
}

/* ---- answers ---- */

static mt_status draw(const answers *all, mt_sampler *sampler, answer *of, const void *logits)
{
    mt_status status = mt_sampler_reseed(sampler, all->asked->seed + (uint64_t)(of->line - 1));
    if (status == MT_OK) {
        status = mt_sampler_seek(sampler, of->position);
    }
    if (status == MT_OK) {
        status = mt_sampler_draw(sampler, all->dtype, logits, &of->symbol);
    }
    of->position = mt_sampler_position(sampler);
    return status;
}

/* Draws for the rows of some threads, those that have read all they were given. */
static void draw_rows(const void *loop, int64_t first, int64_t end)
{
    const answers *all = loop;
    for (int64_t thread = first; thread < end; thread++) {
        for (int64_t row = thread; row < lockstep_count(all->rows); row += all->threads) {
            answer *of = lockstep_owner(all->rows, row);
            const void *logits = lockstep_logits(all->rows, row);
            if (logits != NULL) {
                of->drawn = draw(all, all->samplers[thread], of, logits);
            }
        }
    }
}

/* What kept a symbol from being drawn: only the thread that drew could be told. */
static mt_status fail_to_draw(const answers *all, answer *of, const void *logits)
{
    mt_status status = draw(all, all->samplers[0], of, logits);
    return mt_fail(status, "%s: line %" PRId64 ": the model: %s", all->lines.name, of->line,
                   mt_error_message());
}

/* Adds a symbol to the answer of a row that has read all it was given. */
static mt_status go_on(answers *all, int64_t row)
{
    answer *of = lockstep_owner(all->rows, row);
    const void *logits = lockstep_logits(all->rows, row);
    if (logits == NULL) {
        return MT_OK;
    }
    if (of->drawn != MT_OK) {
        return fail_to_draw(all, of, logits);
    }
    of->chosen++;
    mt_status status = shown_text_add(&of->shown, of->symbol);
    if (status != MT_OK) {
        return status;
    }
    if (of->chosen < all->asked->length && !shown_text_has_ended(&of->shown)) {
        lockstep_read(all->rows, row, &of->symbol, 1);
        return MT_OK;
    }
    lockstep_end(all->rows, row);
    status = shown_text_finish(&of->shown);
    of->done = status == MT_OK;
    return status;
}

/* A step of all rows. */
static mt_status step(answers *all)
{
    mt_status status = all->at_end ? lockstep_shrink(all->rows) : MT_OK;
    if (status == MT_OK || status == MT_ERROR_MEMORY) { /* for fewer: then as many go on */
        status = lockstep_feed(all->rows);
    }
    if (status == MT_OK && !is_over()) {
        mt_team_run((int)all->threads, all->threads, draw_rows, all);
    }
    for (int64_t row = 0; row < lockstep_count(all->rows) && status == MT_OK && !is_over(); row++) {
        status = go_on(all, row);
    }
    mt_status written = write_done(all); /* what other rows have done is not lost */
    return status == MT_OK ? written : status;
}

static mt_status answer_all(answers *all)
{
    bool begun;
    mt_status status = take_lines(all, &begun);
    while (begun && status == MT_OK && !is_over()) {
        status = step(all);
        if (status == MT_OK) {
            status = take_lines(all, &begun);
        }
    }
    return status;
}

/* The first sampler is the caller's. */
static mt_status copy_samplers(answers *all, mt_sampler *sampler)
{
    all->threads = mt_cpu_threads() < all->asked->batch ? mt_cpu_threads() : all->asked->batch;
    all->samplers = calloc((size_t)all->threads, sizeof *all->samplers);
    if (all->samplers == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for the samplers of %" PRId64 " threads",
                       all->threads);
    }
    all->samplers[0] = sampler;
    mt_status status = MT_OK;
    for (int64_t i = 1; i < all->threads && status == MT_OK; i++) {
        status = mt_sampler_copy(sampler, &all->samplers[i]);
    }
    return status;
}

static void destroy_copies(answers *all)
{
    for (int64_t i = 1; i < all->threads && all->samplers != NULL; i++) {
        mt_sampler_destroy(all->samplers[i]);
    }
    free(all->samplers);
}

static mt_status open_and_answer(answers *all, mt_model *model)
{
    mt_status status = lockstep_create(model, all->asked->batch, &all->rows);
    all->kept = status == MT_OK ? calloc((size_t)all->places, sizeof *all->kept) : NULL;
    if (all->kept == NULL) {
        return status != MT_OK ? status
                               : mt_fail(MT_ERROR_MEMORY, "--batch %" PRId64 ": no memory for it",
                                         all->asked->batch);
    }
    status = answer_all(all);
    while (all->first < all->next) {
        answer_close(&all->kept[all->first++ % all->places]);
    }
    free(all->kept);
    return status;
}

mt_status answers_write(mt_model *model, const text_symbols *symbols, const text_stop *stop,
                        mt_sampler *sampler, const answers_asked *asked, bool *failed)
{
    answers all = {.asked = asked,
                   .symbols = symbols,
                   .stop = stop,
                   .dtype = model->parameters->dtype,
                   .places = WAITING * asked->batch,
                   .output = text_output_make(stdout)};
    mt_status status = prompts_open(asked->prompts, &all.lines);
    if (status != MT_OK) {
        return mt_fail(status, "--prompts: %s", mt_error_message());
    }
    status = copy_samplers(&all, sampler);
    if (status == MT_OK) {
        status = open_and_answer(&all, model);
    }
    destroy_copies(&all);
    *failed = all.lines.wrong > 0;
    lockstep_destroy(all.rows);
    prompts_close(&all.lines);
    return status;
}
