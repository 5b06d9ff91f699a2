#include "train/command/nearest.h"

#include <stdio.h>
#include <string.h>

enum { LONGEST = 48 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* How many letters are to be put in, left out, replaced, or changed about with the next one, to
 * make one name of the other (optimal string alignment). */
static int distance(const char *a, const char *b)
{
    int rows[LONGEST + 1][LONGEST + 1], m = (int)strlen(a), n = (int)strlen(b);
    if (m > LONGEST || n > LONGEST) {
        return LONGEST;
    }
    for (int i = 0; i <= m; i++) {
        for (int j = 0; j <= n; j++) {
            if (i == 0 || j == 0) {
                rows[i][j] = i + j;
                continue;
            }
            int other = a[i - 1] != b[j - 1];
            rows[i][j] =
                least(least(rows[i - 1][j], rows[i][j - 1]) + 1, rows[i - 1][j - 1] + other);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                rows[i][j] = least(rows[i][j], rows[i - 2][j - 2] + 1);
            }
        }
    }
    return rows[m][n];
}

const char *nearest_hint(const char *name, known_name *known, const void *context,
                         char text[NEAREST_TEXT])
{
    const char *nearest = NULL;
    int most = 1 + (int)strlen(name) / 4; /* beyond that it is another name */
    for (int i = 0; known(context, i) != NULL; i++) {
        int away = distance(name, known(context, i));
        if (away <= most) {
            nearest = known(context, i);
            most = away - 1;
        }
    }
    text[0] = '\0';
    if (nearest != NULL) {
        snprintf(text, NEAREST_TEXT, NEAREST_HINT, nearest);
    }
    return text;
}
