/* JSON that is checked alone: what jansson reads as it is taken, and what jansson refuses is not,
 * but for limits of its own. */
#include "io/json_check.h"
#include "tests/fuzz/fuzz.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Numbers beyond a double, zero bytes in keys, halves of characters in \u, and deep nesting. */
static bool is_own_limit(const json_error_t *error, const char *text)
{
    enum json_error_code code = json_error_code(error);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           code == json_error_stack_overflow || strstr(text, "\\u") != NULL;
}

static void claim_same(const char *text, size_t size, bool is_taken)
{
    json_error_t error;
    json_t *value = json_loadb(text, size, JSON_ALLOW_NUL, &error);
    const json_t *member = json_object_get(value, "model");
    /* Behind a number jansson passes over a zero byte. */
    bool is_plain = strlen(text) == size && strchr(text, '\\') == NULL;
    if (value != NULL && is_plain) {
        CLAIM(is_taken || !json_is_object(member));
        CLAIM(!is_taken || member != NULL);
    }
    CLAIM(value != NULL || !is_taken || is_own_limit(&error, text));
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, bytes, size);
    text[size] = '\0';
    claim_same(text, size, fuzz_done(mt_json_check_member("a.json", text, size, "model")));
    free(text);
    return 0;
}
