#include "io/gunzip.h"

#include <zlib.h>

/* zlib counts in unsigned int. */
enum { MOST_AT_ONCE = 1 << 30 };

/* What is left to be unpacked. */
typedef struct packed_bytes {
    const char *bytes;
    size_t size, at;
} packed_bytes;

static unsigned at_once(size_t count)
{
    return (unsigned)(count < MOST_AT_ONCE ? count : MOST_AT_ONCE);
}

static mt_status fail_at(const mt_growing_bytes *text, const packed_bytes *packed, const char *why)
{
    return mt_fail(MT_ERROR_FORMAT, "%s: %s at byte %zu of what gzip made, %zu unpacked",
                   text->name, why, packed->at, text->size);
}

/* Unpacks as much as there is room for. */
static int inflate_some(z_stream *stream, packed_bytes *packed, mt_growing_bytes *text)
{
    unsigned in = at_once(packed->size - packed->at), out = at_once(text->room - 1 - text->size);
    stream->next_in = (z_const Bytef *)packed->bytes + packed->at;
    stream->avail_in = in;
    stream->next_out = (Bytef *)text->bytes + text->size;
    stream->avail_out = out;
    int result = inflate(stream, Z_NO_FLUSH);
    packed->at += in - stream->avail_in;
    text->size += out - stream->avail_out;
    return result;
}

/* Goes on with the next member behind the end of one; zeros fill up a tape's block. */
static mt_status next_member(z_stream *stream, packed_bytes *packed, mt_growing_bytes *text)
{
    const char *rest = packed->bytes + packed->at;
    size_t left = packed->size - packed->at, zeros = 0;
    while (zeros < left && rest[zeros] == '\0') {
        zeros++;
    }
    if (zeros == left) {
        packed->at = packed->size;
        return MT_OK;
    }
    if (!mt_is_gzip(rest, left)) {
        return fail_at(text, packed, "something else stands behind the end,");
    }
    inflateReset(stream);
    return MT_OK;
}

static mt_status inflate_all(z_stream *stream, packed_bytes *packed, mt_growing_bytes *text)
{
    bool within = true; /* a member */
    mt_status status = MT_OK;
    while ((within || packed->at < packed->size) && status == MT_OK) {
        status = mt_growing_make_room(text);
        int result = status == MT_OK ? inflate_some(stream, packed, text) : Z_OK;
        within = result != Z_STREAM_END;
        if (result == Z_STREAM_END) {
            status = next_member(stream, packed, text);
        } else if (result == Z_MEM_ERROR) {
            status = mt_fail(MT_ERROR_MEMORY, "%s: no memory to unpack it", text->name);
        } else if (result == Z_BUF_ERROR) {
            status = fail_at(text, packed, "cut off");
        } else if (result != Z_OK) {
            status = fail_at(text, packed, "damaged");
        }
    }
    return status;
}

mt_status mt_gunzip(const char *packed, size_t size, mt_growing_bytes *text)
{
    enum { WINDOW_OF_GZIP = 15 + 16 };
    z_stream stream = {.zalloc = Z_NULL};
    if (inflateInit2(&stream, WINDOW_OF_GZIP) != Z_OK) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory to unpack it", text->name);
    }
    mt_status status = inflate_all(&stream, &(packed_bytes){packed, size, 0}, text);
    inflateEnd(&stream);
    return status == MT_OK ? mt_growing_make_room(text) : status; /* or there are too many */
}

bool mt_can_inflate(void)
{
    return true;
}

bool mt_inflates_to(const char *packed, size_t size, size_t expected)
{
    char piece[1 << 14];
    packed_bytes from = {packed, size, 0};
    z_stream stream = {.zalloc = Z_NULL};
    size_t unpacked = 0;
    int result = inflateInit(&stream);
    bool is_begun = result == Z_OK;
    while (result == Z_OK && unpacked <= expected) {
        mt_growing_bytes to = {.bytes = piece, .room = sizeof piece + 1};
        result = inflate_some(&stream, &from, &to);
        unpacked += to.size;
    }
    if (is_begun) {
        inflateEnd(&stream);
    }
    return result == Z_STREAM_END && unpacked == expected;
}
