#include "train/events.h"

#include "io/file.h"
#include "train/run_config.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- messages of Protocol Buffers ---- */

/* A message on its way to a record. */
typedef struct message {
    char *bytes;
    size_t size, room;
    bool failed; /* there was no memory for all of it */
} message;

/* Kinds of fields: a varint, eight bytes, a length and bytes, four bytes. */
typedef enum wire_type { VARINT = 0, EIGHT_BYTES = 1, BYTES = 2, FOUR_BYTES = 5 } wire_type;

static void put(message *to, const void *bytes, size_t size)
{
    if (size == 0) {
        return;
    }
    if (to->size + size > to->room) {
        size_t room = 2 * (to->size + size);
        char *grown = realloc(to->bytes, room);
        to->failed = to->failed || grown == NULL;
        if (grown == NULL) {
            return;
        }
        to->bytes = grown;
        to->room = room;
    }
    memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
}

static void put_varint(message *to, uint64_t value)
{
    for (; value > 127; value >>= 7) {
        const unsigned char byte = (unsigned char)(value | 128);
        put(to, &byte, 1);
    }
    const unsigned char last = (unsigned char)value;
    put(to, &last, 1);
}

static void put_key(message *to, int field, wire_type type)
{
    put_varint(to, (uint64_t)field << 3 | type);
}

static void put_whole(message *to, int field, int64_t value)
{
    put_key(to, field, VARINT);
    put_varint(to, (uint64_t)value);
}

/* Numbers are little-endian there, as on every machine that Mixtape runs on. */
static void put_double(message *to, int field, double value)
{
    put_key(to, field, EIGHT_BYTES);
    put(to, &value, sizeof value);
}

static void put_float(message *to, int field, double value)
{
    const float narrow = (float)value;
    put_key(to, field, FOUR_BYTES);
    put(to, &narrow, sizeof narrow);
}

static void put_bytes(message *to, int field, const void *bytes, size_t size)
{
    put_key(to, field, BYTES);
    put_varint(to, size);
    put(to, bytes, size);
}

static void put_text(message *to, int field, const char *text)
{
    put_bytes(to, field, text, strlen(text));
}

/* A message within a message, which is freed. */
static void put_message(message *to, int field, message *inner)
{
    put_bytes(to, field, inner->bytes, inner->size);
    to->failed = to->failed || inner->failed;
    free(inner->bytes);
    *inner = (message){NULL};
}

/* ---- records ---- */

/* CRC-32C (Castagnoli), bit by bit: records are short and rare. */
static uint32_t crc32c(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint32_t crc = ~UINT32_C(0);
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (UINT32_C(0x82F63B78) & (0U - (crc & 1U)));
        }
    }
    return ~crc;
}

static uint32_t masked_crc(const void *bytes, size_t size)
{
    uint32_t crc = crc32c(bytes, size);
    return (crc >> 15 | crc << 17) + UINT32_C(0xA282EAD8);
}

/* Writes an event as a record, and frees it. */
static mt_status write_event(event_file *events, message *event)
{
    message record = {NULL};
    uint64_t length = event->size;
    uint32_t of_length = masked_crc(&length, sizeof length);
    uint32_t of_event = masked_crc(event->bytes, event->size);
    put(&record, &length, sizeof length);
    put(&record, &of_length, sizeof of_length);
    put(&record, event->bytes, event->size);
    put(&record, &of_event, sizeof of_event);
    bool failed = event->failed || record.failed;
    free(event->bytes);
    mt_status status = failed
                           ? mt_fail(MT_ERROR_MEMORY, "%s: no memory for an event", events->path)
                           : mt_file_write(events->file, events->path, record.bytes, record.size);
    if (status == MT_OK) {
        events->length += (int64_t)record.size;
    } else if (status == MT_ERROR_IO && ftruncate(events->file, events->length) != 0) {
        mt_fail(status, "%s: %s", events->path, strerror(errno));
    }
    free(record.bytes);
    return status;
}

/* The fields of an Event (event.proto) that are in use. */
enum { WALL_TIME = 1, STEP = 2, FILE_VERSION = 3, SUMMARY = 5, SESSION_LOG = 7 };

static message begin_event(int64_t step)
{
    struct timespec now;
    message event = {NULL};
    clock_gettime(CLOCK_REALTIME, &now);
    put_double(&event, WALL_TIME, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    put_whole(&event, STEP, step);
    return event;
}

/* ---- files ---- */

/* A process of the same number may have begun one in the same second, in a container: it takes a
 * later one. */
static mt_status open_file(event_file *events, const char *folder)
{
    enum { TRIES = 100 };
    char path[TEXT_MAX], host[256] = "host";
    gethostname(host, sizeof host - 1);
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        return mt_fail(MT_ERROR_IO, "%s: %s", folder, strerror(errno));
    }
    for (int later = 0; later < TRIES; later++) {
        int length = snprintf(path, sizeof path, "%s/events.out.tfevents.%lld.%s.%ld", folder,
                              (long long)time(NULL) + later, host, (long)getpid());
        if (length < 0 || (size_t)length >= sizeof path) {
            return mt_fail(MT_ERROR_IO, "%s: its path is too long", folder);
        }
        events->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
        if (events->file >= 0 || errno != EEXIST) {
            break;
        }
    }
    if (events->file < 0) {
        return mt_fail(MT_ERROR_IO, "%s: %s", path, strerror(errno));
    }
    events->path = strdup(path);
    if (events->path == NULL) {
        close(events->file);
        return mt_fail(MT_ERROR_MEMORY, "%s: no memory for its name", path);
    }
    return MT_OK;
}

/* A session that starts at a step takes the place of what was noted of it and later ones, also by a
 * run that never came to a checkpoint. */
static mt_status write_start(event_file *events, int64_t step)
{
    enum { STATUS = 1, START = 1 };
    message event = begin_event(step), session = {NULL};
    put_whole(&session, STATUS, START);
    put_message(&event, SESSION_LOG, &session);
    return write_event(events, &event);
}

mt_status events_open(event_file *events, const char *folder, int64_t step)
{
    *events = (event_file){.file = -1};
    mt_status status = open_file(events, folder);
    if (status == MT_OK) {
        message event = begin_event(0);
        put_text(&event, FILE_VERSION, "brain.Event:2");
        status = write_event(events, &event);
    }
    return status == MT_OK ? write_start(events, step + 1) : status;
}

void events_close(event_file *events)
{
    if (events->path != NULL && events->file >= 0) {
        close(events->file);
    }
    free(events->path);
    *events = (event_file){NULL};
}

/* ---- what they tell ---- */

/* The fields of a Summary.Value (summary.proto). */
enum { VALUE = 1, TAG = 1, SIMPLE_VALUE = 2, HISTOGRAM = 5, TENSOR = 8, METADATA = 9 };

mt_status events_scalars(event_file *events, int64_t step, int count, const event_scalar *scalars)
{
    message event = begin_event(step), summary = {NULL};
    for (int i = 0; i < count; i++) {
        message value = {NULL};
        if (!isnan(scalars[i].value)) {
            put_text(&value, TAG, scalars[i].tag);
            put_float(&value, SIMPLE_VALUE, scalars[i].value);
            put_message(&summary, VALUE, &value);
        }
    }
    put_message(&event, SUMMARY, &summary);
    return write_event(events, &event);
}

/* The text as a tensor of one string, for the plugin of texts, which shows Markdown. */
mt_status events_text(event_file *events, int64_t step, const char *tag, const char *text)
{
    enum { PLUGIN_DATA = 1, PLUGIN_NAME = 1, DTYPE = 1, STRING = 7, SHAPE = 2, STRING_VALUE = 8 };
    message event = begin_event(step), summary = {NULL}, value = {NULL};
    message metadata = {NULL}, plugin = {NULL}, tensor = {NULL}, shape = {NULL};
    put_text(&value, TAG, tag);
    put_text(&plugin, PLUGIN_NAME, "text");
    put_message(&metadata, PLUGIN_DATA, &plugin);
    put_message(&value, METADATA, &metadata);
    put_whole(&tensor, DTYPE, STRING);
    put_message(&tensor, SHAPE, &shape);
    put_text(&tensor, STRING_VALUE, text);
    put_message(&value, TENSOR, &tensor);
    put_message(&summary, VALUE, &value);
    put_message(&event, SUMMARY, &summary);
    return write_event(events, &event);
}

mt_status events_histogram(event_file *events, int64_t step, const char *tag,
                           const event_histogram *histogram)
{
    enum { LEAST = 1, LARGEST, COUNT, SUM, SQUARES, LIMITS, BUCKETS };
    message event = begin_event(step), summary = {NULL}, value = {NULL}, inner = {NULL};
    double limits[EVENT_BUCKETS], width = histogram->largest - histogram->least;
    for (int i = 0; i < EVENT_BUCKETS; i++) {
        limits[i] = histogram->least + width * (double)(i + 1) / EVENT_BUCKETS;
    }
    put_double(&inner, LEAST, histogram->least);
    put_double(&inner, LARGEST, histogram->largest);
    put_double(&inner, COUNT, histogram->count);
    put_double(&inner, SUM, histogram->sum);
    put_double(&inner, SQUARES, histogram->squares);
    put_bytes(&inner, LIMITS, limits, sizeof limits);
    put_bytes(&inner, BUCKETS, histogram->buckets, sizeof histogram->buckets);
    put_text(&value, TAG, tag);
    put_message(&value, HISTOGRAM, &inner);
    put_message(&summary, VALUE, &value);
    put_message(&event, SUMMARY, &summary);
    return write_event(events, &event);
}
