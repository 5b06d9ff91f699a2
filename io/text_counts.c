#include "io/text_counts.h"

#include "io/utf8.h"

#include <utf8proc.h>

mt_text_counts mt_text_count(const char *bytes, size_t size)
{
    mt_text_counts counts = {.bytes = (int64_t)size, .is_text = true};
    bool inside = false;
    for (size_t at = 0; at < size && counts.is_text;) {
        utf8proc_int32_t character;
        utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)bytes + at,
                                                   (utf8proc_ssize_t)(size - at), &character);
        if (length < 1) {
            counts.is_text = false;
            break;
        }
        bool blank = mt_utf8_is_blank(character);
        counts.words += !blank && !inside;
        counts.characters++;
        inside = !blank;
        at += (size_t)length;
    }
    return counts;
}
