#include "io/world.h"

#include "io/python_text.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PIECES = 1 << 20, LONGEST_LINE = 8192, BYTES = 256, NONE = -1 };

/* A node of the trie stands for the bytes on the way to it. Its children are a list. */
typedef struct node {
    int32_t id; /* of the piece that ends here, or NONE */
    int32_t child, sibling;
    unsigned char byte;
} node;

typedef struct piece {
    size_t at; /* in `text` */
    int32_t length;
} piece;

struct mt_world {
    piece *pieces; /* by id; those that are none have no bytes */
    int64_t size, room;
    char *text;
    size_t used;
    node *nodes; /* the root is the first, its children the next 256 */
    int32_t node_count, node_room;
};

/* ---- the trie ---- */

static int32_t child_of(const mt_world *world, int32_t parent, unsigned char byte)
{
    if (parent == 0) {
        return 1 + byte;
    }
    int32_t at = world->nodes[parent].child;
    while (at != NONE && world->nodes[at].byte != byte) {
        at = world->nodes[at].sibling;
    }
    return at;
}

static bool add_node(mt_world *world, int32_t parent, unsigned char byte)
{
    if (world->node_count == world->node_room) {
        if (world->node_room > INT32_MAX / 2) {
            return false;
        }
        int32_t room = 2 * world->node_room;
        node *larger = realloc(world->nodes, (size_t)room * sizeof *larger);
        if (larger == NULL) {
            return false;
        }
        world->nodes = larger;
        world->node_room = room;
    }
    node *nodes = world->nodes;
    nodes[world->node_count] = (node){NONE, NONE, nodes[parent].child, byte};
    nodes[parent].child = world->node_count++;
    return true;
}

/* The node of these bytes, which is made where there is none; NONE: no memory. */
static int32_t make_path(mt_world *world, const char *bytes, size_t length)
{
    int32_t at = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        int32_t next = child_of(world, at, byte);
        if (next == NONE && !add_node(world, at, byte)) {
            return NONE;
        }
        at = next != NONE ? next : world->node_count - 1;
    }
    return at;
}

static bool make_roots(mt_world *world)
{
    enum { FIRST_ROOM = 4096 };
    world->nodes = malloc(FIRST_ROOM * sizeof *world->nodes);
    if (world->nodes == NULL) {
        return false;
    }
    world->node_room = FIRST_ROOM;
    world->node_count = 1 + BYTES;
    for (int i = 0; i <= BYTES; i++) {
        world->nodes[i] = (node){NONE, NONE, NONE, (unsigned char)(i - 1)};
    }
    return true;
}

/* ---- the list ---- */

/* A line's parts. */
typedef struct entry {
    int64_t id, length; /* as it says */
    char piece[LONGEST_LINE];
    size_t size; /* of the piece itself */
} entry;

/* Up to nine digits, which `*at` is moved behind. */
static bool read_number(const char **at, int64_t *number)
{
    enum { MOST_DIGITS = 9, TEN = 10 };
    const char *begin = *at;
    *number = 0;
    while (**at >= '0' && **at <= '9' && *at - begin < MOST_DIGITS) {
        *number = TEN * *number + (*(*at)++ - '0');
    }
    return *at > begin;
}

/* A line, without its end, has a zero byte behind it. */
static bool read_entry(const char *line, entry *read)
{
    const char *at = line;
    return read_number(&at, &read->id) && *at++ == ' ' &&
           mt_python_text_read(&at, read->piece, &read->size) && *at++ == ' ' &&
           read_number(&at, &read->length) && *at == '\0';
}

/* Copies the line that begins the bytes, without its end; false: it is too long, or holds a zero
 * byte. */
static bool copy_line(const char *bytes, size_t length, char line[LONGEST_LINE])
{
    length -= length > 0 && bytes[length - 1] == '\r';
    if (length >= LONGEST_LINE || memchr(bytes, '\0', length) != NULL) {
        return false;
    }
    memcpy(line, bytes, length);
    line[length] = '\0';
    return true;
}

static size_t line_length(const char *bytes, size_t size)
{
    const char *end = size > 0 ? memchr(bytes, '\n', size) : NULL;
    return end != NULL ? (size_t)(end - bytes) : size;
}

bool mt_world_is_list(const char *bytes, size_t size)
{
    char line[LONGEST_LINE];
    entry read = {.id = 0};
    return copy_line(bytes, line_length(bytes, size), line) && read_entry(line, &read);
}

/* Makes room for an id. */
static mt_status make_room(mt_world *world, const char *name, int64_t id)
{
    if (id >= world->room) {
        int64_t room = 2 * id;
        piece *larger = realloc(world->pieces, (size_t)room * sizeof *larger);
        if (larger == NULL) {
            return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %" PRId64 " pieces", name, room);
        }
        memset(larger + world->room, 0, (size_t)(room - world->room) * sizeof *larger);
        world->pieces = larger;
        world->room = room;
    }
    world->size = id + 1 > world->size ? id + 1 : world->size;
    return MT_OK;
}

static mt_status check_entry(const mt_world *world, const char *name, int64_t line,
                             const entry *read)
{
    if (read->id == 0 || read->id >= MOST_PIECES) {
        return mt_fail(MT_ERROR_FORMAT, "%s: line %" PRId64 ": id %" PRId64 ", not in 1 .. %d",
                       name, line, read->id, MOST_PIECES - 1);
    }
    if (read->size == 0 || (int64_t)read->size != read->length) {
        return mt_fail(MT_ERROR_FORMAT,
                       "%s: line %" PRId64 ": a piece of %zu bytes, where the line says %" PRId64,
                       name, line, read->size, read->length);
    }
    bool known = (read->id < world->room && world->pieces[read->id].length > 0) ||
                 mt_world_find(world, read->piece, read->size) != NONE;
    return known ? mt_fail(MT_ERROR_FORMAT,
                           "%s: line %" PRId64 ": id %" PRId64 " or its piece is there before",
                           name, line, read->id)
                 : MT_OK;
}

static mt_status add_entry(mt_world *world, const char *name, int64_t line, const entry *read)
{
    mt_status status = check_entry(world, name, line, read);
    if (status == MT_OK) {
        status = make_room(world, name, read->id);
    }
    if (status != MT_OK) {
        return status;
    }
    int32_t end = make_path(world, read->piece, read->size);
    if (end == NONE) {
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for line %" PRId64, name, line);
    }
    world->nodes[end].id = (int32_t)read->id;
    world->pieces[read->id] = (piece){world->used, (int32_t)read->size};
    memcpy(world->text + world->used, read->piece, read->size);
    world->used += read->size;
    return MT_OK;
}

static mt_status read_lines(mt_world *world, const char *name, const char *bytes, size_t size)
{
    char line[LONGEST_LINE];
    entry read = {.id = 0};
    int64_t number = 0;
    mt_status status = MT_OK;
    for (size_t at = 0; at < size && status == MT_OK; at++) {
        size_t length = line_length(bytes + at, size - at);
        bool fits = copy_line(bytes + at, length, line);
        number++;
        if (!fits || (line[0] != '\0' && !read_entry(line, &read))) {
            status =
                mt_fail(MT_ERROR_FORMAT,
                        "%s: line %" PRId64 ": not an id, a piece in quotes, and its length: %.*s",
                        name, number, (int)(length < 32 ? length : 32), bytes + at);
        } else if (line[0] != '\0') {
            status = add_entry(world, name, number, &read);
        }
        at += length;
    }
    return status == MT_OK && world->size == 0
               ? mt_fail(MT_ERROR_FORMAT, "%s: it has no pieces", name)
               : status;
}

mt_status mt_world_read(const char *name, const char *bytes, size_t size, mt_world **world)
{
    mt_world *made = calloc(1, sizeof *made);
    *world = NULL;
    if (made != NULL) {
        made->text = malloc(size + 1); /* a piece is shorter than its line */
    }
    if (made == NULL || made->text == NULL || !make_roots(made)) {
        mt_world_destroy(made);
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for %zu bytes", name, size);
    }
    mt_status status = read_lines(made, name, bytes, size);
    if (status != MT_OK) {
        mt_world_destroy(made);
        return status;
    }
    *world = made;
    return MT_OK;
}

void mt_world_destroy(mt_world *world)
{
    if (world != NULL) {
        free(world->pieces);
        free(world->text);
        free(world->nodes);
        free(world);
    }
}

/* ---- use ---- */

int64_t mt_world_size(const mt_world *world)
{
    return world->size;
}

/* The longest piece that begins the bytes, whose length is told; NONE: there is none. */
static int32_t longest(const mt_world *world, const char *bytes, size_t size, size_t *length)
{
    int32_t id = NONE, at = 0;
    *length = 0;
    for (size_t i = 0; i < size; i++) {
        at = child_of(world, at, (unsigned char)bytes[i]);
        if (at == NONE) {
            break;
        }
        if (world->nodes[at].id != NONE) {
            id = world->nodes[at].id;
            *length = i + 1;
        }
    }
    return id;
}

int32_t mt_world_find(const mt_world *world, const char *bytes, size_t length)
{
    size_t found;
    int32_t id = longest(world, bytes, length, &found);
    return found == length ? id : NONE;
}

const char *mt_world_piece(const mt_world *world, int32_t id, size_t *length)
{
    bool known = id >= 0 && id < world->size && world->pieces[id].length > 0;
    *length = known ? (size_t)world->pieces[id].length : 0;
    return known ? world->text + world->pieces[id].at : NULL;
}

mt_status mt_world_encode(const mt_world *world, const char *text, size_t length, int32_t **ids,
                          int64_t *count)
{
    *count = 0;
    *ids = malloc((length + 1) * sizeof **ids);
    if (*ids == NULL) {
        return mt_fail(MT_ERROR_MEMORY, "no memory for the ids of %zu bytes", length);
    }
    size_t taken;
    for (size_t at = 0; at < length; at += taken) {
        int32_t id = longest(world, text + at, length - at, &taken);
        if (id == NONE) {
            free(*ids);
            *ids = NULL;
            return mt_fail(MT_ERROR_INVALID, "byte 0x%02x at %zu begins no piece of the World list",
                           (unsigned)(unsigned char)text[at], at);
        }
        (*ids)[(*count)++] = id;
    }
    return MT_OK;
}
