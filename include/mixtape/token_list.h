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
    char **whole;    /* mt_token_list_keep_whole */
    int32_t whole_count;
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
    /* Characters; each blank between words is <space>. Symbols are kept whole: those named by
     * mt_token_list_keep_whole or, where none are, those in brackets, as <noise> and [laugh], that
     * the list has. */
    MT_TOKEN_CHAR,
    /* What stands between blanks, Unicode's too: words, or sub-words that were split before. */
    MT_TOKEN_WORD
} mt_token_unit;

/* Names what is kept whole where texts are cut into characters, ESPnet's non-linguistic symbols, in
 * place of what was before: copies of `count` texts, which may be in the list or not. Of two that
 * begin alike the longer one is taken. */
MT_API mt_status mt_token_list_keep_whole(mt_token_list *list, int32_t count,
                                          const char *const *symbols);

/* The ids of a text's tokens, in an array that the caller frees. A token that is not in the list
 * becomes <unk>; where the list has no <unk> that is MT_ERROR_FORMAT, naming the token; so are
 * bytes that are not UTF-8. */
MT_API mt_status mt_token_encode(const mt_token_list *list, mt_token_unit unit, const char *text,
                                 int32_t **ids, int64_t *count);

#ifdef __cplusplus
}
#endif

#endif
