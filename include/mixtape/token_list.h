/* Token lists, as ESPnet has them: one token a line, the line's number its id; by convention
 * <blank> first, then <unk>, with <space> for the blank between words and <sos/eos> last. */
#ifndef MIXTAPE_TOKEN_LIST_H
#define MIXTAPE_TOKEN_LIST_H

#include <mixtape/api.h>
#include <mixtape/error.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_token_list {
    int32_t count;
    char **tokens;   /* UTF-8, by id */
    int32_t *sorted; /* ids in the order of their tokens' bytes, for mt_token_find */
} mt_token_list;

/* Copies `count` tokens. MT_ERROR_INVALID for one that is empty, or there twice, with the ids. The
 * caller destroys the list. */
MT_API mt_status mt_token_list_create(int32_t count, const char *const *tokens,
                                      mt_token_list **list);
MT_API void mt_token_list_destroy(mt_token_list *list); /* NULL is allowed */

/* Reads a token list file; blanks at a line's end and a byte order mark are dropped.
 * MT_ERROR_FORMAT, with the file and the line, for an empty file or line, a token that is there
 * twice, or bytes that are not UTF-8. */
MT_API mt_status mt_token_list_load(const char *path, mt_token_list **list);

/* The token's id, or -1. `length` in bytes. */
MT_API int32_t mt_token_find(const mt_token_list *list, const char *token, size_t length);

/* The unit that transcripts are cut into. */
typedef enum mt_token_unit {
    /* Characters; the blank between words is <space>. A symbol in brackets, as <noise> and [laugh]
     * are, is one where the list has it: ESPnet's non-linguistic symbols. */
    MT_TOKEN_CHAR,
    MT_TOKEN_WORD /* what stands between blanks: words, or sub-words that were split before */
} mt_token_unit;

/* The ids of a text's tokens, in an array that the caller frees. A token that is not in the list
 * becomes <unk>; where the list has no <unk> that is MT_ERROR_FORMAT, naming the token; so are
 * bytes that are not UTF-8. */
MT_API mt_status mt_token_encode(const mt_token_list *list, mt_token_unit unit, const char *text,
                                 int32_t **ids, int64_t *count);

#ifdef __cplusplus
}
#endif

#endif
