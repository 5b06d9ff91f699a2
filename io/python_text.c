#include "io/python_text.h"

#include <string.h>
#include <utf8proc.h>

/* A text as it is read. */
typedef struct text_reader {
    const char *at;
    char *bytes;
    size_t size;
    bool is_bytes;
} text_reader;

static int digit(char character)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const int sixteen = 16;
    const char *found = character != '\0' ? strchr(digits, character) : NULL;
    return found != NULL ? (int)(found - digits) % sixteen : -1;
}

static bool put_character(text_reader *reader, utf8proc_int32_t character)
{
    bool valid = utf8proc_codepoint_valid(character);
    if (valid) {
        utf8proc_uint8_t *to = (utf8proc_uint8_t *)reader->bytes + reader->size;
        reader->size += (size_t)utf8proc_encode_char(character, to);
    }
    return valid;
}

/* A number of so many hexadecimal digits: a byte, or a character. */
static bool read_number(text_reader *reader, int digits)
{
    enum { SIXTEEN = 16, MOST = 0x110000 };
    utf8proc_int32_t number = 0;
    for (int i = 0; i < digits; i++) {
        int value = digit(*reader->at);
        if (value < 0 || number >= MOST) {
            return false;
        }
        number = SIXTEEN * number + value;
        reader->at++;
    }
    if (!reader->is_bytes) {
        return put_character(reader, number);
    }
    reader->bytes[reader->size++] = (char)number;
    return true;
}

/* What stands behind a backslash. */
static bool read_escape(text_reader *reader)
{
    static const char names[] = "\\'\"nrt", meanings[] = "\\'\"\n\r\t";
    char name = *reader->at;
    const char *found = name != '\0' ? strchr(names, name) : NULL;
    reader->at += name != '\0';
    if (found != NULL) {
        reader->bytes[reader->size++] = meanings[found - names];
        return true;
    }
    switch (name) {
    case 'x':
        return read_number(reader, 2);
    case 'u':
        return !reader->is_bytes && read_number(reader, 4);
    case 'U':
        return !reader->is_bytes && read_number(reader, 8);
    default:
        return false;
    }
}

/* A character as it is: bytes have ASCII's alone. */
static bool read_plain(text_reader *reader)
{
    utf8proc_int32_t character;
    utf8proc_ssize_t length =
        utf8proc_iterate((const utf8proc_uint8_t *)reader->at, -1, &character);
    if (length < 1 || character == 0 || (reader->is_bytes && length > 1)) {
        return false;
    }
    reader->at += length;
    return put_character(reader, character);
}

bool mt_python_text_read(const char **at, char *bytes, size_t *size)
{
    text_reader reader = {.at = *at, .bytes = bytes, .is_bytes = **at == 'b'};
    reader.at += reader.is_bytes;
    const char quote = *reader.at++;
    bool good = quote == '\'' || quote == '"';
    while (good && *reader.at != quote) {
        bool escaped = *reader.at == '\\';
        reader.at += escaped;
        good = escaped ? read_escape(&reader) : read_plain(&reader);
    }
    *at = reader.at + good;
    *size = reader.size;
    return good;
}
