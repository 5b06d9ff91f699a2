/* Any text as a sequence of symbols: the characters of a UTF-8 file, or the bytes of any file. */
#ifndef MIXTAPE_TEXT_H
#define MIXTAPE_TEXT_H

#include <mixtape/api.h>
#include <mixtape/token_list.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mt_text_unit { MT_TEXT_CHAR, MT_TEXT_BYTE } mt_text_unit;

typedef struct mt_text {
    int64_t length;
    int32_t *ids;
} mt_text;

/* Reads a file. `vocabulary`: where *vocabulary is NULL it receives the symbols, owned by the
 * caller: the file's characters in the order of their code points, or the 256 bytes as "<0x00>" ...
 * "<0xFF>". Else the file is encoded with that one, and a character that it lacks is
 * MT_ERROR_FORMAT. MT_ERROR_FORMAT, with the offset, where characters are asked for and the file is
 * not UTF-8; for an empty file, too. A byte order mark is no character. After a failure `text` is
 * empty and *vocabulary as it was. */
MT_API mt_status mt_text_load(const char *path, mt_text_unit unit, mt_token_list **vocabulary,
                              mt_text *text);
MT_API void mt_text_destroy(mt_text *text);

/* The same for a string, a prompt, which may be empty. After a failure `text` is empty. */
MT_API mt_status mt_text_encode(const char *bytes, size_t size, mt_text_unit unit,
                                const mt_token_list *vocabulary, mt_text *text);

/* The bytes that a symbol of the vocabulary stands for, which need not end in a zero byte. They
 * stay as long as the vocabulary. */
MT_API const char *mt_text_decode(const mt_token_list *vocabulary, mt_text_unit unit, int32_t id,
                                  size_t *length);

#ifdef __cplusplus
}
#endif

#endif
