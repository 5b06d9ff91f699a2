/* Mutations that leave a file's frame whole, without which a reader sees no more than a wrong
 * frame: in HDF5 the checksums of its metadata, in safetensors the length of the header. */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed);

/* ---- HDF5's checksum (Bob Jenkins' lookup3, hashlittle) ---- */

static uint32_t rotate(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static uint32_t word_at(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* The same of fewer bytes. */
static uint32_t little_endian(const uint8_t *bytes, size_t size)
{
    uint32_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint32_t)bytes[i] << (8 * i);
    }
    return value;
}

static uint32_t lookup3(const uint8_t *bytes, size_t size)
{
    enum { BLOCK = 12 };
    uint32_t a = 0xdeadbeefu + (uint32_t)size, b = a, c = a;
    for (; size > BLOCK; bytes += BLOCK, size -= BLOCK) {
        a += word_at(bytes);
        b += word_at(bytes + 4);
        c += word_at(bytes + 8);
        a = (a - c) ^ rotate(c, 4), c += b;
        b = (b - a) ^ rotate(a, 6), a += c;
        c = (c - b) ^ rotate(b, 8), b += a;
        a = (a - c) ^ rotate(c, 16), c += b;
        b = (b - a) ^ rotate(a, 19), a += c;
        c = (c - b) ^ rotate(b, 4), b += a;
    }
    if (size == 0) {
        return c;
    }
    a += little_endian(bytes, size < 4 ? size : 4);
    b += size > 4 ? little_endian(bytes + 4, size < 8 ? size - 4 : 4) : 0;
    c += size > 8 ? little_endian(bytes + 8, size - 8) : 0;
    c = (c ^ b) - rotate(b, 14);
    a = (a ^ c) - rotate(c, 11);
    b = (b ^ a) - rotate(a, 25);
    c = (c ^ b) - rotate(b, 16);
    a = (a ^ c) - rotate(c, 4);
    b = (b ^ a) - rotate(a, 14);
    return (c ^ b) - rotate(b, 24);
}

/* ---- what has a checksum ---- */

/* A block of metadata. Its checksum is that of all of it with zeros in the checksum's place. */
typedef struct block {
    size_t at, size, checksum; /* of which `checksum` counts from the block's begin */
} block;

enum { CHECKSUM = 4, MOST_BLOCKS = 256, MOST_SIZE = 8192 };

static uint32_t checksum_of(const uint8_t *bytes, const block *sealed)
{
    static uint8_t copy[1 << 16];
    size_t end = sealed->checksum + CHECKSUM;
    if (end == sealed->size) {
        return lookup3(bytes + sealed->at, sealed->checksum);
    }
    memcpy(copy, bytes + sealed->at, sealed->size);
    memset(copy + sealed->checksum, 0, CHECKSUM);
    return lookup3(copy, sealed->size);
}

static bool is_sealed(const uint8_t *bytes, const block *sealed)
{
    return checksum_of(bytes, sealed) == word_at(bytes + sealed->at + sealed->checksum);
}

/* How long a block is stands in others: it is found by trying. A direct block of a fractal heap is
 * some power of two bytes long, with its checksum behind its offset in the heap; others end in
 * their checksums. */
static bool find_size(const uint8_t *bytes, size_t left, block *found)
{
    if (memcmp(bytes + found->at, "FHDB", 4) == 0) {
        for (found->size = 64; found->size <= left && found->size <= 1 << 16; found->size *= 2) {
            for (found->checksum = 14; found->checksum <= 21; found->checksum++) {
                if (is_sealed(bytes, found)) {
                    return true;
                }
            }
        }
        return false;
    }
    for (found->checksum = 8; found->checksum + CHECKSUM <= left && found->checksum < MOST_SIZE;
         found->checksum++) {
        found->size = found->checksum + CHECKSUM;
        if (is_sealed(bytes, found)) {
            return true;
        }
    }
    return false;
}

/* Blocks that were found in earlier inputs, since trying takes long; a size of 0: none there. */
static struct known {
    size_t file_size, at;
    block found;
} known[4096];

static struct known *known_at(size_t file_size, size_t at)
{
    enum { KNOWN = sizeof known / sizeof *known };
    return &known[(file_size * 31 + at) % KNOWN];
}

static bool find_block(const uint8_t *bytes, size_t size, size_t at, block *found)
{
    struct known *before = known_at(size, at);
    bool is_known = before->file_size == size && before->at == at;
    if (is_known && (before->found.size == 0 || is_sealed(bytes, &before->found))) {
        *found = before->found;
        return found->size > 0;
    }
    *found = (block){.at = at};
    bool sealed = find_size(bytes, size - at, found);
    *before = (struct known){size, at, sealed ? *found : (block){0}};
    return sealed;
}

static bool has_signature(const uint8_t *bytes)
{
    static const char signatures[][5] = {"\211HDF", "OHDR", "OCHK", "FRHP", "FHDB", "FHIB",
                                         "BTHD",    "BTIN", "BTLF", "FAHD", "FADB", "EAHD",
                                         "EAIB",    "EADB", "EASB", "FSHD", "FSSE", "SMTB"};
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const char *signature = signatures[i];
        if (bytes[0] == (uint8_t)signature[0] && bytes[1] == (uint8_t)signature[1] &&
            bytes[2] == (uint8_t)signature[2] && bytes[3] == (uint8_t)signature[3]) {
            return true;
        }
    }
    return false;
}

static int find_blocks(const uint8_t *bytes, size_t size, block blocks[MOST_BLOCKS])
{
    int count = 0;
    for (size_t at = 0; at + 4 <= size && count < MOST_BLOCKS; at++) {
        count += has_signature(bytes + at) && find_block(bytes, size, at, &blocks[count]);
    }
    return count;
}

static void seal(uint8_t *bytes, const block *sealed)
{
    uint32_t value = checksum_of(bytes, sealed);
    for (int i = 0; i < CHECKSUM; i++) {
        bytes[sealed->at + sealed->checksum + (size_t)i] = (uint8_t)(value >> (8 * i));
    }
}

/* ---- mutations ---- */

static unsigned next_random(unsigned *state)
{
    *state = *state * 1103515245u + 12345u;
    return *state >> 8;
}

/* Changes some bytes in [begin, end), which stay as many. */
static void change(uint8_t *bytes, size_t begin, size_t end, unsigned *random)
{
    size_t at = begin + next_random(random) % (end - begin), size = 1 + next_random(random) % 8;
    size = size <= end - at ? size : end - at;
    LLVMFuzzerMutate(bytes + at, size, size);
}

/* Most changes are in metadata; the blocks stay where they are, and are sealed again. */
static size_t mutate_hdf5(uint8_t *bytes, size_t size, unsigned *random)
{
    block blocks[MOST_BLOCKS];
    int count = find_blocks(bytes, size, blocks);
    for (unsigned i = next_random(random) % 4 + 1; i > 0; i--) {
        if (count > 0 && next_random(random) % 8 != 0) {
            const block *chosen = &blocks[next_random(random) % (unsigned)count];
            change(bytes, chosen->at, chosen->at + chosen->size, random);
        } else {
            change(bytes, 0, size, random);
        }
    }
    for (int i = 0; i < count; i++) {
        seal(bytes, &blocks[i]);
    }
    return size;
}

enum { LENGTH_BYTES = 8 };

/* Changes the header, to any length, or the data behind it. */
static size_t mutate_safetensors(uint8_t *bytes, size_t size, size_t most, unsigned *random)
{
    size_t header = word_at(bytes), data = size - LENGTH_BYTES - header;
    if (next_random(random) % 8 == 0 && data > 0) {
        change(bytes, size - data, size, random);
        return size;
    }
    uint8_t *copy = malloc(data + 1);
    if (copy == NULL) {
        return size;
    }
    memcpy(copy, bytes + size - data, data);
    size_t room = most - LENGTH_BYTES - data;
    header = LLVMFuzzerMutate(bytes + LENGTH_BYTES, header, room);
    memcpy(bytes + LENGTH_BYTES + header, copy, data);
    free(copy);
    for (int i = 0; i < LENGTH_BYTES; i++) {
        bytes[i] = (uint8_t)((uint64_t)header >> (8 * i));
    }
    return LENGTH_BYTES + header + data;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed)
{
    unsigned random = seed;
    if (next_random(&random) % 16 == 0) {
        return LLVMFuzzerMutate(bytes, size, most);
    }
    if (size > 8 && memcmp(bytes, "\211HDF\r\n\032\n", 8) == 0) {
        return mutate_hdf5(bytes, size, &random);
    }
    if (size > LENGTH_BYTES && word_at(bytes + 4) == 0 && word_at(bytes) <= size - LENGTH_BYTES) {
        return mutate_safetensors(bytes, size, most, &random);
    }
    return LLVMFuzzerMutate(bytes, size, most);
}
