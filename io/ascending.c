#include "io/ascending.h"

int64_t mt_find_last(const int64_t *numbers, int64_t count, int64_t value)
{
    int64_t low = 0, high = count;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (numbers[middle] <= value) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}
